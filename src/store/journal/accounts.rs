//! What a write does to accounts: load the head, let the gate decide, append, update.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::head::Row;
use super::transaction::{Record, Transaction};
use super::weigh::may_delete;
use super::write::{CommitError, Outcome};
use crate::feed::digest::Toggle;
use crate::feed::{Content, Subject};
use crate::gate::{Digest, Entry, Tombstone, Via};
use crate::key::AccountKey;

impl Transaction<'_> {
    pub(super) fn put(
        &mut self,
        entry: &Arc<Entry>,
        via: Via,
        at: i64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let place = Subject::Account(*entry.key());
        let row = self.load(&place)?.unwrap_or_default();
        match row.weigh_put(entry, via, &self.standing) {
            Ok(true) => {}
            Ok(false) => {
                self.repair(&row, entry.digest(), entry.token(), &entry.key().text())?;
                return Ok(Ok(Outcome::Same { serial: self.serial_of(row.row)? }));
            }
            Err(refusal) => return Ok(Err(refusal.into())),
        }
        let mut now = row.clone();
        now.held.put(entry.version(), Some(self.next_position()), &self.standing);
        now.removed = 0;
        now.is_level();
        let toggle = Toggle::between(&place, row.leaf(&place), now.own_leaf(&place));
        let id = self.append(Content::Put(entry.clone()), Record::of_entry(entry, via, at, &[toggle]))?;
        self.replace(&row, &mut now, entry, id)?;
        self.save(&place, &now)?;
        Ok(Ok(Outcome::Changed { serial: self.meta.head.serial }))
    }

    /// Makes a change the one with the newest JWT of an account, in the place of another.
    pub(super) fn replace(&mut self, before: &Row, now: &mut Row, entry: &Entry, id: i64) -> rusqlite::Result<()> {
        if before.row != 0 && before.row != id {
            if before.digest == *entry.digest() {
                // A text is kept once.
                self.drop_body(before.row)?;
            } else if before.ordered.is_none() {
                // What upstream had not ordered yet is no part of the history.
                now.history = self.push_history(&before.history, before.row)?;
            }
        }
        (now.row, now.exp, now.digest) = (id, entry.exp(), *entry.digest());
        self.count(before.counted(), now.counted());
        Ok(())
    }

    pub(super) fn delete(
        &mut self,
        tombstone: &Arc<Tombstone>,
        via: Via,
        at: i64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        if let Err(refusal) = may_delete(tombstone, &self.standing) {
            return Ok(Err(refusal.into()));
        }
        let request = tombstone.deletion();
        let mut rows = Vec::with_capacity(tombstone.keys().len());
        let mut latest = 0;
        for key in tombstone.keys() {
            let place = Subject::Account(*key);
            let before = self.load(&place)?.unwrap_or_default();
            let after = match before.weigh_delete(key, request, &self.standing) {
                Ok(after) => after,
                Err(refusal) => return Ok(Err(refusal.into())),
            };
            latest = latest.max(self.serial_of(before.deleted_row)?);
            rows.extend(after.map(|after| (place, before, after)));
        }
        if rows.is_empty() {
            return Ok(Ok(Outcome::Same { serial: latest }));
        }
        let toggles: Vec<Toggle> = rows
            .iter()
            .map(|(place, before, after)| Toggle::between(place, before.leaf(place), after.own_leaf(place)))
            .collect();
        let digest: Digest = Sha256::digest(tombstone.request()).into();
        let id =
            self.append(Content::Delete(tombstone.clone()), Record::of_delete(tombstone, via, at, &toggles, &digest))?;
        for (place, before, mut after) in rows {
            // The head keeps the version that was deleted: its iat and identity still bar older ones.
            after.deleted_row = id;
            after.is_level();
            self.save(&place, &after)?;
            // Where the deletion before it was from the future, it may be one that reaches less far.
            self.count(before.counted(), after.counted());
        }
        Ok(Ok(Outcome::Changed { serial: self.meta.head.serial }))
    }

    /// The account's file is gone from a folder whose owner decides what is in it. The head keeps what bars older ones.
    pub(super) fn remove(&mut self, key: &AccountKey, via: Via, at: i64) -> rusqlite::Result<Outcome> {
        let place = Subject::Account(*key);
        let Some((row, version)) = self.load(&place)?.and_then(|row| row.live().map(|version| (row, version))) else {
            return Ok(Outcome::Same { serial: 0 });
        };
        let mut now = row.clone();
        now.removed = 1;
        let toggle = Toggle::between(&place, row.leaf(&place), now.own_leaf(&place));
        now.removed = self.append(
            Content::Removed { key: *key, digest: row.digest, identity: Some(version.identity) },
            Record::of_removal(&place, (&version.identity, version.iat), &row.digest, via, at, &[toggle]),
        )?;
        now.is_level();
        self.save(&place, &now)?;
        self.count(row.counted(), None);
        Ok(Outcome::Changed { serial: self.meta.head.serial })
    }
}
