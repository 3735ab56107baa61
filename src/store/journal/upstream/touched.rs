//! Which keys the feed has touched lately, so that an older comparison does not undo what it said.

use std::collections::HashMap;

use crate::feed::Subject;

/// The largest number of keys that are remembered.
const MOST: usize = 100_000;

/// When the feed last touched each key, by what was committed.
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

    fn is_after(&self, subject: &Subject, serial: u64) -> bool {
        self.serials.get(subject).map_or(serial < self.floor, |touched| *touched > serial)
    }
}

/// What a transaction adds. It counts once the transaction is committed.
#[derive(Debug, Default)]
pub(in super::super) struct TouchedNow {
    serials: HashMap<Subject, u64>,
    /// Where another order began, if one did: what was noted before does not count.
    begun: Option<u64>,
}

impl TouchedNow {
    /// Another order begins at a serial.
    pub(super) fn begin(&mut self, serial: u64) {
        (self.serials, self.begun) = (HashMap::new(), Some(serial));
    }

    /// The feed touched a key.
    pub(super) fn note(&mut self, subject: Subject, serial: u64) {
        self.serials.insert(subject, serial);
    }

    /// Whether the feed may have touched a key after a serial.
    pub(super) fn is_after(&self, before: &Touched, subject: &Subject, serial: u64) -> bool {
        match (self.serials.get(subject), self.begun) {
            (Some(touched), _) => *touched > serial,
            (None, Some(floor)) => serial < floor,
            (None, None) => before.is_after(subject, serial),
        }
    }

    /// Notes what was committed.
    pub(in super::super) fn commit(self, touched: &mut Touched) {
        if let Some(floor) = self.begun {
            *touched = Touched::since(floor);
        }
        if touched.serials.len() + self.serials.len() > MOST {
            touched.floor = touched.serials.drain().map(|(_, serial)| serial).fold(touched.floor, u64::max);
        }
        touched.serials.extend(self.serials);
    }
}
