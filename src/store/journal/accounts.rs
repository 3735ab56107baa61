//! What a write does to accounts: load the head, let the gate decide, append, update.

use std::sync::Arc;

use rusqlite::params;
use sha2::{Digest as _, Sha256};

use super::head;
use super::signers::Live;
use super::transaction::{Record, Transaction};
use super::write::{CommitError, Outcome};
use crate::feed::digest::{Leaf, Toggle};
use crate::feed::{Content, Subject, SubjectKind};
use crate::gate::{Digest, Entry, Ordering, Refusal, Tombstone, Via};
use crate::key::AccountKey;

impl Transaction<'_> {
    pub(super) fn put(
        &mut self,
        entry: &Arc<Entry>,
        via: Via,
        at: i64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        // It was admitted a moment ago; the operator JWT may be another one by now.
        if !self.standing.vouches(entry.issuer()) {
            return Ok(Err(Refusal::Untrusted(entry.issuer().text()).into()));
        }
        let place = Subject::Account(*entry.key());
        let row = self.load(&place)?;
        let held = row.as_ref().map(|row| row.held.clone()).unwrap_or_default();
        match held.order(&entry.version(), via, None, &self.standing) {
            Ordering::Newer => {}
            // It is back in the folder that it had left, or was known without its text.
            Ordering::Same if row.as_ref().is_some_and(|row| row.removed != 0 || row.serial == 0) => {}
            Ordering::Same => {
                let Some(row) = row else { return Ok(Ok(Outcome::Same { serial: 0 })) };
                self.repair(&row, entry.digest(), entry.token(), &entry.key().text())?;
                return Ok(Ok(Outcome::Same { serial: row.serial }));
            }
            Ordering::Behind | Ordering::Refetch => return Ok(Err(Refusal::Tie(entry.iat()).into())),
            Ordering::Refused(refusal) => return Ok(Err(refusal.into())),
        }
        let mut now_held = held;
        now_held.put(entry.version(), None, &self.standing);
        let before = row.as_ref().and_then(|row| row.leaf(&place));
        let serial = self.append(
            Content::Put(entry.clone()),
            Record::of_entry(
                entry,
                via,
                at,
                &[Toggle::between(&place, before, Leaf::standing(&place, &now_held, false))],
            ),
        )?;
        let history = match &row {
            Some(row) if row.serial != 0 && row.digest != *entry.digest() => {
                self.push_history(&row.history, row.serial)?
            }
            Some(row) => {
                if row.serial != 0 {
                    // The same text again, back in its folder: it is kept once.
                    self.drop_body(row.serial)?;
                }
                row.history.clone()
            }
            None => Vec::new(),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO head (kind, key, serial, iat, exp, identity, issuer, digest, ties, history, marks)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (kind, key) DO UPDATE SET
                     serial = ?3, iat = ?4, exp = ?5, identity = ?6, issuer = ?7, digest = ?8, ties = ?9, history = ?10,
                     marks = ?11, deleted = ?12, removed = 0",
            )?
            .execute(params![
                SubjectKind::Account,
                entry.key().raw(),
                serial,
                entry.iat(),
                entry.exp(),
                entry.identity(),
                entry.issuer().raw(),
                entry.digest(),
                head::ties(&now_held),
                history,
                head::marks(&now_held),
                // A withdrawn key's deletion from the future has been cut down to what it reaches.
                now_held.deleted().map(|deleted| deleted.iat),
            ])?;
        let after = Live { issuer: *entry.issuer(), digest: *entry.digest(), exp: entry.exp() };
        self.count(row.as_ref().and_then(head::Row::counted), Some(after));
        Ok(Ok(Outcome::Changed { serial }))
    }

    pub(super) fn delete(
        &mut self,
        tombstone: &Arc<Tombstone>,
        via: Via,
        at: i64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        if !self.standing.vouches(tombstone.issuer()) {
            return Ok(Err(Refusal::DeleteUntrusted.into()));
        }
        let request = tombstone.deletion();
        let mut rows = Vec::with_capacity(tombstone.keys().len());
        let mut latest = 0;
        for key in tombstone.keys() {
            let row = head::load(self.connection, &Subject::Account(*key))?;
            let before = row.as_ref().map(|row| row.held.clone()).unwrap_or_default();
            if let Err(refusal) = before.order_delete(key, &request, &self.standing) {
                return Ok(Err(refusal.into()));
            }
            let mut after = before.clone();
            let is_news = after.delete(request, &self.standing);
            latest = latest.max(row.as_ref().and_then(|row| row.deleted_serial).unwrap_or(0));
            // An account that a later request deleted stays deleted by that one.
            if is_news {
                rows.push((key, row, after));
            }
        }
        if rows.is_empty() {
            return Ok(Ok(Outcome::Same { serial: latest }));
        }
        let toggles: Vec<Toggle> = rows
            .iter()
            .map(|(key, row, after)| {
                let place = Subject::Account(**key);
                let removed = row.as_ref().is_some_and(|row| row.removed != 0);
                let before = row.as_ref().and_then(|row| row.leaf(&place));
                Toggle::between(&place, before, Leaf::standing(&place, after, removed))
            })
            .collect();
        let digest: Digest = Sha256::digest(tombstone.request()).into();
        let serial =
            self.append(Content::Delete(tombstone.clone()), Record::of_delete(tombstone, via, at, &toggles, &digest))?;
        for (key, row, after) in rows {
            // The head keeps the version that was deleted: its iat and identity still bar older ones.
            self.connection
                .prepare_cached(
                    "INSERT INTO head (kind, key, serial, iat, exp, identity, issuer, digest, ties, history,
                                       deleted, deleted_serial, deleted_issuer, marks)
                     VALUES (?1, ?2, 0, 0, 0, ?3, x'', x'', x'', x'', ?4, ?5, ?6, ?7)
                     ON CONFLICT (kind, key) DO UPDATE SET
                         iat = ?8, ties = ?9, deleted = ?4, deleted_serial = ?5, deleted_issuer = ?6, marks = ?7",
                )?
                .execute(params![
                    SubjectKind::Account,
                    key.raw(),
                    tombstone.identity(),
                    after.deleted().map(|deleted| deleted.iat),
                    serial,
                    after.deleted().map(|deleted| *deleted.issuer.raw()),
                    head::marks(&after),
                    after.version().map_or(0, |version| version.iat),
                    head::ties(&after),
                ])?;
            let before = row.as_ref().and_then(head::Row::counted);
            // Where the deletion before it was from the future, it may be one that reaches less far.
            self.count(before, row.and_then(|row| head::Row { held: after, ..row }.counted()));
        }
        Ok(Ok(Outcome::Changed { serial }))
    }

    /// The account's file is gone from a folder whose owner decides what is in it. The head keeps what bars older ones.
    pub(super) fn remove(&mut self, key: &AccountKey, via: Via, at: i64) -> rusqlite::Result<Outcome> {
        let place = Subject::Account(*key);
        let row = head::load(self.connection, &place)?;
        let Some((row, version)) = row.and_then(|row| row.live().map(|version| (row, version))) else {
            return Ok(Outcome::Same { serial: 0 });
        };
        let toggle = Toggle::between(&place, row.leaf(&place), Leaf::standing(&place, &row.held, true));
        let serial = self.append(
            Content::Removed { key: *key, digest: row.digest },
            Record::of_removal(&place, &version, &row.digest, via, at, &[toggle]),
        )?;
        self.connection
            .prepare_cached("UPDATE head SET removed = ?3 WHERE kind = ?1 AND key = ?2")?
            .execute(params![SubjectKind::Account, key.raw(), serial])?;
        self.count(row.counted(), None);
        Ok(Outcome::Changed { serial })
    }
}
