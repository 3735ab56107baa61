//! The one decision about what upstream ordered, and about what is served before it has.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::super::effect::{AccountNow, Currency, Effect};
use super::super::head::{Row, leaf_of};
use super::super::transaction::{Record, Transaction};
use crate::clock;
use crate::feed::digest::{Leaf, LeafState, Toggle};
use crate::feed::{Operation, Subject, SubjectKind};
use crate::gate::{Deletion, Entry, Held, Ordering, Position, Refusal, Version, Via};
use crate::key::{Kind, PublicKey};

/// What the decision about a version came to.
#[derive(Debug)]
pub enum UpstreamState {
    /// It is held now, and upstream ordered it.
    Held,
    /// It is what upstream ordered. Something later is held here, which upstream is about to bring.
    Behind,
    /// It is what upstream ordered. Something else is held here.
    Ahead(Refusal),
    /// It is what upstream ordered. Only upstream can tell whether it is later than what is held.
    Open,
}

/// Where a text is stored: in the log, or outside the order if it is held or ordered.
#[derive(Debug, Clone, Copy)]
pub(super) enum TextPlace {
    Logged(i64),
    Loose,
}

impl Transaction<'_> {
    /// Applies a version that upstream ordered. `row` becomes what follows from it. No other function decides that.
    pub(super) fn order_version(
        &mut self,
        row: &mut Row,
        entry: &Arc<Entry>,
        via: Via,
        at: Option<Position>,
        place: TextPlace,
    ) -> rusqlite::Result<UpstreamState> {
        let (subject, version, before) = (Subject::Account(*entry.key()), entry.version(), row.clone());
        if via == Via::Feed {
            row.held.make_room(&version, &self.standing);
        }
        let order = row.held.order(&version, via, at, &self.standing);
        let state = match order {
            Ordering::Newer | Ordering::Same => {
                row.held.put(version, at, &self.standing);
                row.removed = 0;
                row.is_level();
                let id = match place {
                    TextPlace::Logged(id) => id,
                    // The bytes that were served first stay, even if the same version is spelt in another way.
                    TextPlace::Loose if before.row != 0 && before.held.identity() == Some(entry.identity()) => {
                        self.repair(&before, entry.digest(), entry.token(), &entry.key().text())?;
                        self.count(before.counted(), row.counted());
                        return Ok(UpstreamState::Held);
                    }
                    TextPlace::Loose => self.store_entry(entry, via, at)?,
                };
                self.replace(&before, row, entry, id)?;
                return Ok(UpstreamState::Held);
            }
            Ordering::Behind => {
                row.held.note_behind(&version, at);
                UpstreamState::Behind
            }
            Ordering::Refetch => UpstreamState::Open,
            Ordering::Refused(_) if self.is_to_come(row) => UpstreamState::Behind,
            Ordering::Refused(refusal) => UpstreamState::Ahead(refusal),
        };
        if via == Via::Feed {
            row.held.pass_over(&version, &self.standing);
        }
        let under = match place {
            TextPlace::Logged(id) => id,
            TextPlace::Loose => self.store_entry(entry, via, at)?,
        };
        row.set_ordered(&subject, Some(leaf_of(&subject, entry.identity())), under);
        let is_ahead = matches!(state, UpstreamState::Ahead(_)) && row.ordered.is_some();
        (row.is_ahead, row.is_doubted) = (is_ahead, matches!(state, UpstreamState::Open));
        // Room that was made may have lifted a deletion.
        self.count(before.counted(), row.counted());
        Ok(state)
    }

    /// Stores a JWT outside the order.
    pub(super) fn store_entry(&mut self, entry: &Entry, via: Via, at: Option<Position>) -> rusqlite::Result<i64> {
        let place = at.filter(|at| at.session == self.meta.head.session.0).map_or(0, |at| at.serial);
        self.store_loose(&Record::of_entry(entry, via, clock::unix_millis(), &[]), place)
    }

    /// Whether what is held is later in upstream's order than what the feed has brought, so that the feed is about to bring it.
    pub(super) fn is_to_come(&self, row: &Row) -> bool {
        let (head, log) = (&self.meta.head, &self.meta.log);
        let is_later = |serial: u64| serial > head.serial && !log.may_be_lost(serial);
        row.held.position().is_some_and(|at| at.session == head.session.0 && is_later(at.serial))
    }

    /// Applies a deletion that upstream ordered to one account. `id`: the change with the request.
    pub(super) fn order_deletion(
        &mut self,
        row: &mut Row,
        subject: &Subject,
        request: Deletion,
        id: i64,
    ) -> rusqlite::Result<bool> {
        let before = row.counted();
        let is_news = row.held.delete(request, &self.standing);
        if is_news {
            row.deleted_row = id;
        }
        self.count(before, row.counted());
        let leaf = Leaf::of(subject, &LeafState::Deleted(request));
        let is_held = row.own_leaf(subject) == Some(leaf);
        if is_held {
            row.is_level();
        } else {
            row.set_ordered(subject, Some(leaf), id);
            // A later deletion, or a later version.
            row.note_ahead(!self.is_to_come(row));
        }
        Ok(is_news)
    }

    /// Notes that upstream has nothing of a key. What is here stays: absence is never a deletion.
    pub(super) fn order_nothing(&self, row: &mut Row, subject: &Subject) {
        row.set_ordered(subject, None, 0);
        row.note_ahead(!self.is_to_come(row));
    }

    /// Drops what was served before upstream had ordered it, because the account left there. What is held is what upstream had
    /// ordered, or nothing if that is no version, or one of which only a digest is known.
    pub(super) fn drop_overlay(&self, row: &mut Row) -> rusqlite::Result<()> {
        let Some(ordered) = row.ordered.filter(|_| !self.is_to_come(row)) else { return Ok(()) };
        let stored = self
            .connection
            .prepare_cached(
                "SELECT iat, identity, issuer, digest, exp, serial FROM change WHERE id = ?1 AND op = ?2 AND kind = ?3",
            )?
            .query_row(params![ordered.under, Operation::Put.tag(), SubjectKind::Account], |found| {
                let issuer = PublicKey::from_raw(Kind::Operator, found.get(2)?);
                let version = Version { iat: found.get(0)?, identity: found.get(1)?, issuer };
                Ok((version, found.get(3)?, found.get(4)?, found.get::<_, u64>(5)?))
            })
            .optional()?;
        if let Some((version, digest, exp, serial)) = stored {
            // A place in an earlier log says nothing here.
            let is_logged = ordered.under > self.meta.log.id(self.meta.log.floor.0);
            let at = is_logged.then(|| self.meta.head.position(serial));
            let (deleted, marks) = (row.held.deleted().copied(), row.held.marks().to_vec());
            row.held = Held::restore_placed(Some(version), at, Vec::new(), deleted, marks);
            (row.row, row.digest, row.exp) = (ordered.under, digest, exp);
            row.is_level();
        } else {
            row.held =
                Held::restore_placed(None, None, Vec::new(), row.held.deleted().copied(), row.held.marks().to_vec());
            row.row = 0;
        }
        Ok(())
    }

    /// Stores what a write made of a key outside the order. `entry`: the JWT, if it changed.
    pub(in super::super) fn settle_loose(
        &mut self,
        subject: &Subject,
        before: &Row,
        now: &Row,
        entry: Option<&Arc<Entry>>,
    ) -> rusqlite::Result<()> {
        let (from, to) = (before.leaf(subject), now.leaf(subject));
        if from != to {
            self.loose_toggles.push(Toggle::between(subject, from, to));
        }
        self.settle(subject, before, now, entry)
    }

    /// Stores what a write made of a key.
    pub(in super::super) fn settle(
        &mut self,
        subject: &Subject,
        before: &Row,
        now: &Row,
        entry: Option<&Arc<Entry>>,
    ) -> rusqlite::Result<()> {
        let mut now = self.with_history(subject, before, now)?;
        // Which operator JWT counts is judged elsewhere.
        if let (Subject::Operator(_), true) = (subject, now.is_ahead || now.is_doubted) {
            now = Cow::Owned(Row { is_ahead: false, is_doubted: false, ..now.into_owned() });
        }
        let now = &*now;
        let place = now.held.position().filter(|at| at.session == self.meta.head.session.0);
        self.meta.log.reach = self.meta.log.reach.max(place.map_or(0, |at| at.serial));
        if now != before {
            self.save(subject, now)?;
            self.repaired.set(true);
            let step = |count: u64, was: bool, is: bool| (count + u64::from(is)).saturating_sub(u64::from(was));
            self.meta.ahead = step(self.meta.ahead, before.is_ahead, now.is_ahead);
            self.meta.doubted = step(self.meta.doubted, before.must_ask(subject), now.must_ask(subject));
            self.release(before, now)?;
        }
        if let Subject::Account(key) = subject {
            let currency = Currency {
                at: place.filter(|at| now.is_ordered() || !self.meta.log.may_be_lost(at.serial)),
                era: if now.is_ordered() { self.meta.log.era.unsigned_abs() } else { 0 },
                came: clock::unix_millis(),
            };
            // Of what stands upstream, only a digest is known.
            let is_elsewhere = now.is_opaque();
            let state = match entry {
                _ if !now.held.is_live() && is_elsewhere && !now.is_ahead => AccountNow::Elsewhere,
                _ if !now.held.is_live() || now.removed != 0 => AccountNow::Gone,
                Some(entry) => AccountNow::Served(entry.clone(), currency),
                None if now.row == 0 => AccountNow::Elsewhere,
                None => AccountNow::Unchanged(currency),
            };
            let row = if matches!(state, AccountNow::Gone | AccountNow::Elsewhere) { 0 } else { now.row };
            self.effects.push(Effect { key: *key, now: state, row });
        }
        Ok(())
    }

    /// Adds the version to the history that upstream had ordered under what was served early, if something else follows it.
    fn with_history<'r>(&self, subject: &Subject, before: &Row, now: &'r Row) -> rusqlite::Result<Cow<'r, Row>> {
        let short = |leaf: Option<Leaf>| leaf.map(|leaf| leaf.short());
        let passed = before
            .ordered
            // What a comparison found after upstream was set back is older than what is in the history.
            .filter(|ordered| ordered.under > 0 || !before.is_ahead)
            // The same version may only have another place.
            .filter(|ordered| short(ordered.leaf) != short(now.leaf(subject)))
            .map(|ordered| ordered.under)
            .filter(|under| !now.points_to(*under));
        match passed {
            Some(under) if self.is_put(under)? && !self.is_in_history(now, under)? => {
                let history = self.push_history(&now.history, under)?;
                Ok(Cow::Owned(Row { history, ..now.clone() }))
            }
            _ => Ok(Cow::Borrowed(now)),
        }
    }

    /// Whether the history of a key has the text of a change already.
    fn is_in_history(&self, row: &Row, id: i64) -> rusqlite::Result<bool> {
        let mut is_same = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM change a JOIN change b ON a.digest = b.digest WHERE a.id = ?1 AND b.id = ?2)",
        )?;
        for earlier in &row.history {
            if is_same.query_row(params![id, earlier], |found| found.get(0))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Drops the texts that a head no longer needs: those outside the order, and next to something that was served early also
    /// those in the log.
    fn release(&mut self, before: &Row, now: &Row) -> rusqlite::Result<()> {
        if let Some(ordered) = before.ordered {
            for id in [before.row, ordered.under] {
                if id > 0 && !now.points_to(id) && self.is_put(id)? {
                    self.drop_body(id)?;
                }
            }
        }
        for id in before.pointers().filter(|id| *id < 0 && !now.points_to(*id)) {
            let is_request: bool = self
                .connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM change WHERE id = ?1 AND op = ?2)")?
                .query_row(params![id, Operation::Delete.tag()], |row| row.get(0))?;
            if is_request {
                self.released.insert(id);
            } else {
                self.drop_body(id)?;
            }
        }
        Ok(())
    }

    /// Drops the requests outside the order that no head needs any more. Several accounts share one, so it is looked at once,
    /// at the end of the transaction.
    pub(in super::super) fn drop_released(&mut self) -> rusqlite::Result<()> {
        for id in std::mem::take(&mut self.released) {
            let mut is_needed = false;
            for subject in self.deleted_by(id)? {
                is_needed = is_needed || self.load(&subject)?.is_some_and(|row| row.points_to(id));
            }
            if !is_needed {
                self.drop_body(id)?;
            }
        }
        Ok(())
    }

    /// Whether a change brought a JWT.
    pub(in super::super) fn is_put(&self, id: i64) -> rusqlite::Result<bool> {
        if id == 0 {
            return Ok(false);
        }
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM change WHERE id = ?1 AND op = ?2 AND kind = ?3)")?
            .query_row(params![id, Operation::Put.tag(), SubjectKind::Account], |row| row.get(0))
    }

    /// Moves the position up to which everything is current, if nothing holds it back.
    pub(in super::super) fn confirm(&mut self) {
        if self.meta.is_level && self.meta.doubted == 0 {
            self.meta.confirmed = (self.meta.head.serial, self.meta.head.chain);
        }
    }
}
