//! A server as those see it who ask it: where it is, whether it runs, and what it has shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::ledger::World;
use super::seen::Seen;
use super::support::Http;

/// What a replica with a folder may forget when it is killed: it writes every half second, on a busy machine later.
const UNWRITTEN: Duration = Duration::from_secs(2);

/// What outlives the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeps {
    Nothing,
    /// All but what came last; everything if it ends by itself.
    Most,
    Everything,
}

pub(super) type Book = HashMap<usize, Seen>;

pub(super) struct Node {
    pub(super) name: &'static str,
    keeps: Keeps,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    http: Option<Http>,
    is_stopped: bool,
    /// Moves whenever it begins or ceases to run.
    epoch: u64,
    /// Moves with each process.
    process: u64,
    book: Book,
    /// The book as it was, by how long the node had run by then.
    past: Vec<(Duration, Book)>,
    ran: Duration,
    since: Option<Instant>,
}

/// A question to a node.
pub(super) struct Sight {
    pub(super) http: Http,
    pub(super) before: Seen,
    asked: Instant,
    epoch: u64,
    process: u64,
}

impl Sight {
    pub(super) fn took(&self) -> Duration {
        self.asked.elapsed()
    }
}

impl State {
    fn ran(&self) -> Duration {
        self.ran + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn pauses(&mut self) {
        self.ran = self.ran();
        self.since = None;
        self.epoch += 1;
    }
}

impl Node {
    pub(super) fn new(name: &'static str, keeps: Keeps) -> Arc<Self> {
        Arc::new(Self { name, keeps, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// It runs, as a new process.
    pub(super) fn starts(&self, http: &Http) {
        let mut state = self.state();
        (state.http, state.is_stopped, state.since) = (Some(http.clone()), false, Some(Instant::now()));
        state.epoch += 1;
        state.process += 1;
        let now = (state.ran, state.book.clone());
        state.past = vec![now];
    }

    /// It is about to end by itself.
    pub(super) fn ends(&self) {
        let mut state = self.state();
        state.pauses();
        state.http = None;
        if self.keeps == Keeps::Nothing {
            state.book.clear();
        }
    }

    /// It is about to be killed.
    pub(super) fn dies(&self) {
        self.ends();
        let mut state = self.state();
        if self.keeps == Keeps::Most {
            let ran = state.ran;
            let written = state.past.iter().rposition(|(at, _)| *at + UNWRITTEN <= ran).unwrap_or(0);
            let mut book = state.past[written].1.clone();
            for (subject, seen) in &mut book {
                // Of what changed since, it is not known how much was written.
                if state.book.get(subject) != Some(seen) {
                    seen.doubt();
                }
            }
            state.book = book;
        }
    }

    /// It is about to be stopped, or goes on.
    pub(super) fn stops(&self, is_stopped: bool) {
        let mut state = self.state();
        state.pauses();
        state.is_stopped = is_stopped;
        state.since = (!is_stopped).then(Instant::now);
    }

    /// Looks how far it has come.
    pub(super) fn remember(&self) {
        let mut state = self.state();
        if state.since.is_some() {
            let now = (state.ran(), state.book.clone());
            state.past.push(now);
        }
    }

    pub(super) fn book(&self) -> Book {
        self.state().book.clone()
    }

    /// While it is down, its folder was replaced by one that holds this.
    pub(super) fn becomes(&self, book: Book) {
        self.state().book = book;
    }

    /// Begins to ask about an account. `None`: it does not run.
    pub(super) fn ask(&self, subject: usize) -> Option<Sight> {
        let state = self.state();
        let http = state.http.clone().filter(|_| !state.is_stopped)?;
        let before = state.book.get(&subject).cloned().unwrap_or_default();
        Some(Sight { http, before, asked: Instant::now(), epoch: state.epoch, process: state.process })
    }

    /// Whether it has run ever since it was asked.
    pub(super) fn ran_since(&self, sight: &Sight) -> bool {
        self.state().epoch == sight.epoch
    }

    /// Changes what was seen of an account, by an answer of the process that runs. Reports what `change` finds wrong.
    pub(super) fn learn(
        &self,
        world: &World,
        sight: &Sight,
        subject: usize,
        change: impl FnOnce(&mut Seen) -> Option<String>,
    ) {
        let mut state = self.state();
        if state.process != sight.process || state.http.is_none() {
            return;
        }
        let seen = state.book.entry(subject).or_default();
        let before = seen.clone();
        if let Some(wrong) = change(seen) {
            world.fault(subject, &format!("{}: {wrong}", self.name));
        } else if *seen != before {
            world.note(subject, &format!("{} shows {seen:?}", self.name));
        }
    }
}
