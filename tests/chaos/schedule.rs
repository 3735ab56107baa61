//! What fails, and when: a row of steps that follows from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// One failure, or the end of one. Nodes and links by their numbers; the primary is node 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// `kill -9`, and a new process.
    Kill(usize),
    /// SIGTERM, and a new process.
    Terminate(usize),
    /// SIGSTOP.
    Stop(usize),
    /// SIGCONT.
    Continue(usize),
    /// Connections stay, and nothing gets through.
    BlackHole(usize),
    /// Connections are closed.
    Cut(usize),
    /// The link leads to a server of another operator, which has JWTs for the same accounts.
    Mislead(usize),
    Heal(usize),
    /// The primary's folder is copied while it is down.
    Backup,
    /// The primary's folder is replaced by the nth copy, counted around.
    Restore(usize),
    /// The primary begins with an empty folder.
    Empty,
    /// The primary ends for good, and a mirror takes its place.
    Promote(Succession),
    /// The link leads to another server: to the primary, or to a mirror.
    Move {
        link: usize,
        to: usize,
    },
}

/// How a mirror takes the place of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Succession {
    pub(super) mirror: usize,
    /// Nobody writes, and the mirror has everything, before the primary ends.
    pub(super) is_planned: bool,
    /// The folder of the old primary becomes that of the mirror, instead of an empty one.
    pub(super) is_kept: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The pause before it.
    pub(super) pause: Duration,
    pub(super) act: Act,
    /// How long a process that ends is away.
    pub(super) down: Duration,
    /// Seconds by which the clock of a process that starts is off.
    pub(super) skew: i64,
}

/// The steps, without an end.
pub(super) struct Schedule {
    rng: StdRng,
    stopped: Vec<bool>,
    broken: Vec<bool>,
    mirrors: Vec<usize>,
    steps: usize,
    /// The steps at which every storm, however short, has a promotion and a move.
    promotes_at: usize,
    moves_at: usize,
}

impl Schedule {
    pub(super) fn new(seed: u64, nodes: usize, links: usize, mirrors: Vec<usize>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (moves_at, promotes_at) = (rng.random_range(0..3), rng.random_range(3..6));
        let (stopped, broken) = (vec![false; nodes], vec![false; links]);
        Self { rng, stopped, broken, mirrors, steps: 0, promotes_at, moves_at }
    }

    fn mirror(&mut self) -> usize {
        self.mirrors[self.rng.random_range(0..self.mirrors.len())]
    }

    fn promote(&mut self) -> Act {
        let mirror = self.mirror();
        Act::Promote(Succession { mirror, is_planned: self.rng.random(), is_kept: self.rng.random() })
    }

    fn moves(&mut self, link: usize) -> Act {
        let to = if self.rng.random_ratio(1, 3) { 0 } else { self.mirror() };
        Act::Move { link, to }
    }

    fn act(&mut self) -> Act {
        let node = self.rng.random_range(0..self.stopped.len());
        let link = self.rng.random_range(0..self.broken.len());
        self.steps += 1;
        if self.steps == self.promotes_at + 1 {
            return self.promote();
        }
        if self.steps == self.moves_at + 1 {
            return self.moves(link);
        }
        // What is out of order is often what is set right next.
        if let Some(stopped) = self.stopped.iter().position(|stopped| *stopped)
            && self.rng.random_ratio(2, 5)
        {
            return Act::Continue(stopped);
        }
        if self.broken[link] && self.rng.random_ratio(2, 3) {
            return Act::Heal(link);
        }
        match self.rng.random_range(0..120) {
            0..20 => Act::Kill(node),
            20..30 => Act::Terminate(node),
            30..42 if !self.stopped[node] => Act::Stop(node),
            42..54 => Act::BlackHole(link),
            54..66 => Act::Cut(link),
            66..74 => Act::Mislead(link),
            74..82 => Act::Backup,
            82..92 => Act::Restore(self.rng.random_range(0..100)),
            92..95 => Act::Empty,
            95..109 => self.moves(link),
            109..115 => self.promote(),
            _ => Act::Kill(0),
        }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let act = self.act();
        match act {
            Act::Kill(node) | Act::Terminate(node) | Act::Continue(node) => self.stopped[node] = false,
            Act::Stop(node) => self.stopped[node] = true,
            Act::BlackHole(link) | Act::Cut(link) | Act::Mislead(link) => self.broken[link] = true,
            Act::Heal(link) | Act::Move { link, .. } => self.broken[link] = false,
            Act::Promote(succession) => {
                self.stopped[0] = false;
                self.stopped[succession.mirror] = false;
            }
            Act::Backup | Act::Restore(_) | Act::Empty => self.stopped[0] = false,
        }
        let millis = |rng: &mut StdRng, most| Duration::from_millis(rng.random_range(0..most));
        let (pause, down) = (millis(&mut self.rng, 400), millis(&mut self.rng, 300));
        let skew = [0, 3_600, -3_600][self.rng.random_range(0..3)];
        Some(Step { pause, act, down, skew })
    }
}
