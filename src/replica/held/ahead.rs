//! Accounts that are newer here than at the primary, or the same.

use super::Held;
use crate::gate::Tombstone;
use crate::key::AccountKey;
use crate::replica::known::leaf;
use crate::store::snapshot::Seen;

impl Held {
    /// The primary has nothing of these accounts but a deletion that was just applied. What is later here stays.
    pub(in crate::replica) fn is_ahead_of<'k>(
        &self,
        tombstone: &Tombstone,
        keys: impl IntoIterator<Item = &'k AccountKey>,
    ) {
        let is_later = |seen: &Seen| seen.is_live() || seen.held.deleted() != Some(&tombstone.deletion());
        for key in keys {
            if self.known.versions.with(key, |seen| is_later(seen)) {
                self.is_ahead(key);
            }
        }
    }

    /// The primary holds something older of an account, or nothing. What is here stays.
    pub(in crate::replica) fn is_ahead(&self, key: &AccountKey) {
        if self.notice_ahead(key) {
            self.check_soon(key, None);
        }
    }

    /// The same, after a request to the primary. Returns whether there is something here.
    pub(in crate::replica) fn notice_ahead(&self, key: &AccountKey) -> bool {
        let is_ahead = self.known.versions.with(key, |seen| {
            seen.ahead = leaf(key, seen).is_some();
            seen.ahead
        });
        if is_ahead {
            // A newer copy does not limit the position.
            self.positions.confirm(key);
        }
        is_ahead
    }

    /// The primary holds the same of an account.
    pub(in crate::replica) fn is_level(&self, key: &AccountKey) {
        self.known.versions.with(key, |seen| {
            seen.ahead = false;
            seen.give_heard(&self.env.gate.standing());
        });
    }

    /// Logs how many accounts are newer here than at the primary.
    pub(in crate::replica) fn report_ahead(&self, primary: &str) {
        let count = self.known.versions.ahead();
        if count > 0 {
            tracing::warn!(
                "{count} accounts are newer here than at the primary {primary}, which was restored from a backup or replaced; this \
                 replica goes on serving them; hand them back with `nats-account-server restore --from URL-OF-THIS-SERVER`"
            );
        }
    }
}
