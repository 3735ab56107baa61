//! What each nats-server was found to run: the differences from what is stored here.
//!
//! What is equal is not written down: with many nats-servers and many accounts that would be most of the memory of this
//! process. A difference is there from the comparison that found it until one that does not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::compared::{Compared, Match};
use crate::gate::Identity;
use crate::key::AccountKey;

/// How many differences of one nats-server are remembered. Those beyond are counted.
const MAX_DIFFERENCES: usize = 10_000;

/// A difference between a nats-server and the store.
#[derive(Debug, Clone)]
pub struct Difference {
    /// What the latest comparison found.
    pub compared: Arc<Compared>,
    /// What the account should run there: issue time and identity of what is stored; `None`: nothing.
    pub should_run: Option<(i64, Identity)>,
    /// When the difference was first seen, unix milliseconds.
    pub since: i64,
    /// The same by the monotonic clock.
    pub began: Instant,
    /// Whether the log has said that it lasts.
    pub was_reported: bool,
}

impl Difference {
    /// Whether the nats-server runs something else than it should, and could.
    pub fn is_behind(&self) -> bool {
        matches!(self.compared.found, Match::Behind { .. } | Match::Rejected { .. }) || !self.compared.is_in_force()
    }
}

/// What is known of one nats-server.
#[derive(Debug, Clone, Default)]
pub struct ServerStanding {
    /// Accounts that it has loaded, as far as it said, its own ones included.
    pub loaded: Option<usize>,
    /// When any account was last compared, unix milliseconds.
    pub compared_at: Option<i64>,
    /// When the latest sweep over all its accounts ended, unix milliseconds.
    pub swept_at: Option<i64>,
    /// Changed accounts that are still to be compared.
    pub pending: usize,
    /// Why it cannot be told what it runs.
    pub unknown: Option<String>,
    /// The operator JWT that it runs.
    pub operator: Option<OperatorThere>,
    /// Differences, by account.
    pub differences: BTreeMap<AccountKey, Difference>,
    /// Differences that had no room.
    pub more: usize,
}

/// The operator JWT that a nats-server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorThere {
    /// Its issue time, unix seconds.
    pub iat: i64,
    /// Whether it is the one in force here. The nats-server reads another one at its restart or reload.
    pub is_current: bool,
}

impl ServerStanding {
    /// Whether everything that was compared is as stored. `None`: nothing can be told yet.
    pub fn is_in_sync(&self) -> Option<bool> {
        if self.behind() > 0 {
            return Some(false);
        }
        let is_known = self.unknown.is_none() && self.swept_at.is_some() && self.pending == 0;
        is_known.then_some(true)
    }

    /// How many accounts run something else than they should.
    pub fn behind(&self) -> usize {
        self.differences.values().filter(|difference| difference.is_behind()).count() + self.more
    }
}

/// What is known of all of them, by their ids.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    standings: HashMap<String, ServerStanding>,
}

impl Fleet {
    /// What is known of a nats-server, to be changed.
    pub(super) fn standing(&mut self, id: &str) -> &mut ServerStanding {
        // As many as there are nats-servers, which are bounded.
        if !self.standings.contains_key(id) {
            self.standings.insert(id.to_owned(), ServerStanding::default());
        }
        self.standings.entry(id.to_owned()).or_default()
    }

    pub(super) fn get(&self, id: &str) -> Option<&ServerStanding> {
        self.standings.get(id)
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.standings.remove(id);
    }

    /// Notes what a comparison found. `should_run`: what is stored.
    pub(super) fn compared(
        &mut self,
        id: &str,
        key: AccountKey,
        compared: &Arc<Compared>,
        should_run: Option<(i64, Identity)>,
    ) {
        let standing = self.standing(id);
        standing.compared_at = standing.compared_at.max(Some(compared.at));
        standing.unknown = None;
        let is_equal =
            matches!(compared.found, Match::Current | Match::NotLoaded | Match::Foreign) && compared.is_in_force();
        if is_equal {
            standing.differences.remove(&key);
            return;
        }
        if let Some(known) = standing.differences.get_mut(&key) {
            if known.compared.asked <= compared.asked {
                // What was behind and is behind what came since was behind all the time.
                let goes_on = known.is_behind() == compared_is_behind(compared);
                let (since, began) = if goes_on { (known.since, known.began) } else { (compared.at, compared.asked) };
                let was_reported = goes_on && known.was_reported;
                *known = Difference { compared: compared.clone(), should_run, since, began, was_reported };
            }
            return;
        }
        if standing.differences.len() >= MAX_DIFFERENCES {
            standing.more += 1;
            return;
        }
        let (since, began) = (compared.at, compared.asked);
        let difference = Difference { compared: compared.clone(), should_run, since, began, was_reported: false };
        standing.differences.insert(key, difference);
    }

