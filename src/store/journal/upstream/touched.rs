//! Which keys the feed has touched lately, so that an older comparison does not undo what it said.

use std::collections::HashMap;

use crate::feed::Subject;

/// The largest number of keys that are remembered.
const MOST: usize = 100_000;

/// When the feed last touched each key.
#[derive(Debug, Default)]
pub(in super::super) struct Touched {
    serials: HashMap<Subject, u64>,
    /// What was touched up to here is not remembered.
    floor: u64,
}

impl Touched {
    /// Nothing was touched after a serial.
    pub(in super::super) fn since(floor: u64) -> Self {
        Self { serials: HashMap::new(), floor }
    }

    /// The feed touched a key.
    pub(super) fn note(&mut self, subject: Subject, serial: u64) {
        if self.serials.len() >= MOST {
            (self.floor, self.serials) = (serial, HashMap::new());
        }
        self.serials.insert(subject, serial);
    }

    /// Whether the feed may have touched a key after a serial.
    pub(super) fn is_after(&self, subject: &Subject, serial: u64) -> bool {
        self.serials.get(subject).map_or(serial < self.floor, |touched| *touched > serial)
    }
}
