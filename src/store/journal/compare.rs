//! The journal's digest tree, and where a follower's keys differ from the journal.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

use super::super::error::StoreError;
use super::super::operator;
use super::change::{self, RawChange};
use super::head::{self, Row};
use super::leaves::each_after;
use super::read::JournalReader;
use super::schema::{self, LogPlace, Role};
#[cfg(test)]
use crate::feed::digest::Tree;
use crate::feed::digest::{Ask, Comparison, Difference, Prefix, Short, Sum, View, ViewParts};
use crate::feed::{Chain, Change, Content, Subject, SubjectKind};
use crate::gate::{OperatorChain, Via};

/// A piece with this much text is full, in bytes.
const TEXT: usize = 1 << 20;
/// Approximate size of a difference without its text, in bytes.
const AROUND: usize = 300;
/// Heads that are read for one piece.
const HEADS: usize = 20_000;

impl JournalReader {
    /// A place of the digest tree, its root without a prefix. Blocks for a query if that is a bucket.
    pub fn digests(&self, prefix: Option<Prefix>) -> Result<View, StoreError> {
        match prefix {
            None => Ok(self.digests.view(None)),
            Some(Prefix::Node(node)) => Ok(self.digests.view(Some(node))),
            Some(bucket @ Prefix::Bucket(_)) => self.bucket(bucket),
        }
    }

    /// A bucket and its position as one transaction has them.
    fn bucket(&self, prefix: Prefix) -> Result<View, StoreError> {
        self.read_bulk(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let schema::Meta { head, log, .. } = schema::meta(&transaction)?;
            let (mut sum, mut leaves) = (Sum::default(), Vec::new());
            each_after(&transaction, &log, Some(prefix), None, |key, row| {
                if let Some(leaf) = row.leaf(&key) {
                    sum.toggle(&leaf.0);
                    leaves.push((key, leaf));
                }
                Ok(true)
            })?;
            Ok(View { head, sum, below: ViewParts::Leaves(leaves) })
        })
    }

    /// The whole tree, and the tree computed from every head.
    #[cfg(test)]
    pub(super) fn trees(&self) -> Result<(Tree, Tree), StoreError> {
        Ok((
            self.digests.tree(),
            self.read(|connection| super::digests::compute(connection, &schema::meta(connection)?))?,
        ))
    }

    /// What differs from the follower's keys: a piece of about 1 MiB of text. Blocks for queries.
    ///
    /// A piece and its position are from one transaction. Changes may come between two pieces.
    ///
    /// `None`: this is a replica, and lacks a text that the answer has to have.
    pub fn compare(&self, ask: &Ask) -> Result<Option<Comparison>, StoreError> {
        let (head, piece) = self.read_bulk(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let schema::Meta { head, log, .. } = schema::meta(&transaction)?;
            let mut piece = ComparisonPiece::new(&transaction, log);
            match ask.prefix {
                None => piece.named(ask)?,
                Some(prefix) => piece.under(prefix, ask)?,
            }
            Ok((head, (piece.found, piece.next)))
        })?;
        let (found, next) = piece;
        let is_replica = self.state.role() != Role::Primary;
        let is_lost = |found: &FoundDifference| matches!(found, FoundDifference::Lost(_));
        if is_replica && found.iter().any(is_lost) {
            return Ok(None);
        }
        let open = |found| match found {
            FoundDifference::Nothing(key) => Ok(Difference::Nothing(key)),
            FoundDifference::Change(change) => {
                let id = change.id;
                self.difference(id, self.open_change(*change)?)
            }
            FoundDifference::Operator(chain) => Ok(Difference::Change(Change {
                serial: 0,
                chain: Chain::default(),
                at: 0,
                via: Via::Upstream,
                actor: None,
                content: Content::Operator(Arc::from(chain)),
            })),
            FoundDifference::Lost(key) => {
                let text = key.text();
                Err(self.unusable(&format!("the change that made the current state of {text} is missing")))
            }
        };
        let differences = found.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Some(Comparison { head, differences, next }))
    }

    fn difference(&self, id: i64, change: Change) -> Result<Difference, StoreError> {
        let Content::Delete(tombstone) = &change.content else { return Ok(Difference::Change(change)) };
        let log = self.state.log();
        let stands = self.read(|connection| {
            let mut stands = Vec::new();
            for key in tombstone.keys() {
                let row = head::load(connection, &log, &Subject::Account(*key))?;
                stands.extend(row.filter(|row| row.made_by() == id).map(|_| *key));
            }
            Ok(stands)
        })?;
        Ok(Difference::Deletion(change, stands))
    }
}

