//! Noticing that something happened to a key while one was looking elsewhere.
//!
//! Who reads a value from a slow place and then wants to cache it must know whether the value changed meanwhile. A
//! counter per key would cost memory for every key; a fixed table of counters, shared by keys that fall on the same
//! place, costs now and then a value that is not cached although it could have been.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::AccountKey;

const PLACES: usize = 4096;

/// A table of change counters.
#[derive(Debug)]
pub struct Epochs(Box<[AtomicU64]>);

/// What a counter said at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

impl Default for Epochs {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Epochs {
    /// Says that something is about to happen to `key`, or has happened: say both, before and after. Then who looked
    /// at any time in between finds the counter moved.
    pub fn bump(&self, key: &AccountKey) {
        self.place(key).fetch_add(1, Ordering::SeqCst);
    }

    /// Says it of every key.
    pub fn bump_all(&self) {
        for place in &self.0 {
            place.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Where `key` stands now; compare it with a later value.
    pub fn of(&self, key: &AccountKey) -> Epoch {
        Epoch(self.place(key).load(Ordering::SeqCst))
    }

    fn place(&self, key: &AccountKey) -> &AtomicU64 {
        let raw = key.raw();
        &self.0[usize::from(u16::from_le_bytes([raw[0], raw[1]])) % PLACES]
    }
}
