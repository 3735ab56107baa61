//! One write inside the writer's transaction: load the head, let the gate decide, append, update.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::schema::{KIND_ACCOUNT, Meta};
use super::signers::{Live, Signed, Tally};
use super::write::{CommitError, Outcome, Write};
use super::{head, signers};
use crate::feed::digest::{Key, Leaf, Toggle};
use crate::feed::{Change, Content, Operation};
use crate::gate::{Digest, Entry, Identity, Ordering, Refusal, Standing, Tombstone, Via};
use crate::key::{AccountKey, PublicKey};

/// The name of the cursor up to which versions have been pruned for their age.
const PRUNED: &str = "pruned";
/// Earlier versions of an account that are at least remembered, without their texts: a file may still hold one of them.
const REMEMBERED: usize = 8;

/// The transaction under way: the connection and the state that its commit will make true.
pub(super) struct Transaction<'c> {
    pub(super) connection: &'c Connection,
    pub(super) meta: Meta,
    pub(super) history: usize,
    /// Which keys count for this write; a change of the operator JWT changes it for those behind it.
    pub(super) standing: Arc<Standing>,
    /// What is live now and was not before, and the reverse.
    pub(super) tally: Tally,
    pub(super) changes: Vec<Arc<Change>>,
    /// What the changes do to the digest tree.
    pub(super) toggles: Vec<Toggle>,
    /// Whether something was written although there is no change.
    pub(super) repaired: std::cell::Cell<bool>,
}

