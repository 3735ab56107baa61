//! What is newer here than at the primary, and what is level with it.

use super::Held;
use crate::gate::Tombstone;
use crate::key::AccountKey;
use crate::replica::known::leaf;
use crate::store::snapshot::Seen;

impl Held {
    /// A deletion that was just taken in is all that the primary has of these accounts: what is later here stays.
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

    /// The primary holds something older of an account, or nothing: what is here stays.
    pub(in crate::replica) fn is_ahead(&self, key: &AccountKey) {
        if self.notice_ahead(key) {
            self.check_soon(key, None);
        }
    }

    /// The same, where the primary was just asked. Returns whether there is something here.
    pub(in crate::replica) fn notice_ahead(&self, key: &AccountKey) -> bool {
        let is_ahead = self.known.versions.with(key, |seen| {
            seen.ahead = leaf(key, seen).is_some();
            seen.ahead
        });
        if is_ahead {
            // What is later than the primary's is not behind it.
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

    /// Says how much is newer here than at the primary.
    pub(in crate::replica) fn report_ahead(&self, primary: &str) {
        let count = self.known.versions.ahead();
        if count > 0 {
            tracing::warn!(
                "{count} accounts are newer here than at the primary {primary}, which was restored from a backup or replaced: they \
                 go on being served here; hand them back with `nats-account-server restore --from URL-OF-THIS-SERVER`"
            );
        }
    }
}
