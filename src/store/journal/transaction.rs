//! The writer's transaction, and what every write in it does: append a change, and keep heads, texts and sums with it.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::schema::Meta;
use super::signers::{Live, Signed, Tally};
use super::{head, signers};
use crate::feed::digest::Toggle;
use crate::feed::{Change, Content, Operation, Subject, SubjectKind};
use crate::gate::{Digest, Entry, Identity, Standing, Tombstone, Version, Via};
use crate::key::PublicKey;

/// The transaction under way: the connection and the state that its commit will make true.
pub(super) struct Transaction<'c> {
    pub(super) connection: &'c Connection,
    pub(super) meta: Meta,
    pub(super) history: usize,
    /// The keys that count for this write. A change of the operator JWT changes them for the writes after it.
    pub(super) standing: Arc<Standing>,
    /// What became live, and what is no longer.
    pub(super) tally: Tally,
    pub(super) changes: Vec<Arc<Change>>,
    /// What the changes do to the digest tree.
    pub(super) toggles: Vec<Toggle>,
    /// Whether something was written although there is no change.
    pub(super) repaired: std::cell::Cell<bool>,
}

impl Transaction<'_> {
    /// Writes the state row and the sums that the tally changed; the last statements before the commit.
    pub(super) fn write_meta(&self, signers: &[(PublicKey, Signed)]) -> rusqlite::Result<()> {
        signers::write(self.connection, signers)?;
        let Meta { head, count } = &self.meta;
        self.connection
            .prepare_cached("UPDATE meta SET serial = ?1, chain = ?2, count = ?3 WHERE id = 1")?
            .execute(params![head.serial, head.chain.0, count])?;
        Ok(())
    }

    /// Loads the head that decides about a write. One with more ties than the limit is cut down at once, even if the write is
    /// rejected: loading many takes long, and other writes wait for it.
    pub(super) fn load(&self, subject: &Subject) -> rusqlite::Result<Option<head::Row>> {
        let row = head::load(self.connection, subject)?;
        if let Some(row) = row.as_ref().filter(|row| row.has_surplus) {
            self.connection
                .prepare_cached("UPDATE head SET ties = ?3 WHERE kind = ?1 AND key = ?2")?
                .execute(params![subject.kind(), subject.raw(), head::ties(&row.held)])?;
            self.repaired.set(true);
        }
        Ok(row)
    }

    /// Brings the counts and sums of live accounts up to date with one account's step: the JWT that it had, and has now,
    /// if it has one.
    pub(super) fn count(&mut self, before: Option<Live>, after: Option<Live>) {
        self.meta.count = self.meta.count + u64::from(after.is_some()) - u64::from(before.is_some());
        self.tally.step(before, after);
    }

    /// Restores a damaged body when exactly the same token arrives again.
    pub(super) fn repair(&self, row: &head::Row, digest: &Digest, token: &[u8], of: &str) -> rusqlite::Result<()> {
        if row.digest != *digest {
            return Ok(());
        }
        let sound: bool = self
            .connection
            .prepare_cached("SELECT body = ?2 FROM change WHERE serial = ?1")?
            .query_row(params![row.serial, token], |found| Ok(found.get(0).unwrap_or(false)))?;
        if !sound {
            tracing::warn!("the damaged JWT of {of} is restored");
            self.connection
                .prepare_cached("UPDATE change SET body = ?2 WHERE serial = ?1")?
                .execute(params![row.serial, token])?;
            self.repaired.set(true);
        }
        Ok(())
    }

    /// Gives the change its place in the order. No other function assigns serials.
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

    /// Forgets the text of a change.
    pub(super) fn drop_body(&self, serial: u64) -> rusqlite::Result<()> {
        self.connection.prepare_cached("UPDATE change SET body = NULL WHERE serial = ?1")?.execute([serial])?;
        Ok(())
    }
}

/// The columns of a change.
pub(super) struct Record<'a> {
    pub(super) kind: SubjectKind,
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
    /// Those of an account's JWT.
    pub(super) fn of_entry(entry: &'a Entry, via: Via, at: i64, toggles: &'a [Toggle]) -> Self {
        Self {
            kind: SubjectKind::Account,
            via,
            at,
            key: Some(entry.key().raw()),
            toggles,
            iat: entry.iat(),
            exp: entry.exp(),
            identity: entry.identity(),
            issuer: Some(entry.issuer().raw()),
            digest: entry.digest(),
            body: Some(entry.token()),
        }
    }

    /// Those of a version that left: its account a read-only folder, or an activation because it had expired.
    pub(super) const fn of_removal(
        subject: &'a Subject,
        version: &'a Version,
        digest: &'a Digest,
        via: Via,
        at: i64,
        toggles: &'a [Toggle],
    ) -> Self {
        Self {
            kind: subject.kind(),
            via,
            at,
            key: Some(subject.raw()),
            toggles,
            iat: version.iat,
            exp: 0,
            identity: &version.identity,
            issuer: None,
            digest,
            body: None,
        }
    }

    /// Those of a delete request, which is one change for all the accounts that it names.
    pub(super) fn of_delete(
        tombstone: &'a Tombstone,
        via: Via,
        at: i64,
        toggles: &'a [Toggle],
        digest: &'a Digest,
    ) -> Self {
        Self {
            kind: SubjectKind::Account,
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