impl Transaction<'_> {
    /// Applies one write. The outer error means that the whole transaction has failed.
    pub(super) fn apply(&mut self, write: &Write, at: i64) -> rusqlite::Result<Result<Outcome, CommitError>> {
        match write {
            Write::Put(entry, via) => self.put(entry, *via, at),
            Write::Delete(tombstone, via) => self.delete(tombstone, *via, at),
            Write::Remove(key, via) => self.remove(key, *via, at).map(Ok),
            Write::Operator(write) => self.operator(write, at),
            Write::Activation { activation, via, limit } => self.activation(activation, *via, *limit, at),
            Write::Forget { ids, now } => Ok(Ok(self.forget(ids, *now, at)?)),
        }
    }

    /// Writes the state row and what the tally has come to; the last statements before the commit.
    pub(super) fn write_meta(&self, signers: &[(PublicKey, Signed)]) -> rusqlite::Result<()> {
        signers::write(self.connection, signers)?;
        let Meta { head, count } = &self.meta;
        self.connection
            .prepare_cached("UPDATE meta SET serial = ?1, chain = ?2, count = ?3 WHERE id = 1")?
            .execute(params![head.serial, head.chain.0, count])?;
        Ok(())
    }

    /// Loads a head that a write is weighed against. One with more ties than there may be is cut down at once, also if
    /// the write is rejected: to load it takes the longer the more there are, and other writes wait for it.
    pub(super) fn load(&self, kind: i64, key: &[u8; 32]) -> rusqlite::Result<Option<head::Row>> {
        let row = head::load(self.connection, kind, key)?;
        if let Some(row) = row.as_ref().filter(|row| row.has_surplus) {
            self.connection
                .prepare_cached("UPDATE head SET ties = ?3 WHERE kind = ?1 AND key = ?2")?
                .execute(params![kind, key, head::ties(&row.held)])?;
            self.repaired.set(true);
        }
        Ok(row)
    }

    fn put(&mut self, entry: &Arc<Entry>, via: Via, at: i64) -> rusqlite::Result<Result<Outcome, CommitError>> {
        // It was admitted a moment ago; the operator JWT may be another one by now.
        if !self.standing.vouches(entry.issuer()) {
            return Ok(Err(Refusal::Untrusted(entry.issuer().text()).into()));
        }
        let row = self.load(KIND_ACCOUNT, entry.key().raw())?;
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
        let place = Key::account(entry.key());
        let before = row.as_ref().and_then(|row| row.leaf(&place));
        let serial = self.append(
            Content::Put(entry.clone()),
            Record {
                kind: KIND_ACCOUNT,
                via,
                at,
                key: Some(entry.key().raw()),
                toggles: &[Toggle::between(&place, before, Leaf::standing(&place, &now_held, false))],
                iat: entry.iat(),
                exp: entry.exp(),
                identity: entry.identity(),
                issuer: Some(entry.issuer().raw()),
                digest: entry.digest(),
                body: Some(entry.token()),
            },
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
                KIND_ACCOUNT,
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

    fn delete(
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
            let row = head::load(self.connection, KIND_ACCOUNT, key.raw())?;
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
                let place = Key::account(key);
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
                    KIND_ACCOUNT,
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
    fn remove(&mut self, key: &AccountKey, via: Via, at: i64) -> rusqlite::Result<Outcome> {
        let row = head::load(self.connection, KIND_ACCOUNT, key.raw())?;
        let Some((row, version)) = row.and_then(|row| row.live().map(|version| (row, version))) else {
            return Ok(Outcome::Same { serial: 0 });
        };
        let place = Key::account(key);
        let toggle = Toggle::between(&place, row.leaf(&place), Leaf::standing(&place, &row.held, true));
        let serial = self.append(
            Content::Removed { key: *key, digest: row.digest },
            Record {
                kind: KIND_ACCOUNT,
                via,
                at,
                key: Some(key.raw()),
                toggles: &[toggle],
                iat: version.iat,
                exp: 0,
                identity: &version.identity,
                issuer: None,
                digest: &row.digest,
                body: None,
            },
        )?;
        self.connection
            .prepare_cached("UPDATE head SET removed = ?3 WHERE kind = ?1 AND key = ?2")?
            .execute(params![KIND_ACCOUNT, key.raw(), serial])?;
        self.count(row.counted(), None);
        Ok(Outcome::Changed { serial })
    }

    /// Brings the counts and sums of live accounts up to date with one account's step: the JWT that it had, and has now,
    /// if it has one.
    pub(super) fn count(&mut self, before: Option<Live>, after: Option<Live>) {
        self.meta.count = self.meta.count + u64::from(after.is_some()) - u64::from(before.is_some());
        self.tally.step(before, after);
    }

    /// Puts back a body that rotted, when exactly the same token comes in again.
    pub(super) fn repair(&self, row: &head::Row, digest: &Digest, token: &[u8], of: &str) -> rusqlite::Result<()> {
        if row.digest != *digest {
            return Ok(());
        }
        let sound: bool = self
            .connection
            .prepare_cached("SELECT body = ?2 FROM change WHERE serial = ?1")?
            .query_row(params![row.serial, token], |found| Ok(found.get(0).unwrap_or(false)))?;
        if !sound {
            tracing::warn!("the damaged JWT of {of} is put back");
            self.connection
                .prepare_cached("UPDATE change SET body = ?2 WHERE serial = ?1")?
                .execute(params![row.serial, token])?;
            self.repaired.set(true);
        }
        Ok(())
    }

    /// Gives the change its place in the order. This is the one seam that assigns serials.
    pub(super) fn append(&mut self, content: Content, record: Record<'_>) -> rusqlite::Result<u64> {
        let operation = match (record.key, record.body) {
            (None, _) => Operation::Delete,
            (Some(_), Some(_)) => Operation::Put,
            (Some(_), None) => Operation::Remove,
        };
        let head = &mut self.meta.head;
        head.serial += 1;
        head.chain = head.chain.next(head.serial, operation, record.digest);
        self.connection
            .prepare_cached(
                "INSERT INTO change (serial, at, op, kind, via, key, iat, exp, identity, issuer, digest, chain, body, toggles)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                head.serial,
                record.at,
                operation.tag(),
                record.kind,
                record.via.label(),
                record.key,
                record.iat,
                record.exp,
                record.identity,
                record.issuer,
                record.digest,
                head.chain.0,
                record.body,
                Toggle::encode(record.toggles),
            ])?;
        self.toggles.extend_from_slice(record.toggles);
        self.changes.push(Arc::new(Change {
            serial: head.serial,
            chain: head.chain,
            at: record.at,
            via: record.via,
            content,
        }));
        Ok(head.serial)
    }

    /// Adds a serial to the history of a head, and drops the body that falls out of it. Of some versions more it is
    /// remembered which they were.
    fn push_history(&self, history: &[u8], serial: u64) -> rusqlite::Result<Vec<u8>> {
        let mut serials: Vec<u64> =
            history.as_chunks::<8>().0.iter().map(|serial| u64::from_be_bytes(*serial)).collect();
        serials.push(serial);
        if let Some(at) = serials.len().checked_sub(self.history + 1) {
            self.drop_body(serials[at])?;
        }
        let surplus = serials.len().saturating_sub(self.history.max(REMEMBERED));
        Ok(serials.into_iter().skip(surplus).flat_map(u64::to_be_bytes).collect())
    }

    /// Forgets the texts of versions that were replaced before a time, looking at some thousand changes in one go, and
    /// going on where it stopped. Returns whether anything was written.
    pub(super) fn prune(&self, before: i64) -> rusqlite::Result<bool> {
        const PIECE: u64 = 5000;
        let from: Option<u64> = self
            .connection
            .prepare_cached("SELECT serial FROM cursor WHERE name = ?1")?
            .query_row([PRUNED], |row| row.get(0))
            .optional()?;
        let from = from.unwrap_or(0);
        let next: Option<i64> = self
            .connection
            .prepare_cached("SELECT at FROM change WHERE serial > ?1 ORDER BY serial LIMIT 1")?
            .query_row([from], |row| row.get(0))
            .optional()?;
        if next.is_none_or(|at| at >= before) {
            return Ok(false);
        }
        let to: Option<u64> = self
            .connection
            .prepare_cached("SELECT max(serial) FROM change WHERE serial > ?1 AND serial <= ?2 AND at < ?3")?
            .query_row(params![from, from + PIECE, before], |row| row.get(0))?;
        let Some(to) = to else { return Ok(false) };
        let mut statement = self.connection.prepare_cached(
            "SELECT key, max(serial) FROM change WHERE serial > ?1 AND serial <= ?2 AND kind = ?3 AND op = ?4 GROUP BY key",
        )?;
        let replaced = statement
            .query_map(params![from, to, KIND_ACCOUNT, Operation::Put.tag()], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<([u8; 32], u64)>>>()?;
        for (key, by) in replaced {
            self.forget_before(&AccountKey::from_raw(key), by)?;
        }
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO cursor (name, serial) VALUES (?1, ?2)")?
            .execute(params![PRUNED, to])?;
        Ok(true)
    }

    /// Forgets the versions of an account that came before a change.
    fn forget_before(&self, key: &AccountKey, serial: u64) -> rusqlite::Result<()> {
        let Some(row) = head::load(self.connection, KIND_ACCOUNT, key.raw())? else { return Ok(()) };
        for kept in row.history.as_chunks::<8>().0.iter().map(|kept| u64::from_be_bytes(*kept)) {
            if kept < serial {
                self.drop_body(kept)?;
            }
        }
        Ok(())
    }

    /// Forgets the text of a change.
    pub(super) fn drop_body(&self, serial: u64) -> rusqlite::Result<()> {
        self.connection.prepare_cached("UPDATE change SET body = NULL WHERE serial = ?1")?.execute([serial])?;
        Ok(())
    }
}

/// The columns of a change.
pub(super) struct Record<'a> {
    pub(super) kind: i64,
    pub(super) via: Via,
    pub(super) at: i64,
    pub(super) key: Option<&'a [u8; 32]>,
    pub(super) toggles: &'a [Toggle],
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) identity: &'a Identity,
    pub(super) issuer: Option<&'a [u8; 32]>,
    pub(super) digest: &'a Digest,
    pub(super) body: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// Those of a delete request, which is one change for all the accounts that it names.
    pub(super) fn of_delete(
        tombstone: &'a Tombstone,
        via: Via,
        at: i64,
        toggles: &'a [Toggle],
        digest: &'a Digest,
    ) -> Self {
        Self {
            kind: KIND_ACCOUNT,
            via,
            at,
            key: None,
            toggles,
            iat: tombstone.iat(),
            exp: 0,
            identity: tombstone.identity(),
            issuer: Some(tombstone.issuer().raw()),
            digest,
            body: Some(tombstone.request()),
        }
    }
}
