//! A change of the feed: it enters the log whatever it is, and its keys follow it.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::super::change::NO_IDENTITY;
use super::super::effect::{AccountNow, Effect};
use super::super::head::{NO_CHANGE, Row, leaf_of};
use super::super::schema::Role;
use super::super::transaction::{Record, Transaction};
use super::super::write::{CommitError, Outcome};
use super::ordered::{TextPlace, UpstreamState};
use super::{Fed, FedContent};
use crate::feed::digest::{Leaf, LeafState, Toggle};
use crate::feed::{Content, Operation, Subject, SubjectKind};
use crate::gate::{Activation, Digest, Entry, Identity, Tombstone, Via};
use crate::jwt::HashId;
use crate::key::{AccountKey, PublicKey};

/// A key that a change is about: what was there, what follows, and the JWT if it is held now.
pub(super) struct Step {
    pub(super) subject: Subject,
    pub(super) before: Row,
    pub(super) now: Row,
    pub(super) entry: Option<Arc<Entry>>,
}

impl Transaction<'_> {
    /// Applies a change of the feed. It is in the log even if the outcome is a refusal, which says that something else stays.
    pub(super) fn fed(&mut self, fed: &Fed) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let (serial, reach) = (fed.item.serial, self.meta.log.reach);
        if self.meta.head.serial.checked_add(1) != Some(serial) {
            // Another order has begun since it was read.
            return Ok(Ok(Outcome::Kept));
        }
        (self.meta.head.serial, self.meta.head.chain) = (serial, fed.chain);
        let id = self.meta.log.id(serial);
        let (steps, verdict) = self.steps(fed, id)?;
        // Also those of which nothing is known here: what a comparison says of them may be older.
        subjects(&fed.content).into_iter().for_each(|subject| self.touched_now.note(subject, serial));
        let toggles: Vec<Toggle> = steps
            .iter()
            .map(|step| Toggle::between(&step.subject, step.before.leaf(&step.subject), step.now.leaf(&step.subject)))
            .collect();
        self.log_fed(fed, &steps, &toggles)?;
        for step in steps {
            self.settle(&step.subject, &step.before, &step.now, step.entry.as_ref())?;
        }
        if serial == reach {
            self.doubt_missed()?;
        }
        self.meta.log.reach = reach.max(serial);
        Ok(verdict)
    }

    /// What follows from a change for its keys.
    fn steps(&mut self, fed: &Fed, id: i64) -> rusqlite::Result<(Vec<Step>, Result<Outcome, CommitError>)> {
        let changed = Ok(Outcome::Changed { serial: fed.item.serial });
        Ok(match &fed.content {
            FedContent::Put(entry) => self.fed_put(entry, id)?,
            FedContent::Superseded(key) => (self.doubt(std::slice::from_ref(key))?, changed),
            FedContent::Rejected(keys) => {
                let steps = self.doubt(keys)?;
                // It exists, and nothing here knows it.
                if steps.len() < keys.len() {
                    self.miss_a_key();
                }
                (steps, changed)
            }
            FedContent::Delete(tombstone) => (self.fed_delete(tombstone, tombstone.keys(), id)?, changed),
            FedContent::Removed(key, identity) => (self.fed_removed(key, *identity, &fed.digest, id)?, changed),
            FedContent::Activation(activation) => (self.fed_activation(activation, id)?, changed),
            FedContent::OtherActivation(activation, identity) => {
                (self.other_activation(activation, identity.as_ref(), self.passed(id))?, changed)
            }
            FedContent::Forgotten(activation) => (self.fed_forgotten(activation, &fed.digest, id)?, changed),
            FedContent::Operator(operator, version) => {
                (self.other_operator(operator, version, self.passed(id))?, changed)
            }
            FedContent::Unknown => (Vec::new(), changed),
        })
    }

    /// The change that is passed on as it came, for the heads that point to it. Those of a cache do not, because it does not
    /// keep it.
    fn passed(&self, id: i64) -> i64 {
        if self.meta.role == Role::Cache { 0 } else { id }
    }

    fn log_fed(&mut self, fed: &Fed, steps: &[Step], toggles: &[Toggle]) -> rusqlite::Result<()> {
        let operation = fed.item.link().map_or(Operation::Put, |(operation, _)| operation);
        let (content, record) = match &fed.content {
            FedContent::Put(entry) => {
                (Content::Put(entry.clone()), Record::of_entry(entry, Via::Feed, fed.item.at, toggles))
            }
            FedContent::Delete(tombstone) => (
                Content::Delete(tombstone.clone()),
                Record::of_delete(tombstone, Via::Feed, fed.item.at, toggles, &fed.digest),
            ),
            FedContent::Superseded(key) => {
                (Content::Superseded { key: *key, digest: fed.digest }, past(fed, toggles, key))
            }
            FedContent::Removed(key, identity) => {
                // Which version left, if that is known.
                let known = || steps.first().map(|step| self.left(&step.before, &fed.digest)).transpose();
                let identity = if identity.is_some() { *identity } else { known()?.flatten() };
                let record = Record { identity: identity.as_ref().unwrap_or(&NO_IDENTITY), ..past(fed, toggles, key) };
                let content = Content::Removed { key: *key, digest: fed.digest, identity };
                return self.log(content, record, operation).map(drop);
            }
            FedContent::Forgotten(activation) => {
                let left = steps.first().filter(|step| step.before.digest == fed.digest);
                let left = left.and_then(|step| step.before.held.identity());
                let record = Record {
                    kind: Some(SubjectKind::Activation),
                    key: Some(activation.raw()),
                    identity: left.unwrap_or(&NO_IDENTITY),
                    ..unread(fed, toggles)
                };
                let content = Content::Forgotten { id: *activation, digest: fed.digest };
                return self.log(content, record, operation).map(drop);
            }
            FedContent::Activation(activation) => (
                Content::Activation(activation.clone()),
                Record::of_activation(activation, Via::Feed, fed.item.at, toggles),
            ),
            // Those who follow now get it as it came, and those who read it later learn which version it was.
            FedContent::Rejected(keys) if operation == Operation::Put && keys.len() == 1 => {
                (Content::Passed(fed.item.clone()), past(fed, toggles, &keys[0]))
            }
            FedContent::OtherActivation(id, _) => {
                let kind = Some(SubjectKind::Activation);
                (Content::Passed(fed.item.clone()), Record { kind, key: Some(id.raw()), ..unread(fed, toggles) })
            }
            FedContent::Operator(..) => {
                let text = serde_json::to_vec(&*fed.item).unwrap_or_default();
                let record = Record { body: Some(&text), ..unread(fed, toggles) };
                return self.log(Content::Passed(fed.item.clone()), record, operation).map(drop);
            }
            FedContent::Rejected(_) | FedContent::Unknown => {
                // Nothing unverified is stored, so who comes later cannot go on from before it.
                self.log(Content::Passed(fed.item.clone()), unread(fed, toggles), operation)?;
                self.left.push((self.meta.log.id(self.meta.log.floor.0), self.meta.log.id(self.meta.head.serial)));
                self.log_bytes.set(0);
                self.meta.log.floor = (self.meta.head.serial, self.meta.head.chain);
                return Ok(());
            }
        };
        self.log(content, record, operation).map(drop)
    }

    fn fed_put(&mut self, entry: &Arc<Entry>, id: i64) -> rusqlite::Result<(Vec<Step>, Result<Outcome, CommitError>)> {
        // If the operator JWT has changed since it was admitted, it is withheld.
        let subject = Subject::Account(*entry.key());
        let before = self.load(&subject)?.unwrap_or_default();
        let mut now = before.clone();
        let at = self.meta.head.position(self.meta.head.serial);
        let state = self.order_version(&mut now, entry, Via::Feed, Some(at), TextPlace::Logged(id))?;
        let (entry, verdict) = match state {
            UpstreamState::Held => (Some(entry.clone()), Ok(Outcome::Changed { serial: at.serial })),
            UpstreamState::Behind => (None, Ok(Outcome::Kept)),
            UpstreamState::Open => (None, Ok(Outcome::Refetch)),
            UpstreamState::Ahead(refusal) => (None, Err(refusal.into())),
        };
        Ok((vec![Step { subject, before, now, entry }], verdict))
    }

    /// Upstream may have something newer of these accounts.
    fn doubt(&self, keys: &[AccountKey]) -> rusqlite::Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(keys.len());
        for key in keys {
            let subject = Subject::Account(*key);
            // Anyone can name an account that does not exist.
            let Some(before) = self.load(&subject)? else { continue };
            let now = Row { is_doubted: true, ..before.clone() };
            steps.push(Step { subject, before, now, entry: None });
        }
        Ok(steps)
    }

    fn fed_delete(&mut self, tombstone: &Tombstone, keys: &[AccountKey], id: i64) -> rusqlite::Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(keys.len());
        for key in keys {
            let subject = Subject::Account(*key);
            let before = self.load(&subject)?.unwrap_or_default();
            let mut now = before.clone();
            self.order_deletion(&mut now, &subject, tombstone.deletion(), id)?;
            steps.push(Step { subject, before, now, entry: None });
        }
        Ok(steps)
    }

    fn fed_removed(
        &mut self,
        key: &AccountKey,
        identity: Option<Identity>,
        digest: &Digest,
        id: i64,
    ) -> rusqlite::Result<Vec<Step>> {
        let subject = Subject::Account(*key);
        let found = self.load(&subject)?;
        if found.is_none() && identity.is_none() {
            // Of an unknown account there is nothing to store. An answer under way may be older.
            self.effects.push(Effect { key: *key, now: AccountNow::Gone, row: 0 });
            return Ok(Vec::new());
        }
        let before = found.unwrap_or_default();
        let mut now = before.clone();
        if now.digest != *digest {
            self.drop_overlay(&mut now)?;
        }
        let left = if identity.is_some() { identity } else { self.left(&now, digest)? };
        if now.held.is_live() || now.held.version().is_none() {
            // What is held here may be another version than the one that left.
            now.removed = if left.as_ref() == now.held.identity() { id } else { NO_CHANGE };
        }
        Self::order_removal(&mut now, &subject, left.as_ref(), id);
        self.count(before.counted(), now.counted());
        Ok(vec![Step { subject, before, now, entry: None }])
    }

    /// Which version has this text: the one that is held, or the one that upstream had ordered.
    fn left(&self, before: &Row, digest: &Digest) -> rusqlite::Result<Option<Identity>> {
        if before.digest == *digest && before.held.version().is_some() {
            return Ok(before.held.identity().copied());
        }
        let Some(ordered) = before.ordered else { return Ok(None) };
        self.connection
            .prepare_cached("SELECT identity FROM change WHERE id = ?1 AND digest = ?2 AND op = ?3")?
            .query_row(params![ordered.under, digest, Operation::Put.tag()], |row| row.get(0))
            .optional()
    }

    /// Applies that an account left a read-only folder upstream. `left`: its version, if that is known. `id`: the change.
    pub(super) fn order_removal(row: &mut Row, subject: &Subject, left: Option<&Identity>, id: i64) {
        let leaf = left.map(|identity| Leaf::of(subject, &LeafState::Left(*identity)));
        // Of what is not known, nothing is said until the next comparison.
        row.set_ordered(subject, leaf, if leaf.is_some() { id } else { 0 });
        // A deletion has nothing to add to what left.
        (row.is_ahead, row.is_doubted) = (leaf.is_some() && row.ordered.is_some() && row.is_live(), false);
    }

    fn fed_activation(&mut self, activation: &Activation, id: i64) -> rusqlite::Result<Vec<Step>> {
        let subject = Subject::Activation(*activation.id());
        let before = self.load(&subject)?.unwrap_or_default();
        let version = activation.version();
        if before.row != 0 && before.held.version().is_some_and(|held| held.iat > version.iat) {
            let mut now = before.clone();
            now.set_ordered(&subject, Some(leaf_of(&subject, &version.identity)), id);
            now.is_ahead = now.ordered.is_some();
            return Ok(vec![Step { subject, before, now, entry: None }]);
        }
        let now = self.held_activation(&before, activation, id)?;
        Ok(vec![Step { subject, before, now, entry: None }])
    }

    /// The head of an activation that is stored as a change. It is stored already when this returns.
    pub(super) fn held_activation(&mut self, before: &Row, activation: &Activation, id: i64) -> rusqlite::Result<Row> {
        let version = activation.version();
        let held = crate::gate::Held::restore_placed(
            Some(version),
            Some(self.meta.head.position(self.meta.head.serial)),
            Vec::new(),
            None,
            Vec::new(),
        );
        let now = Row { held, row: id, exp: activation.exp(), digest: *activation.digest(), ..Row::default() };
        self.store_activation(before.row, now.clone(), activation, id)?;
        Ok(now)
    }

    /// An activation whose text is not stored. `under`: the change that is passed on.
    pub(super) fn other_activation(
        &self,
        id: &HashId,
        identity: Option<&Identity>,
        under: i64,
    ) -> rusqlite::Result<Vec<Step>> {
        let subject = Subject::Activation(*id);
        let before = self.load(&subject)?.unwrap_or_default();
        let mut now = before.clone();
        match identity {
            Some(identity) => now.set_ordered(&subject, Some(leaf_of(&subject, identity)), under),
            None => now.is_doubted = true,
        }
        Ok(vec![Step { subject, before, now, entry: None }])
    }

    fn fed_forgotten(&mut self, id: &HashId, digest: &Digest, change: i64) -> rusqlite::Result<Vec<Step>> {
        let subject = Subject::Activation(*id);
        let Some(before) = self.load(&subject)? else { return Ok(Vec::new()) };
        let mut now = before.clone();
        // What is held here may be another version than the one that expired.
        now.removed = if before.digest == *digest { change } else { NO_CHANGE };
        self.forget_activation(&subject, now.clone())?;
        now.row = now.row.max(0);
        now.is_level();
        Ok(vec![Step { subject, before, now, entry: None }])
    }

    /// The operator's JWT upstream. There is one. `under`: the change with it; 0: it is not here.
    pub(super) fn other_operator(
        &self,
        operator: &PublicKey,
        version: &Identity,
        under: i64,
    ) -> rusqlite::Result<Vec<Step>> {
        let mut steps = Vec::new();
        let subject = Subject::Operator(*operator);
        super::super::head::each_from(self.connection, &self.meta.log, SubjectKind::Operator, &[], |key, before| {
            if key != subject {
                let mut now = before.clone();
                now.set_ordered(&key, None, 0);
                steps.push(Step { subject: key, before, now, entry: None });
            }
            Ok(true)
        })?;
        let before = self.load(&subject)?.unwrap_or_default();
        let mut now = before.clone();
        now.set_ordered(&subject, Some(Leaf::of(&subject, &LeafState::Held(*version))), under);
        steps.push(Step { subject, before, now, entry: None });
        Ok(steps)
    }
}

