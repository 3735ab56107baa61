//! The most recent changes, in memory, for followers that keep up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Change, Head};

/// How many bytes of token text the ring keeps. A follower further behind reads the journal.
const MAX_BYTES: usize = 8 << 20;
/// How many bytes of token text one answer carries, about.
const ANSWER_BYTES: usize = 1 << 20;
/// How many changes the ring keeps.
const MAX_CHANGES: usize = 4096;

/// A bounded history of the latest changes, and the place to wait for the next one.
#[derive(Debug)]
pub struct Ring {
    changes: Mutex<Recent>,
    head: watch::Sender<Head>,
}

#[derive(Debug, Default)]
struct Recent {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
}

/// What the ring can say about the changes after a serial.
#[derive(Debug)]
pub enum Catchup {
    /// All of them, up to the limit asked for; none if there are none yet.
    Changes(Vec<Arc<Change>>),
    /// They begin before what the ring keeps.
    TooOld,
}

impl Ring {
    /// An empty ring of a journal that stands at `head`.
    pub fn new(head: Head) -> Self {
        Self { changes: Mutex::default(), head: watch::Sender::new(head) }
    }

    /// Where the journal stands.
    pub fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// A handle that is told whenever the journal moves on.
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Adds committed changes, in order, and wakes who waits.
    pub fn extend(&self, changes: impl IntoIterator<Item = Arc<Change>>) {
        let mut last = None;
        {
            let mut recent = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            for change in changes {
                last = Some((change.serial, change.chain));
                recent.bytes += change.weight();
                recent.changes.push_back(change);
            }
            while recent.bytes > MAX_BYTES || recent.changes.len() > MAX_CHANGES {
                let Some(oldest) = recent.changes.pop_front() else { break };
                recent.bytes -= oldest.weight();
            }
        }
        if let Some((serial, chain)) = last {
            self.head.send_modify(|head| (head.serial, head.chain) = (serial, chain));
        }
    }

    /// The changes after `serial`, at most `limit` of them and about 1 MiB of token text.
    pub fn after(&self, serial: u64, limit: usize) -> Catchup {
        if serial >= self.head().serial {
            return Catchup::Changes(Vec::new());
        }
        let recent = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        match recent.changes.front() {
            Some(first) if first.serial <= serial + 1 => {
                let skip = usize::try_from(serial + 1 - first.serial).unwrap_or(usize::MAX);
                let mut bytes = 0;
                let fits = |change: &&Arc<Change>| {
                    let room = bytes < ANSWER_BYTES;
                    bytes += change.weight();
                    room
                };
                Catchup::Changes(recent.changes.iter().skip(skip).take(limit).take_while(fits).cloned().collect())
            }
            _ => Catchup::TooOld,
        }
    }
}
