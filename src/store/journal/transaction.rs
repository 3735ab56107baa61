//! The writer's transaction, and what every write in it does: append a change, and keep heads, texts and sums with it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::effect::Effect;
use super::head::{self, Row};
use super::schema::{Meta, Role};
use super::signers;
use super::signers::{Live, Signed, Tally};
use super::tail::weight_of;
use super::upstream::{Touched, TouchedNow};
use crate::feed::digest::Toggle;
use crate::feed::{Change, Content, Head, Operation, Subject, SubjectKind};
use crate::gate::{Activation, Actor, Digest, Entry, Identity, Position, Standing, Tombstone, Via};
use crate::key::PublicKey;

/// The transaction under way: the connection and the state that its commit will make true.
pub(super) struct Transaction<'c> {
    pub(super) connection: &'c Connection,
    pub(super) meta: Meta,
    pub(super) history: usize,
    /// The keys that count for this write. A change of the operator JWT changes them for the writes after it.
    pub(super) standing: Arc<Standing>,
    /// Who sent the write.
    pub(super) actor: Actor,
    /// What became live, and what is no longer.
    pub(super) tally: Tally,
    pub(super) changes: Vec<Arc<Change>>,
    /// What became of accounts on a replica, for its caches.
    pub(super) effects: Vec<Effect>,
    /// What the changes do to the digest tree.
    pub(super) toggles: Vec<Toggle>,
    /// What happens to the digest tree without a change.
    pub(super) loose_toggles: Vec<Toggle>,
    /// Whether something was written although there is no change.
    pub(super) repaired: Cell<bool>,
    /// Where another order began, if one did.
    pub(super) begun: Option<Head>,
    /// What the feed has touched lately, and what this transaction adds.
    pub(super) touched: &'c Touched,
    pub(super) touched_now: TouchedNow,
    /// By how many bytes the texts in the log become more.
    pub(super) log_bytes: Cell<i64>,
    /// By how much the texts of a cache weigh more ([`weight_of`]).
    pub(super) text_weight: Cell<i64>,
    /// The logs that were left, each by the ids before its first and of its last change.
    pub(super) left: Vec<(i64, i64)>,
    /// Whether a head was damaged, and forgotten: the tree and the counts still have what it said.
    pub(super) forgot: Cell<bool>,
    /// Requests outside the order that a head no longer points to.
    pub(super) released: BTreeSet<i64>,
}

impl<'c> Transaction<'c> {
    pub(super) fn begin(
        connection: &'c Connection,
        meta: Meta,
        history: usize,
        standing: Arc<Standing>,
        tally: Tally,
        touched: &'c Touched,
    ) -> Self {
        Self {
            connection,
            meta,
            history,
            standing,
            actor: None,
            tally,
            changes: Vec::new(),
            effects: Vec::new(),
            toggles: Vec::new(),
            loose_toggles: Vec::new(),
            repaired: Cell::new(false),
            begun: None,
            touched,
            touched_now: TouchedNow::default(),
            log_bytes: Cell::new(0),
            text_weight: Cell::new(0),
            left: Vec::new(),
            forgot: Cell::new(false),
            released: BTreeSet::new(),
        }
    }

    /// Writes the state row and the sums that the tally changed; the last statements before the commit.
    pub(super) fn write_meta(&mut self, signers: &[(PublicKey, Signed)]) -> rusqlite::Result<()> {
        self.drop_released()?;
        signers::write(self.connection, signers)?;
        self.confirm();
        self.meta.write(self.connection)
    }

    /// Loads the head that decides about a write. A replica goes on without one that is damaged: it has it again from
    /// upstream.
    pub(super) fn load(&self, subject: &Subject) -> rusqlite::Result<Option<Row>> {
        match head::load(self.connection, &self.meta.log, subject) {
            Err(error) if self.meta.role != Role::Primary && head::is_sum_wrong(&error) => {
                tracing::error!("what is known of {} is damaged and forgotten", subject.text());
                self.forgot.set(true);
                Ok(None)
            }
            loaded => loaded,
        }
    }

