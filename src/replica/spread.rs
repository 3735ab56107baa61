//! When copies are checked again: at different times for each account and each replica.

use std::time::Duration;

use crate::key::AccountKey;

/// What makes the times of this replica different from those of others.
#[derive(Debug)]
pub(super) struct Spread(u64);

impl Default for Spread {
    fn default() -> Self {
        Self(rand::random())
    }
}

impl Spread {
    /// `ttl`, a tenth more or less: always the same for one account on one replica. So accounts that were pulled
    /// together are not checked together, nor is one account by all replicas at once.
    pub(super) fn of(&self, ttl: Duration, key: &AccountKey) -> Duration {
        let [.., a, b, c, d] = key.raw();
        let mixed = (u64::from(u32::from_le_bytes([*a, *b, *c, *d])) ^ self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // From 900 to 1100. The upper half of the product is the mixed one.
        let share = 900 + u32::try_from(((mixed >> 32) * 201) >> 32).unwrap_or(0);
        ttl * share / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fill_a_fifth_of_the_ttl_and_are_others_on_another_replica() {
        let ttl = Duration::from_secs(1_000);
        let keys: Vec<_> =
            (0..500).map(|_| AccountKey::parse(&nkeys::KeyPair::new_account().public_key()).expect("a key")).collect();
        let (one, other) = (Spread(1), Spread(0x1234_5678_9abc_def0));
        let times: Vec<_> = keys.iter().map(|key| one.of(ttl, key).as_secs()).collect();
        assert!(times.iter().all(|time| (900..=1_100).contains(time)), "{times:?}");
        for tenth in 0..10 {
            let part = 900 + 20 * tenth..920 + 20 * tenth;
            let count = times.iter().copied().filter(|time| part.contains(time)).count();
            assert!((10..=120).contains(&count), "{count} in {part:?}");
        }
        let same = keys.iter().filter(|key| one.of(ttl, key) == other.of(ttl, key)).count();
        assert!(same < 50, "{same}");
        assert_eq!(one.of(ttl, &keys[0]), one.of(ttl, &keys[0]));
    }
}
