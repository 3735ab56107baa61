//! Which keys the feed has touched lately, so that an older comparison does not undo what it said.

use std::collections::HashMap;

use crate::feed::Subject;

/// Keys after which the earlier ones begin to be forgotten. Up to twice as many are remembered.
const MANY: usize = 100_000;

/// When the feed last touched each key, by what was committed.
#[derive(Debug, Default)]
pub(in super::super) struct Touched {
    serials: HashMap<Subject, u64>,
    /// Those before, which are forgotten next. So what is forgotten is at least [`MANY`] keys old, and a comparison that is
    /// under way is later.
    earlier: HashMap<Subject, u64>,
    /// What was touched up to here is not remembered.
    floor: u64,
    /// Whether upstream has keys of which nothing is known here.
    pub(super) misses_a_key: bool,
}

impl Touched {
    /// Nothing was touched after a serial.
    pub(in super::super) fn since(floor: u64) -> Self {
        Self { floor, ..Self::default() }
    }

    fn is_after(&self, subject: &Subject, serial: u64) -> bool {
        let touched = self.serials.get(subject).or_else(|| self.earlier.get(subject));
        touched.map_or(serial < self.floor, |touched| *touched > serial)
    }

    fn add(&mut self, serials: HashMap<Subject, u64>) {
        if self.serials.len() >= MANY {
            let forgotten = std::mem::replace(&mut self.earlier, std::mem::take(&mut self.serials));
            self.floor = forgotten.into_values().fold(self.floor, u64::max);
        }
        self.serials.extend(serials);
    }
}

/// What a transaction adds. It counts once the transaction is committed.
#[derive(Debug, Default)]
pub(in super::super) struct TouchedNow {
    serials: HashMap<Subject, u64>,
    /// Where another order began, if one did: what was noted before does not count.
    begun: Option<u64>,
    /// [`Touched::misses_a_key`], if it changes.
    pub(super) misses_a_key: Option<bool>,
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
        touched.misses_a_key = self.misses_a_key.unwrap_or(touched.misses_a_key);
        touched.add(self.serials);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::AccountKey;

    #[test]
    fn what_is_forgotten_is_far_behind() {
        let subject = |n: u64| {
            let mut raw = [0; 32];
            raw[..8].copy_from_slice(&n.to_be_bytes());
            Subject::Account(AccountKey::from_raw(raw))
        };
        let (mut touched, most) = (Touched::default(), MANY as u64);
        for serial in 1..=3 * most {
            let mut now = TouchedNow::default();
            now.note(subject(serial), serial);
            now.commit(&mut touched);
            let (lately, now) = (serial.saturating_sub(most), TouchedNow::default());
            assert!(!now.is_after(&touched, &subject(0), lately), "{serial}: a key that was not touched");
            assert!(
                now.is_after(&touched, &subject(serial), serial - 1)
                    && !now.is_after(&touched, &subject(serial), serial)
            );
        }
        assert!(touched.serials.len() + touched.earlier.len() <= 2 * MANY);
        assert!(TouchedNow::default().is_after(&touched, &subject(1), 0), "it is not remembered");
    }
}
