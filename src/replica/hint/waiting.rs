//! Hints that wait for a request to upstream.
//!
//! A tool that repeats all its JWTs sends as many hints as there are accounts. So their effect is bounded: one hint
//! waits for each account, few requests are under way at a time and in a second, and clients come first. Most hints
//! need no request, because the feed has brought the change before their turn. The feed or the next GET also brings
//! what is dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{HintOutcome, Hints};
use crate::gate::Entry;
use crate::key::AccountKey;
use crate::replica::held::Heard;
use crate::store::journal::upstream::EarlyWay;

/// The largest number of accounts that wait.
const ACCOUNTS: usize = 1024;
/// The largest text that waits, in bytes.
const TEXT: usize = 8 << 20;
/// The largest number of requests under way.
const LANES: usize = 4;
/// The number of requests in a second, and at once after a quiet second.
const RATE: u64 = 40;
/// How long a live feed has to bring the change before a request.
const FEED_FIRST: Duration = Duration::from_millis(500);
/// The pause between two checks for room for a request.
const ROOM: Duration = Duration::from_millis(25);

/// The hints that wait, and how many requests they may still cause.
#[derive(Debug, Default)]
pub(super) struct WaitingHints {
    queue: Mutex<HintQueue>,
    rate: Rate,
}

#[derive(Debug, Default)]
struct HintQueue {
    order: VecDeque<AccountKey>,
    turns: HashMap<AccountKey, WaitingHint>,
    text: usize,
    lanes: usize,
}

/// The newest hint of an account.
#[derive(Debug, Clone)]
struct WaitingHint {
    entry: Arc<Entry>,
    /// Another one is of the same second, so only upstream knows the order.
    is_tied: bool,
    due: Instant,
}

impl HintQueue {
    /// Adds a hint. Returns its outcome, if it does not wait, and whether another lane must start.
    fn push(&mut self, entry: Arc<Entry>, due: Instant) -> (Option<HintOutcome>, bool) {
        let (key, text) = (*entry.key(), entry.token().len());
        if let Some(turn) = self.turns.get_mut(&key) {
            let held = turn.entry.token().len();
            if entry.iat() == turn.entry.iat() {
                turn.is_tied |= entry.identity() != turn.entry.identity();
            } else if entry.iat() > turn.entry.iat() && self.text - held + text <= TEXT {
                self.text = self.text - held + text;
                (turn.entry, turn.is_tied) = (entry, false);
            }
            return (Some(HintOutcome::Joined), false);
        }
        if self.turns.len() >= ACCOUNTS || self.text + text > TEXT {
            return (Some(HintOutcome::Dropped), false);
        }
        self.text += text;
        self.order.push_back(key);
        self.turns.insert(key, WaitingHint { entry, is_tied: false, due });
        let is_wanted = self.lanes < LANES;
        self.lanes += usize::from(is_wanted);
        (None, is_wanted)
    }

    /// Takes the next one. `None`: nothing waits, and the lane ends.
    fn pop(&mut self) -> Option<WaitingHint> {
        let turn = self.order.pop_front().and_then(|key| self.turns.remove(&key));
        match &turn {
            Some(turn) => self.text -= turn.entry.token().len(),
            None => self.lanes -= 1,
        }
        turn
    }
}

impl WaitingHints {
    /// Whether a hint may cause a request now. `true` counts as that request.
    pub(super) fn may_ask(&self) -> bool {
        self.rate.take(Instant::now())
    }
}

impl Hints {
    /// Adds a hint to the queue.
    pub(super) fn wait_with(self: &Arc<Self>, entry: Arc<Entry>) {
        let patience = if self.held.freshness.is_following() && self.held.freshness.is_current() {
            FEED_FIRST
        } else {
            Duration::ZERO
        };
        let (outcome, needs_lane) = self.waiting.queue.lock().push(entry, Instant::now() + patience);
        if let Some(outcome) = outcome {
            self.count(outcome);
        }
        if needs_lane {
            let hints = self.clone();
            self.env.runtime.spawn(async move {
                loop {
                    // Not locked during the wait.
                    let turn = hints.waiting.queue.lock().pop();
                    let Some(turn) = turn else { return };
                    let outcome = hints.take_turn(turn).await;
                    hints.count(outcome);
                }
            });
        }
    }

    async fn take_turn(self: &Arc<Self>, turn: WaitingHint) -> HintOutcome {
        let key = *turn.entry.key();
        tokio::time::sleep_until(turn.due.into()).await;
        // The answer under way comes first.
        if let Some(flight) = self.pull.under_way(&key) {
            let _ = flight.await;
        }
        if !turn.is_tied {
            match self.held.judge(&turn.entry, EarlyWay::Hint).await {
                Ok(Heard::Ask) => {}
                Ok(Heard::Applied) => return HintOutcome::Applied,
                Ok(Heard::Nothing) | Err(_) => return HintOutcome::Settled,
            }
        }
        while !self.upstream.has_room() || !self.waiting.may_ask() {
            if self.upstream.is_resting() {
                return HintOutcome::Dropped;
            }
            tokio::time::sleep(ROOM).await;
        }
        if self.upstream.is_resting() {
            return HintOutcome::Dropped;
        }
        // The request applies its own answer. One under way began after the hint was heard.
        match self.pull.flight(key).await {
            Ok(_) => HintOutcome::Asked,
            Err(_) => HintOutcome::Dropped,
        }
    }
}