    /// Stores the head that a write leads to.
    pub(super) fn save(&self, subject: &Subject, row: &Row) -> rusqlite::Result<()> {
        head::save(self.connection, &self.meta.log, subject, row)
    }

    /// Brings the counts and sums of live accounts up to date with one account's step: the JWT that it had, and has now,
    /// if it has one.
    pub(super) fn count(&mut self, before: Option<Live>, after: Option<Live>) {
        self.meta.count = (self.meta.count + u64::from(after.is_some())).saturating_sub(u64::from(before.is_some()));
        self.tally.step(before, after);
    }

    /// Restores a damaged body when exactly the same token arrives again.
    pub(super) fn repair(&self, row: &Row, digest: &Digest, token: &[u8], of: &str) -> rusqlite::Result<()> {
        if row.digest != *digest {
            return Ok(());
        }
        let sound: bool = self
            .connection
            .prepare_cached("SELECT body = ?2 FROM change WHERE id = ?1")?
            .query_row(params![row.row, token], |found| Ok(found.get(0).unwrap_or(false)))?;
        if !sound {
            tracing::warn!("the damaged JWT of {of} is restored");
            self.connection
                .prepare_cached("UPDATE change SET body = ?2 WHERE id = ?1")?
                .execute(params![row.row, token])?;
            self.repaired.set(true);
        }
        Ok(())
    }

    /// The place of the next change.
    pub(super) const fn next_position(&self) -> Position {
        self.meta.head.position(self.meta.head.serial + 1)
    }

    /// Gives the change its place in the order, and returns its id. No other function assigns serials.
    pub(super) fn append(&mut self, content: Content, record: Record<'_>) -> rusqlite::Result<i64> {
        let operation = record.operation();
        let head = &mut self.meta.head;
        head.serial += 1;
        head.chain = head.chain.next(head.serial, operation, record.digest);
        self.log(content, record, operation)
    }

    /// Writes the change that the position has just moved to.
    pub(super) fn log(&mut self, content: Content, record: Record<'_>, operation: Operation) -> rusqlite::Result<i64> {
        let head = self.meta.head;
        let id = self.meta.log.id(head.serial);
        self.insert(id, head.serial, &head.chain.0, &record, operation)?;
        self.count_text(i64::try_from(record.body.map_or(0, <[u8]>::len)).unwrap_or(i64::MAX));
        self.toggles.extend_from_slice(record.toggles);
        self.changes.push(Arc::new(Change {
            serial: head.serial,
            chain: head.chain,
            at: record.at,
            via: record.via,
            actor: self.actor.clone(),
            content,
        }));
        Ok(id)
    }

    /// Stores a text that came outside the order, and returns its id. `serial`: its place, if it is known.
    pub(super) fn store_loose(&mut self, record: &Record<'_>, serial: u64) -> rusqlite::Result<i64> {
        self.meta.loose += 1;
        let id = self.meta.loose;
        self.repaired.set(true);
        self.insert(id, serial, &[], record, record.operation())?;
        Ok(id)
    }

