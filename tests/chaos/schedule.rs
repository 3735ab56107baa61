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
}

impl Schedule {
    pub(super) fn new(seed: u64, nodes: usize, links: usize) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), stopped: vec![false; nodes], broken: vec![false; links] }
    }

    fn act(&mut self) -> Act {
        let node = self.rng.random_range(0..self.stopped.len());
        let link = self.rng.random_range(0..self.broken.len());
        // What is out of order is often what is set right next.
        if let Some(stopped) = self.stopped.iter().position(|stopped| *stopped)
            && self.rng.random_ratio(2, 5)
        {
            return Act::Continue(stopped);
        }
        if self.broken[link] && self.rng.random_ratio(2, 3) {
            return Act::Heal(link);
        }
        match self.rng.random_range(0..100) {
            0..20 => Act::Kill(node),
            20..30 => Act::Terminate(node),
            30..42 if !self.stopped[node] => Act::Stop(node),
            42..54 => Act::BlackHole(link),
            54..66 => Act::Cut(link),
            66..74 => Act::Mislead(link),
            74..82 => Act::Backup,
            82..92 => Act::Restore(self.rng.random_range(0..100)),
            92..95 => Act::Empty,
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
            Act::Heal(link) => self.broken[link] = false,
            Act::Backup | Act::Restore(_) | Act::Empty => self.stopped[0] = false,
        }
        let millis = |rng: &mut StdRng, most| Duration::from_millis(rng.random_range(0..most));
        let (pause, down) = (millis(&mut self.rng, 400), millis(&mut self.rng, 300));
        let skew = [0, 3_600, -3_600][self.rng.random_range(0..3)];
        Some(Step { pause, act, down, skew })
    }
}
