//! What is not at hand, and whether upstream is asked for it.
//!
//! A request that has to go upstream costs much more than one that is answered here, and anybody can make up keys. So what
//! is known to exist comes first, what is known not to exist is answered here while upstream is busy, and what upstream
//! cannot answer in time is not asked for.

use super::Pull;
use crate::feed::Subject;
use crate::key::AccountKey;
use crate::node::{Miss, Unavailable};
use crate::upstream::Class;

impl Pull {
    /// What there is to do about an account of which nothing is at hand that could be served without asking.
    pub(in crate::replica) fn miss(&self, key: &AccountKey) -> Miss {
        // What earlier processes left, and what is configured, is served whatever upstream says.
        if self.held.has_copy(key) || !self.held.disk.is_warm() || self.held.is_configured(key) {
            return Miss::Ask;
        }
        if self.held.is_unknown(key) {
            return Miss::Absent;
        }
        if self.flights.contains(key) {
            return Miss::Ask;
        }
        let is_certain = self.knows_all_keys();
        let exists = if is_certain {
            // The list is of what was ever there since it was made.
            self.keys.contains(&Subject::Account(*key)) && !self.held.known.is_deleted(key)
        } else {
            self.may_exist(key)
        };
        self.weigh(exists, is_certain)
    }

    /// The same of a key that exists or not, as far as is known. `is_certain`: all keys are known.
    pub(in crate::replica) fn weigh(&self, exists: bool, is_certain: bool) -> Miss {
        if exists {
            return if self.upstream.accepts(Class::Known) { Miss::Ask } else { Miss::Crowded };
        }
        if is_certain && (self.env.is_mirror() || !self.upstream.has_place(Class::Unknown)) {
            // A client is better served by what is known than by a wait for upstream.
            return Miss::Absent;
        }
        if is_certain || self.upstream.accepts(Class::Unknown) {
            Miss::AskUnknown { is_certain }
        } else {
            Miss::Crowded
        }
    }

    /// Upstream cannot answer in time.
    pub(in crate::replica) fn crowded(&self) -> Unavailable {
        self.unavailable("too many requests to it are under way")
    }
}
