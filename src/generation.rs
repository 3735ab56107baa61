//! Noticing that a key changed during a slow read.
//!
//! Code that reads a value from a slow place and then caches it must know whether the value changed in between. A
//! counter for each key would cost memory. In a fixed table, several keys share a counter; so now and then a value is
//! not cached although it could be.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::AccountKey;

const PLACES: usize = 4096;

/// A table of change counters.
#[derive(Debug)]
pub struct Generations(Box<[AtomicU64]>);

/// The value of a counter at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

impl Default for Generations {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Generations {
    /// Marks a change of `key`. Call it before and after the change. Then a reader that began at any time in between
    /// finds that the counter moved.
    pub fn bump(&self, key: &AccountKey) {
        self.place(key).fetch_add(1, Ordering::SeqCst);
    }

    /// Says it of every key.
    pub fn bump_all(&self) {
        for place in &self.0 {
            place.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The counter of `key`, to be compared with a later value.
    pub fn of(&self, key: &AccountKey) -> Generation {
        Generation(self.place(key).load(Ordering::SeqCst))
    }

    fn place(&self, key: &AccountKey) -> &AtomicU64 {
        let raw = key.raw();
        &self.0[usize::from(u16::from_le_bytes([raw[0], raw[1]])) % PLACES]
    }
}