    fn insert(
        &self,
        id: i64,
        serial: u64,
        chain: &[u8],
        record: &Record<'_>,
        operation: Operation,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO change (id, serial, at, op, kind, via, key, iat, exp, identity, issuer, digest, chain, body,
                                     toggles, actor)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            )?
            .execute(params![
                id,
                serial,
                record.at,
                operation.tag(),
                record.kind.map_or(0, SubjectKind::code),
                record.via.label(),
                record.key,
                record.iat,
                record.exp,
                record.identity,
                record.issuer,
                record.digest,
                chain,
                record.body,
                Toggle::encode(record.toggles),
                self.actor.as_ref().map(|client| client.stored()),
            ])?;
        if let Some(body) = record.body {
            self.weigh(weight_of(body.len()).cast_signed());
        }
        Ok(())
    }

    /// Forgets the text of a change. Outside the order, nothing of it is left.
    pub(super) fn drop_body(&self, id: i64) -> rusqlite::Result<()> {
        if id < 0 {
            return self.drop_row(id);
        }
        let length = self.text_goes(id)?;
        if id > self.meta.log.id(self.meta.log.floor.0) {
            self.count_text(-length);
        }
        self.connection.prepare_cached("UPDATE change SET body = NULL WHERE id = ?1")?.execute([id]).map(drop)
    }

    /// Forgets a change of which the log has no need.
    pub(super) fn drop_row(&self, id: i64) -> rusqlite::Result<()> {
        self.text_goes(id)?;
        self.repaired.set(true);
        self.connection.prepare_cached("DELETE FROM change WHERE id = ?1")?.execute([id]).map(drop)
    }

    /// Counts a text that leaves a cache, and returns its length.
    fn text_goes(&self, id: i64) -> rusqlite::Result<i64> {
        if self.meta.role != Role::Cache {
            return Ok(0);
        }
        let length: Option<Option<usize>> = self
            .connection
            .prepare_cached("SELECT length(body) FROM change WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let Some(length) = length.flatten() else { return Ok(0) };
        self.weigh(-weight_of(length).cast_signed());
        Ok(length.cast_signed() as i64)
    }

    fn weigh(&self, bytes: i64) {
        self.text_weight.set(self.text_weight.get().saturating_add(bytes));
    }

    /// Counts bytes that the log gets or loses.
    pub(super) fn count_text(&self, bytes: i64) {
        self.log_bytes.set(self.log_bytes.get().saturating_add(bytes));
    }

    /// The place of a change in the order in which it came; 0: unknown, or there is no such change.
    pub(super) fn serial_of(&self, id: i64) -> rusqlite::Result<u64> {
        let found = self
            .connection
            .prepare_cached("SELECT serial FROM change WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(found.unwrap_or(0))
    }
}

/// The columns of a change.
pub(super) struct Record<'a> {
    /// `None`: it is passed on as it is.
    pub(super) kind: Option<SubjectKind>,
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
    /// What it does.
    pub(super) const fn operation(&self) -> Operation {
        match (self.key, self.body) {
            (None, _) => Operation::Delete,
            (Some(_), Some(_)) => Operation::Put,
            (Some(_), None) => Operation::Remove,
        }
    }

    /// Those of a change that is passed on, and of which no more is known than the digest of its body.
    pub(super) const fn passed(digest: &'a Digest, toggles: &'a [Toggle]) -> Self {
        Self {
            kind: None,
            via: Via::Feed,
            at: 0,
            key: None,
            toggles,
            iat: 0,
            exp: 0,
            identity: &[0; 32],
            issuer: None,
            digest,
            body: None,
        }
    }

    /// Those of an account's JWT.
    pub(super) fn of_entry(entry: &'a Entry, via: Via, at: i64, toggles: &'a [Toggle]) -> Self {
        Self {
            kind: Some(SubjectKind::Account),
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

    /// Those of an activation.
    pub(super) fn of_activation(activation: &'a Activation, via: Via, at: i64, toggles: &'a [Toggle]) -> Self {
        Self {
            kind: Some(SubjectKind::Activation),
            via,
            at,
            key: Some(activation.id().raw()),
            toggles,
            iat: activation.iat(),
            exp: activation.exp(),
            identity: activation.identity(),
            issuer: Some(activation.issuer().raw()),
            digest: activation.digest(),
            body: Some(activation.token()),
        }
    }

    /// Those of a version that left: its account a read-only folder, or an activation because it had expired.
    pub(super) const fn of_removal(
        subject: &'a Subject,
        (identity, iat): (&'a Identity, i64),
        digest: &'a Digest,
        via: Via,
        at: i64,
        toggles: &'a [Toggle],
    ) -> Self {
        Self {
            kind: Some(subject.kind()),
            via,
            at,
            key: Some(subject.raw()),
            toggles,
            iat,
            exp: 0,
            identity,
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
            kind: Some(SubjectKind::Account),
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
