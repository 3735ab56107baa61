//! What is not at hand, and whether upstream is asked for it.
//!
//! A request that has to go upstream costs much more than one that is answered here, and anybody can make up keys. So what
//! is known to exist comes first, what is known not to exist is answered here while upstream is busy, and what upstream
//! cannot answer in time is not asked for.

use super::Replica;
use super::upstream::Class;
use crate::feed::digest::Key;
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::node::{Miss, Unavailable};

impl Replica {
    /// What there is to do about an account of which nothing is at hand that could be served without asking.
    pub fn miss(&self, key: &AccountKey) -> Miss {
        // What earlier processes left, and what is configured, is served whatever upstream says.
        if self.cache.contains_key(key) || !self.keeping.is_warm() || self.is_configured(key) {
            return Miss::Ask;
        }
        if self.unknown.contains(key) {
            return Miss::Absent;
        }
        if self.is_asked(key) {
            return Miss::Ask;
        }
        let is_certain = self.knows_all_keys();
        let exists = if is_certain {
            // The list is of what was ever there since it was made.
            self.keys.contains(&Key::account(key)) && !self.is_deleted(key)
        } else {
            self.may_exist(key)
        };
        self.weigh(exists, is_certain)
    }

    /// The same of an activation.
    pub fn miss_activation(&self, id: &HashId) -> Miss {
        if let Some(found) = self.activation_at_hand(id) {
            return if found.is_some() { Miss::Ask } else { Miss::Absent };
        }
        let is_certain = self.knows_all_keys();
        if self.has_activation(id, !is_certain) {
            return Miss::Ask;
        }
        self.weigh(self.keys.contains(&Key::activation(id)), is_certain)
    }

    fn weigh(&self, exists: bool, is_certain: bool) -> Miss {
        if exists {
            return if self.upstream.accepts(Class::Known) { Miss::Ask } else { Miss::Crowded };
        }
        if is_certain && (self.is_mirror() || !self.upstream.has_place(Class::Unknown)) {
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
    pub(super) fn crowded(&self) -> Unavailable {
        self.unavailable("too many requests to it are under way")
    }

    /// Whether the primary is being asked about an account.
    pub(super) fn is_asked(&self, key: &AccountKey) -> bool {
        self.flights.lock().contains_key(key)
    }
}
