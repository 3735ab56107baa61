//! What a comparison found upstream. Of a key that the feed has touched since the comparison began, the feed says more.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::super::head::{NO_CHANGE, Row, leaf_of};
use super::super::transaction::{Record, Transaction};
use super::super::write::{CommitError, Outcome};
use super::ordered::{TextPlace, UpstreamState};
use super::{Compared, ComparedContent};
use crate::clock;
use crate::feed::Subject;
use crate::feed::digest::{Leaf, LeafState};
use crate::gate::{Activation, Digest, Entry, Identity, Position, Refusal, Tombstone, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;

impl Transaction<'_> {
    pub(super) fn compared(&mut self, compared: &Compared) -> rusqlite::Result<Result<Outcome, CommitError>> {
        if compared.as_of.session != self.meta.head.session.0 {
            // Another order has begun since it was read.
            return Ok(Ok(Outcome::Kept));
        }
        let as_of = compared.as_of.serial;
        let at = (compared.serial != 0).then(|| self.meta.head.position(compared.serial));
        let changed = Outcome::Changed { serial: compared.serial };
        match &compared.content {
            ComparedContent::Put(entry) => self.compared_put(entry, at, as_of),
            ComparedContent::Delete(tombstone, keys) => self.compared_deletion(tombstone, keys, as_of).map(Ok),
            ComparedContent::Removed { key, identity, digest } => {
                self.compared_removal(key, identity.as_ref(), digest, as_of).map(|()| Ok(changed))
            }
            ComparedContent::Nothing(subject) => {
                self.compare_one(subject, as_of, |this, row| this.order_nothing(row, subject)).map(|()| Ok(changed))
            }
            ComparedContent::Leaf(subject, leaf) => {
                self.compare_one(subject, as_of, |_, row| note_leaf(row, subject, *leaf)).map(|()| Ok(changed))
            }
            ComparedContent::Activation(activation) => self.compared_activation(activation, as_of).map(Ok),
            ComparedContent::Forgotten(id) => self.compared_expiry(id, as_of).map(|()| Ok(changed)),
            ComparedContent::Operator(operator, ..) if self.is_touched(&Subject::Operator(*operator), as_of) => {
                Ok(Ok(Outcome::Kept))
            }
            ComparedContent::Operator(operator, version, item) => {
                let text = serde_json::to_vec(&**item).unwrap_or_default();
                let digest: Digest = Sha256::digest(&text).into();
                let record = Record { body: Some(&text), at: clock::unix_millis(), ..Record::passed(&digest, &[]) };
                let id = self.store_loose(&record, 0)?;
                for step in self.other_operator(operator, version, id)? {
                    self.settle_loose(&step.subject, &step.before, &step.now, None)?;
                }
                Ok(Ok(changed))
            }
            ComparedContent::Rejected(keys) => self.compared_rejection(keys).map(|()| Ok(changed)),
            ComparedContent::Same(subject) => {
                self.compare_one(subject, as_of, |this, row| this.order_same(row, subject)).map(|()| Ok(changed))
            }
        }
    }

    fn is_touched(&self, subject: &Subject, as_of: u64) -> bool {
        self.touched_now.is_after(self.touched, subject, as_of)
    }

    /// Changes the row of one key that the feed has not touched.
    fn compare_one(
        &mut self,
        subject: &Subject,
        as_of: u64,
        change: impl FnOnce(&mut Self, &mut Row),
    ) -> rusqlite::Result<()> {
        if self.is_touched(subject, as_of) {
            return Ok(());
        }
        let before = self.load(subject)?.unwrap_or_default();
        let mut now = before.clone();
        change(self, &mut now);
        self.settle_loose(subject, &before, &now, None)
    }

    /// What the digest tree has of a key is what upstream has.
    pub(super) fn order_same(&mut self, row: &mut Row, subject: &Subject) {
        let left = row.held.identity().map(|identity| Leaf::of(subject, &LeafState::Left(*identity)).short());
        match row.ordered {
            // A server that lags gave it again after it had left.
            Some(ordered) if row.is_live() && ordered.leaf.map(|leaf| leaf.short()) == left => {
                let before = row.counted();
                row.removed = if ordered.under == 0 { NO_CHANGE } else { ordered.under };
                row.is_level();
                self.count(before, row.counted());
            }
            _ => row.note_ahead(!self.is_to_come(row)),
        }
    }

    fn compared_put(
        &mut self,
        entry: &Arc<Entry>,
        at: Option<Position>,
        as_of: u64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let subject = Subject::Account(*entry.key());
        if self.is_touched(&subject, as_of) {
            return Ok(Ok(Outcome::Kept));
        }
        let before = self.load(&subject)?.unwrap_or_default();
        let mut now = before.clone();
        if !self.standing.vouches(entry.issuer()) {
            now.is_doubted = true;
            self.settle_loose(&subject, &before, &now, None)?;
            return Ok(Err(Refusal::Untrusted(entry.issuer().text()).into()));
        }
        let state = self.order_version(&mut now, entry, Via::Upstream, at, TextPlace::Loose)?;
        let (held, outcome) = match state {
            UpstreamState::Held => (Some(entry), Ok(Outcome::Changed { serial: at.map_or(0, |at| at.serial) })),
            // The feed has not touched it, so what is held here is later in upstream's order only if the feed is about to bring it.
            UpstreamState::Behind => {
                now.is_ahead = now.ordered.is_some() && !self.is_to_come(&now);
                (None, Ok(Outcome::Kept))
            }
            UpstreamState::Open => (None, Ok(Outcome::Refetch)),
            UpstreamState::Ahead(refusal) => (None, Err(refusal.into())),
        };
        self.settle_loose(&subject, &before, &now, held)?;
        Ok(outcome)
    }

    fn compared_deletion(
        &mut self,
        tombstone: &Arc<Tombstone>,
        keys: &[AccountKey],
        as_of: u64,
    ) -> rusqlite::Result<Outcome> {
        let (mut stored, mut is_needed) = (None, false);
        for key in keys {
            let subject = Subject::Account(*key);
            if self.is_touched(&subject, as_of) {
                continue;
            }
            let before = self.load(&subject)?.unwrap_or_default();
            let has_it = before.held.deleted() == Some(&tombstone.deletion()) && before.deleted_row != 0;
            let id = match stored {
                _ if has_it => before.deleted_row,
                Some(id) => id,
                None => self.store_request(tombstone)?,
            };
            if !has_it {
                stored = Some(id);
            }
            let mut now = before.clone();
            self.order_deletion(&mut now, &subject, tombstone.deletion(), id)?;
            if now.deleted_row == 0 && now.held.deleted() == Some(&tombstone.deletion()) {
                now.deleted_row = id;
            }
            is_needed |= stored.is_some_and(|id| now.points_to(id));
            self.settle_loose(&subject, &before, &now, None)?;
        }
        if let Some(id) = stored.filter(|_| !is_needed) {
            self.drop_body(id)?;
        }
        Ok(Outcome::Changed { serial: 0 })
    }

    fn store_request(&mut self, tombstone: &Tombstone) -> rusqlite::Result<i64> {
        let digest: Digest = Sha256::digest(tombstone.request()).into();
        self.store_loose(&Record::of_delete(tombstone, Via::Feed, clock::unix_millis(), &[], &digest), 0)
    }

    fn compared_removal(
        &mut self,
        key: &AccountKey,
        identity: Option<&Identity>,
        digest: &Digest,
        as_of: u64,
    ) -> rusqlite::Result<()> {
        let subject = Subject::Account(*key);
        let found = self.load(&subject)?;
        if self.is_touched(&subject, as_of) || (found.is_none() && identity.is_none()) {
            return Ok(());
        }
        let before = found.unwrap_or_default();
        let mut now = before.clone();
        if identity.is_none() || identity != now.held.identity() {
            self.drop_overlay(&mut now)?;
        }
        let held = now.held.version().copied().filter(|held| match identity {
            Some(identity) => held.identity == *identity,
            // Of what is under something that was served early, maybe no version is known.
            None => now.ordered.is_none(),
        });
        let left = held.map(|held| held.identity).or(identity.copied());
        let id = match (&held, &left) {
            (Some(_), _) if now.removed != 0 && now.removed != NO_CHANGE => now.removed,
            (Some(held), _) => self.store_removal(&subject, (&held.identity, held.iat), &now.digest, 0)?,
            (None, Some(left)) => self.store_removal(&subject, (left, 0), digest, 0)?,
            (None, None) => NO_CHANGE,
        };
        if now.held.is_live() || held.is_none() {
            now.removed = if held.is_some() { id } else { NO_CHANGE };
        }
        Self::order_removal(&mut now, &subject, left.as_ref(), id);
        self.count(before.counted(), now.counted());
        self.settle_loose(&subject, &before, &now, None)
    }

    fn store_removal(
        &mut self,
        subject: &Subject,
        version: (&Identity, i64),
        digest: &Digest,
        exp: i64,
    ) -> rusqlite::Result<i64> {
        let record = Record::of_removal(subject, version, digest, Via::Feed, clock::unix_millis(), &[]);
        self.store_loose(&Record { exp, ..record }, 0)
    }

    fn compared_expiry(&mut self, id: &HashId, as_of: u64) -> rusqlite::Result<()> {
        let subject = Subject::Activation(*id);
        let Some(before) = self.load(&subject)?.filter(|_| !self.is_touched(&subject, as_of)) else { return Ok(()) };
        let mut now = before.clone();
        now.is_level();
        if let Some(version) = before.held.version().filter(|_| before.removed == 0) {
            now.removed = self.store_removal(&subject, (&version.identity, version.iat), &before.digest, before.exp)?;
            self.forget_activation(&subject, now.clone())?;
            now.row = now.row.max(0);
        }
        self.settle_loose(&subject, &before, &now, None)
    }

    fn compared_activation(&mut self, activation: &Arc<Activation>, as_of: u64) -> rusqlite::Result<Outcome> {
        let subject = Subject::Activation(*activation.id());
        if self.is_touched(&subject, as_of) {
            return Ok(Outcome::Kept);
        }
        let before = self.load(&subject)?.unwrap_or_default();
        let is_held = before.row != 0 && before.removed == 0 && before.held.identity() == Some(activation.identity());
        if is_held {
            let mut now = before.clone();
            now.is_level();
            self.settle_loose(&subject, &before, &now, None)?;
            return Ok(Outcome::Same { serial: 0 });
        }
        if before.row != 0 && before.held.version().is_some_and(|held| held.iat > activation.iat()) {
            let id = self.store_loose(&Record::of_activation(activation, Via::Feed, clock::unix_millis(), &[]), 0)?;
            let mut now = before.clone();
            now.set_ordered(&subject, Some(leaf_of(&subject, activation.identity())), id);
            now.note_ahead(!self.is_to_come(&now));
            self.settle_loose(&subject, &before, &now, None)?;
            return Ok(Outcome::Kept);
        }
        let id = self.store_loose(&Record::of_activation(activation, Via::Feed, clock::unix_millis(), &[]), 0)?;
        let now = self.held_activation(&before, activation, id)?;
        self.settle_loose(&subject, &before, &now, None)?;
        Ok(Outcome::Changed { serial: 0 })
    }

    fn compared_rejection(&mut self, keys: &[AccountKey]) -> rusqlite::Result<()> {
        for key in keys {
            let subject = Subject::Account(*key);
            let Some(before) = self.load(&subject)? else {
                self.miss_a_key();
                continue;
            };
            let now = Row { is_doubted: true, ..before.clone() };
            self.settle_loose(&subject, &before, &now, None)?;
        }
        Ok(())
    }
}

/// Upstream has a state with this leaf, of which maybe only the first 8 bytes are known.
fn note_leaf(row: &mut Row, subject: &Subject, leaf: Leaf) {
    if row.own_leaf(subject).is_some_and(|own| own.short() == leaf.short()) {
        row.is_level();
    } else {
        row.set_ordered(subject, Some(leaf), 0);
        (row.is_ahead, row.is_doubted) = (false, false);
    }
}
