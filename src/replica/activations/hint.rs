//! Activations that a replica hears over NATS.
//!
//! They follow the rule of accounts ([`rule`]), with one difference: a hint causes no request. The next GET asks the
//! primary.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Activations, AskedActivation, CachedActivation};
use crate::clock;
use crate::gate::{Judged, Ordering as Order, Refusal, SentFor, Unproven, Via};
use crate::jwt::HashId;
use crate::replica::hint::HintOutcome;
use crate::store::journal::upstream::{KnownCopy, Ruling, rule};

impl Activations {
    /// Whether a copy or an absence is cached, or will be when an answer has come.
    fn is_wanted(&self, id: &HashId) -> bool {
        self.cache.contains_key(id) || self.unknown.contains(id) || is_for(self.lane(id).asked.lock().as_ref(), id)
    }
}

fn is_for(asked: Option<&AskedActivation>, id: &HashId) -> bool {
    asked.is_some_and(|asked| asked.id == *id)
}

/// How an activation compares with the copy, if there is one.
fn order(copy: Option<&CachedActivation>, offered: &Unproven) -> Order {
    let Some(held) = copy.map(|copy| copy.judged.activation().version()) else { return Order::Newer };
    let offered = offered.version();
    match offered.iat.cmp(&held.iat) {
        _ if offered.identity == held.identity => Order::Same,
        std::cmp::Ordering::Less => Order::Refused(Refusal::Older { held: held.iat, offered: offered.iat }),
        // Of two in one second, only the primary knows the order.
        std::cmp::Ordering::Equal => Order::Refetch,
        std::cmp::Ordering::Greater => Order::Newer,
    }
}

impl Activations {
    /// Applies an activation from NATS. Returns whether it is now the copy.
    ///
    /// A newer one replaces the copy if the account vouches for it. The replica asks the primary about it no later than
    /// about the copy that it replaces.
    pub(in crate::replica) fn hear(&self, token: &[u8], sent_for: SentFor<'_>) -> Result<bool, Refusal> {
        let unproven = self.env.gate.read_activation(token, sent_for, Via::Hint, clock::unix_seconds())?;
        let outcome = if self.is_wanted(unproven.id()) { self.judge(unproven)? } else { HintOutcome::Ignored };
        self.hints.count(outcome);
        Ok(outcome == HintOutcome::Applied)
    }

    fn judge(&self, unproven: Unproven) -> Result<HintOutcome, Refusal> {
        let id = *unproven.id();
        // While this is locked, no request for it begins.
        let mut asked = self.lane(&id).asked.lock();
        let heard = self.heard.load(Ordering::SeqCst);
        let copy = self.cache.get(&id);
        let under_way = asked.as_mut().filter(|asked| asked.id == id);
        let known = KnownCopy { is_confirmed: copy.is_some(), is_asked: under_way.is_some(), is_accepted: false };
        match (rule(order(copy.as_deref(), &unproven), known)?, copy, under_way) {
            (Ruling::Nothing, ..) => Ok(HintOutcome::Ignored),
            (Ruling::Apply, Some(copy), _) => {
                let Some(account) = self.held.at_hand(unproven.account()) else {
                    // Its account has left the cache, and a hint causes no request for it.
                    return Ok(self.mark_stale(&id, Some(&copy)));
                };
                let judged = Arc::new(Judged::new(Arc::new(unproven.prove(account.entry())?)));
                let checked = copy.checked.load(Ordering::Acquire);
                self.insert(&id, Arc::new(CachedActivation::new(judged, 0, checked)), heard);
                Ok(HintOutcome::Applied)
            }
            (_, _, Some(asked)) => {
                asked.is_stale = asked.is_stale || self.hints.may_ask();
                Ok(if asked.is_stale { HintOutcome::Asked } else { HintOutcome::Dropped })
            }
            (_, copy, None) => Ok(self.mark_stale(&id, copy.as_deref())),
        }
    }

    /// Has the next request ask the primary, if hints may cause that now.
    fn mark_stale(&self, id: &HashId, copy: Option<&CachedActivation>) -> HintOutcome {
        if !self.hints.may_ask() {
            return HintOutcome::Dropped;
        }
        match copy {
            Some(copy) => copy.mark_stale(),
            None => self.unknown.forget(id),
        }
        HintOutcome::Asked
    }
}
