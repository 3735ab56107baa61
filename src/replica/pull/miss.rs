//! Decides whether a miss causes a request upstream.
//!
//! Such a request costs much more than an answer from here, and anyone can make up keys. So requests for known keys
//! come first. While upstream is busy, the replica itself answers for keys that do not exist. It sends no request that
//! upstream cannot answer in time.

use super::Pull;
use crate::key::AccountKey;
use crate::node::{Miss, Unavailable};
use crate::upstream::Class;

impl Pull {
    /// What to do about an account that cannot be served without a request.
    pub(in crate::replica) fn miss(&self, key: &AccountKey) -> Miss {
        // The replica serves what it holds and the configured JWT, whatever upstream says.
        if self.held.copies.contains(key) || self.held.is_configured(key) {
            return Miss::Ask;
        }
        if self.held.copies.unknown.contains(key) {
            return Miss::Absent;
        }
        if self.flights.contains(key) {
            return Miss::Ask;
        }
        let is_certain = self.held.knows_all_keys();
        let exists = self.held.was_seen(key) && !(is_certain && self.held.is_deleted(key));
        if exists && self.held.at_hand(key).is_some() {
            return Miss::Ask;
        }
        self.weigh(exists, is_certain)
    }

    /// The same for a key. `exists`: whether it is known to exist. `is_certain`: all keys are known.
    pub(in crate::replica) fn weigh(&self, exists: bool, is_certain: bool) -> Miss {
        if exists {
            return if self.upstream.accepts(Class::Known) { Miss::Ask } else { Miss::Crowded };
        }
        if is_certain && (self.env.is_mirror() || !self.upstream.has_place(Class::Unknown)) {
            // The known answer is better for a client than a wait for upstream.
            return Miss::Absent;
        }
        if is_certain || self.upstream.accepts(Class::Unknown) {
            Miss::AskUnknown { is_certain }
        } else {
            Miss::Crowded
        }
    }

    pub(in crate::replica) fn crowded(&self) -> Unavailable {
        self.unavailable("too many requests to it are under way")
    }
}