enum FoundDifference {
    Change(Box<RawChange>),
    Nothing(Subject),
    /// The operator JWTs in force. A comparison brought them, so no change has them.
    Operator(Box<OperatorChain>),
    /// The head points to a change that is not there.
    Lost(Subject),
}

struct ComparisonPiece<'c> {
    connection: &'c Connection,
    log: LogPlace,
    found: Vec<FoundDifference>,
    /// The changes in it. A delete request of several accounts is in it once.
    told: HashSet<i64>,
    text: usize,
    looked: usize,
    next: Option<Subject>,
}

impl<'c> ComparisonPiece<'c> {
    fn new(connection: &'c Connection, log: LogPlace) -> Self {
        Self { connection, log, found: Vec::new(), told: HashSet::new(), text: 0, looked: 0, next: None }
    }

    /// Compares the keys that are named.
    fn named(&mut self, ask: &Ask) -> rusqlite::Result<()> {
        let after = ask.after.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, theirs) in ask.have.range((after, Bound::Unbounded)) {
            let row = head::load(self.connection, &self.log, key)?;
            self.compare(*key, row.as_ref(), Some(*theirs))?;
            if self.is_full() {
                self.next = Some(*key);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Compares everything under a prefix.
    fn under(&mut self, prefix: Prefix, ask: &Ask) -> rusqlite::Result<()> {
        let after = ask.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut named = ask.have.range((after, Bound::Unbounded)).map(|(key, theirs)| (*key, *theirs)).peekable();
        let log = self.log;
        each_after(self.connection, &log, Some(prefix), ask.after, |key, row| {
            while let Some((unknown, _)) = named.next_if(|(named, _)| *named < key) {
                self.found.push(FoundDifference::Nothing(unknown));
            }
            let theirs = named.next_if(|(named, _)| *named == key).map(|(_, theirs)| theirs);
            self.compare(key, Some(&row), theirs)?;
            if self.is_full() {
                self.next = Some(key);
            }
            Ok(self.next.is_none())
        })?;
        if self.next.is_none() {
            self.found.extend(named.map(|(key, _)| FoundDifference::Nothing(key)));
        }
        Ok(())
    }

    fn compare(&mut self, key: Subject, row: Option<&Row>, theirs: Option<Short>) -> rusqlite::Result<()> {
        self.looked += 1;
        let Some((row, leaf)) = row.and_then(|row| row.leaf(&key).map(|leaf| (row, leaf))) else {
            if theirs.is_some() {
                self.text += AROUND;
                self.found.push(FoundDifference::Nothing(key));
            }
            return Ok(());
        };
        let id = row.made_by();
        if theirs == Some(leaf.short()) || (id != 0 && !self.told.insert(id)) {
            return Ok(());
        }
        if let (0, SubjectKind::Operator) = (id, key.kind())
            && let Some(chain) = operator::load(self.connection)?
        {
            self.text += AROUND + chain.bytes();
            self.found.push(FoundDifference::Operator(Box::new(chain)));
            return Ok(());
        }
        let change = self
            .connection
            .prepare_cached(&format!("SELECT {} FROM change WHERE id = ?1", change::CHANGE))?
            .query_row([id], RawChange::read)
            .optional()?;
        self.text += AROUND + change.as_ref().map_or(0, RawChange::body_len);
        self.found.push(change.map_or(FoundDifference::Lost(key), |change| FoundDifference::Change(Box::new(change))));
        Ok(())
    }

    const fn is_full(&self) -> bool {
        self.text >= TEXT || self.looked >= HEADS
    }
}