/// What a change is about.
fn subjects(content: &FedContent) -> Vec<Subject> {
    let accounts = |keys: &[AccountKey]| keys.iter().map(|key| Subject::Account(*key)).collect();
    match content {
        FedContent::Put(entry) => vec![Subject::Account(*entry.key())],
        FedContent::Superseded(key) | FedContent::Removed(key, _) => vec![Subject::Account(*key)],
        FedContent::Delete(tombstone) => accounts(tombstone.keys()),
        FedContent::Rejected(keys) => accounts(keys),
        FedContent::Activation(activation) => vec![Subject::Activation(*activation.id())],
        FedContent::OtherActivation(id, _) | FedContent::Forgotten(id) => vec![Subject::Activation(*id)],
        FedContent::Operator(operator, _) => vec![Subject::Operator(*operator)],
        FedContent::Unknown => Vec::new(),
    }
}

/// A change of an account whose text is gone.
fn past<'a>(fed: &'a Fed, toggles: &'a [Toggle], key: &'a AccountKey) -> Record<'a> {
    Record { kind: Some(SubjectKind::Account), key: Some(key.raw()), ..unread(fed, toggles) }
}

/// A change of which nothing is known but its place in the chain.
fn unread<'a>(fed: &'a Fed, toggles: &'a [Toggle]) -> Record<'a> {
    Record { at: fed.item.at, ..Record::passed(&fed.digest, toggles) }
}
