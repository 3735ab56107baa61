//! When each account is compared with one nats-server. Time is an argument here.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::key::AccountKey;

/// How many accounts may be due. Beyond that, the nats-server is asked what it has loaded of everything that changed.
const MAX_DUE: usize = 20_000;
/// The first pause before an account that differed is compared again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// What differed so often will differ for long.
const LASTING: u32 = 6;
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A planned comparison of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) key: AccountKey,
    /// The change that is expected there; 0: none in particular.
    pub(super) serial: u64,
    /// How often it was found to differ.
    pub(super) attempts: u32,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    serial: u64,
    attempts: u32,
}

/// The planned comparisons, one for each account, and when each is due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: HashMap<AccountKey, Due>,
    order: BTreeSet<(Instant, AccountKey)>,
    /// Changes of accounts that are being compared now.
    under_way: HashMap<AccountKey, u64>,
    /// The lowest change that had no room.
    beyond: Option<u64>,
}

impl Schedule {
    /// An account has another change: it is compared at `at`, whatever was planned before.
    pub(super) fn changed(&mut self, key: AccountKey, serial: u64, at: Instant) {
        self.insert(Job { key, serial, attempts: 0 }, at);
    }

    /// An account that differed is compared again after a pause that grows. Another change of it comes first.
    pub(super) fn again(&mut self, job: Job, now: Instant) {
        if !self.due.contains_key(&job.key) {
            let pause = FIRST_PAUSE.saturating_mul(1 << job.attempts.min(16)).min(LONGEST_PAUSE);
            self.insert(Job { attempts: job.attempts + 1, ..job }, now + pause);
        }
    }

    /// An account that could not be judged yet is compared at `at`. Another change of it comes first.
    pub(super) fn retry(&mut self, job: Job, at: Instant) {
        if !self.due.contains_key(&job.key) {
            self.insert(job, at);
        }
    }

    /// Moves a planned comparison to `at`, if that is earlier.
    pub(super) fn hasten(&mut self, key: &AccountKey, at: Instant) {
        if let Some(due) = self.due.get_mut(key)
            && at < due.at
        {
            self.order.remove(&(due.at, *key));
            due.at = at;
            self.order.insert((at, *key));
        }
    }

    fn insert(&mut self, job: Job, at: Instant) {
        let Job { key, serial, attempts } = job;
        if let Some(due) = self.due.get_mut(&key) {
            self.order.remove(&(due.at, key));
            *due = Due { at, serial: due.serial.max(serial), attempts };
        } else if self.due.len() >= MAX_DUE {
            self.beyond = Some(self.beyond.map_or(serial, |lowest| lowest.min(serial)));
            return;
        } else {
            self.due.insert(key, Due { at, serial, attempts });
        }
        self.order.insert((at, key));
    }

    /// The next account that is due at `now`. It counts as under way until [`Schedule::done`].
    pub(super) fn take(&mut self, now: Instant) -> Option<Job> {
        let (at, key) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        let Due { serial, attempts, .. } = self.due.remove(&key)?;
        self.under_way.insert(key, serial);
        Some(Job { key, serial, attempts })
    }

    /// A comparison has ended.
    pub(super) fn done(&mut self, key: &AccountKey) {
        self.under_way.remove(key);
    }

    /// When the next account is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Whether a comparison of an account is planned.
    pub(super) fn has(&self, key: &AccountKey) -> bool {
        self.due.contains_key(key) || self.under_way.contains_key(key)
    }

    /// The lowest change that had no room, once.
    pub(super) fn take_beyond(&mut self) -> Option<u64> {
        self.beyond.take()
    }

    /// The lowest change that was not compared yet, or differed a few times only. What differs for longer is left to sweeps.
    pub(super) fn lowest(&self) -> Option<u64> {
        let due = self.due.values().filter(|due| due.attempts < LASTING).map(|due| due.serial);
        due.chain(self.under_way.values().copied()).chain(self.beyond).filter(|serial| *serial > 0).min()
    }

    /// How many accounts were not compared since their change.
    pub(super) fn pending(&self) -> usize {
        self.due.values().filter(|due| due.attempts == 0).count() + self.under_way.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> AccountKey {
        let mut raw = [0; 32];
        raw[..8].copy_from_slice(&number.to_be_bytes());
        AccountKey::from_raw(raw)
    }

    #[test]
    fn accounts_are_taken_when_they_are_due_and_each_once() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.changed(key(1), 5, start + Duration::from_secs(2));
        schedule.changed(key(2), 6, start + Duration::from_secs(1));
        schedule.changed(key(1), 7, start + Duration::from_secs(3));
        assert_eq!(schedule.next(), Some(start + Duration::from_secs(1)));
        assert_eq!(schedule.take(start), None);
        let later = start + Duration::from_secs(9);
        assert_eq!(schedule.take(later), Some(Job { key: key(2), serial: 6, attempts: 0 }));
        assert_eq!(schedule.take(later), Some(Job { key: key(1), serial: 7, attempts: 0 }));
        assert_eq!(schedule.take(later), None);
        assert!(schedule.has(&key(1)));
        assert_eq!(schedule.lowest(), Some(6));
        schedule.done(&key(2));
        assert_eq!(schedule.lowest(), Some(7));
        schedule.done(&key(1));
        assert_eq!((schedule.lowest(), schedule.pending()), (None, 0));
    }

    #[test]
    fn what_differs_is_compared_again_after_pauses_that_grow_and_a_change_comes_first() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let mut job = Job { key: key(1), serial: 5, attempts: 0 };
        for pause in [1, 2, 4, 8] {
            schedule.again(job, start);
            assert_eq!(schedule.next(), Some(start + FIRST_PAUSE * pause));
            job = schedule.take(start + FIRST_PAUSE * pause).expect("due");
        }
        assert_eq!(schedule.pending(), 1);
        schedule.done(&key(1));
        job.attempts = 60;
        schedule.again(job, start);
        assert_eq!((schedule.pending(), schedule.lowest()), (0, None));
        assert_eq!(schedule.next(), Some(start + LONGEST_PAUSE));
        schedule.changed(key(1), 6, start);
        schedule.again(job, start);
        assert_eq!(schedule.take(start), Some(Job { key: key(1), serial: 6, attempts: 0 }));
    }

    #[test]
    fn an_answer_hastens_what_is_due_and_never_delays_it() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.hasten(&key(1), start);
        assert_eq!(schedule.next(), None);
        schedule.changed(key(1), 5, start + Duration::from_secs(2));
        schedule.hasten(&key(1), start + Duration::from_secs(3));
        assert_eq!(schedule.next(), Some(start + Duration::from_secs(2)));
        schedule.hasten(&key(1), start);
        assert_eq!(schedule.take(start).map(|job| job.key), Some(key(1)));
    }

    #[test]
    fn what_has_no_room_is_remembered_by_its_lowest_change() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        for number in 0..MAX_DUE as u64 {
            schedule.changed(key(number), 100 + number, start);
        }
        schedule.changed(key(99_999), 9, start);
        schedule.changed(key(99_998), 7, start);
        // One that has a place keeps it.
        schedule.changed(key(3), 200_000, start);
        assert_eq!((schedule.pending(), schedule.lowest()), (MAX_DUE, Some(7)));
        assert_eq!((schedule.take_beyond(), schedule.take_beyond()), (Some(7), None));
        assert_eq!(schedule.lowest(), Some(100));
    }
}