    /// Differences that have lasted since `before` and were not reported yet, as reported from now
    /// on: ids of the nats-servers, and how often there was one.
    pub(super) fn lasting(&mut self, before: Instant) -> Vec<(String, AccountKey, Difference)> {
        let mut lasting = Vec::new();
        for (id, standing) in &mut self.standings {
            for (key, difference) in &mut standing.differences {
                if difference.began <= before && difference.is_behind() && !difference.was_reported {
                    difference.was_reported = true;
                    lasting.push((id.clone(), *key, difference.clone()));
                }
            }
        }
        lasting
    }
}

fn compared_is_behind(compared: &Compared) -> bool {
    matches!(compared.found, Match::Behind { .. } | Match::Rejected { .. }) || !compared.is_in_force()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::node::delivery::compared::Gone;

    fn compared(found: Match, at: i64) -> Arc<Compared> {
        Arc::new(Compared { serial: 1, found, asked: Instant::now(), at, connections_left: None, lagging: Vec::new() })
    }

    fn key(number: u8) -> AccountKey {
        AccountKey::from_raw([number; 32])
    }

    #[test]
    fn a_difference_lasts_from_when_it_was_first_seen_until_it_is_gone() {
        let mut fleet = Fleet::default();
        let behind = Match::Behind { runs: None };
        fleet.compared("N", key(1), &compared(behind.clone(), 10), Some((1, [1; 32])));
        fleet.compared("N", key(1), &compared(behind.clone(), 20), Some((2, [2; 32])));
        let difference = &fleet.get("N").expect("known").differences[&key(1)];
        assert_eq!((difference.since, difference.should_run), (10, Some((2, [2; 32]))));
        assert_eq!(fleet.get("N").expect("known").is_in_sync(), Some(false));
        let began = difference.began;
        assert!(fleet.lasting(began - Duration::from_millis(1)).is_empty());
        assert_eq!(fleet.lasting(began).len(), 1);
        assert!(fleet.lasting(began).is_empty(), "each is reported once");
        fleet.compared("N", key(1), &compared(Match::Current, 30), None);
        assert!(fleet.get("N").expect("known").differences.is_empty());
        // It is another one.
        fleet.compared("N", key(1), &compared(behind, 40), None);
        assert_eq!(fleet.lasting(Instant::now()).len(), 1);
    }

    #[test]
    fn what_cannot_be_unloaded_is_shown_and_is_not_behind() {
        let mut fleet = Fleet::default();
        let gone = Match::CannotUnload { runs: None, gone: Gone::Deleted, lets_nobody_in: false };
        fleet.compared("N", key(1), &compared(gone, 10), None);
        let standing = fleet.get("N").expect("known");
        assert_eq!((standing.behind(), standing.differences.len()), (0, 1));
        // It is unknown before a sweep has ended.
        assert_eq!(standing.is_in_sync(), None);
        fleet.standing("N").swept_at = Some(11);
        assert_eq!(fleet.get("N").expect("known").is_in_sync(), Some(true));
    }

    #[test]
    fn connections_that_are_left_make_a_server_lag_behind() {
        let mut fleet = Fleet::default();
        let left = Compared { connections_left: Some(1), ..(*compared(Match::Current, 10)).clone() };
        fleet.compared("N", key(1), &Arc::new(left), None);
        assert_eq!(fleet.get("N").expect("known").behind(), 1);
    }

    #[test]
    fn so_many_differences_are_remembered_and_the_others_are_counted() {
        let mut fleet = Fleet::default();
        for number in 0..MAX_DIFFERENCES + 5 {
            let mut raw = [0; 32];
            raw[..8].copy_from_slice(&number.to_be_bytes());
            let key = AccountKey::from_raw(raw);
            fleet.compared("N", key, &compared(Match::Behind { runs: None }, 10), None);
        }
        let standing = fleet.get("N").expect("known");
        assert_eq!((standing.differences.len(), standing.behind()), (MAX_DIFFERENCES, MAX_DIFFERENCES + 5));
    }
}