/// [`RATE`] requests in a second, or at once after a quiet second.
#[derive(Debug, Default)]
struct Rate(Mutex<Option<Instant>>);

impl Rate {
    const EVERY: Duration = Duration::from_millis(1000 / RATE);

    fn take(&self, now: Instant) -> bool {
        let mut used_until = self.0.lock();
        let next = used_until.map_or(now, |until| until.max(now)) + Self::EVERY;
        let is_free = next <= now + Duration::from_secs(1);
        if is_free {
            *used_until = Some(next);
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;
    use serde_json::json;

    use super::*;
    use crate::gate::{Gate, Via};
    use crate::jwt::encode;

    /// A JWT of an account with this many characters besides its claims.
    fn entry(account: &KeyPair, iat: i64, name: &str, text: usize) -> Arc<Entry> {
        let claims = json!({
            "sub": account.public_key(), "name": name, "iat": iat,
            "nats": { "type": "account", "version": 2, "tags": ["x".repeat(text)], "limits": { "conn": -1 } }
        });
        let jwt = encode::sign(&claims, &KeyPair::new_operator()).expect("signed");
        Arc::new(Gate::new(None, None, 0).admit(jwt.as_bytes(), None, Via::Upstream, iat).expect("admitted"))
    }

    fn push(queue: &mut HintQueue, entry: &Arc<Entry>) -> Option<HintOutcome> {
        queue.push(entry.clone(), Instant::now()).0
    }

    #[test]
    fn one_hint_waits_for_each_account_the_newest() {
        let (mut queue, account, other) = (HintQueue::default(), KeyPair::new_account(), KeyPair::new_account());
        let [old, new] = [1, 2].map(|iat| entry(&account, iat, "a", 0));
        let second = entry(&other, 1, "a", 0);
        let outcomes = [&new, &second, &old, &new].map(|entry| push(&mut queue, entry));
        assert_eq!(outcomes, [None, None, Some(HintOutcome::Joined), Some(HintOutcome::Joined)]);
        let turn = queue.pop().expect("one waits");
        assert_eq!((turn.entry.iat(), turn.is_tied), (2, false));
        // Of two in one second, neither is applied without a request.
        assert_eq!(push(&mut queue, &entry(&other, 1, "b", 0)), Some(HintOutcome::Joined));
        assert!(queue.pop().expect("the other").is_tied);
        assert!(queue.pop().is_none());
        assert_eq!((queue.text, queue.turns.len(), queue.order.len()), (0, 0, 0));
    }

    #[test]
    fn what_waits_and_who_works_it_off_is_bounded() {
        let mut queue = HintQueue::default();
        let large = |_| entry(&KeyPair::new_account(), 1, "a", 700_000);
        let entries: Vec<_> = (0..12).map(large).collect();
        let pushed: Vec<_> = entries.iter().map(|entry| queue.push(entry.clone(), Instant::now())).collect();
        let dropped = pushed.iter().filter(|(outcome, _)| *outcome == Some(HintOutcome::Dropped)).count();
        assert!((3..6).contains(&dropped), "{dropped}");
        assert!(queue.text <= TEXT);
        assert_eq!(pushed.iter().filter(|(_, needs_lane)| *needs_lane).count(), LANES);
        while queue.pop().is_some() {}
        assert_eq!((queue.text, queue.lanes), (0, LANES - 1));
        let small = entry(&KeyPair::new_account(), 1, "a", 0);
        assert_eq!(queue.push(small.clone(), Instant::now()), (None, true), "a lane that has ended is wanted again");
        let turn = queue.pop().expect("it waits");
        queue.turns.extend((0..ACCOUNTS).map(|n| {
            let mut raw = [0; 32];
            raw[..8].copy_from_slice(&n.to_be_bytes());
            (AccountKey::from_raw(raw), turn.clone())
        }));
        assert_eq!(push(&mut queue, &small), Some(HintOutcome::Dropped));
    }

    #[test]
    fn so_many_in_a_second_and_as_many_at_once() {
        let (rate, start) = (Rate::default(), Instant::now());
        let taken = |after: u64| {
            let now = start + Duration::from_millis(after);
            (0..1_000).filter(|_| rate.take(now)).count()
        };
        assert_eq!([taken(0), taken(0), taken(500), taken(10_000)], [40, 0, 20, 40]);
    }
}
