//! What a replica reads of its store besides JWTs: where it stands, and what it lacks.

use rusqlite::{OptionalExtension as _, params};

use super::super::error::StoreError;
use super::super::followers::FollowerId;
use super::head;
use super::leaves::each_after;
use super::read::JournalReader;
use super::schema::Role;
use crate::feed::digest::{Leaf, Prefix, View};
use crate::feed::{Head, Subject, SubjectKind};
use crate::key::AccountKey;

/// Where a replica stands.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    /// What it keeps.
    pub role: Role,
    /// Up to where its log goes; `None`: it has not followed a feed.
    pub position: Option<Head>,
    /// Up to where everything that it serves is current, in the same session.
    pub confirmed: Option<Head>,
    /// Whether it was compared with upstream since this order began.
    pub is_level: bool,
    /// Whether it knows every key that upstream has.
    pub is_whole: bool,
    /// Keys of which upstream has something older, or nothing.
    pub ahead: u64,
    /// Keys of which upstream may have something newer.
    pub doubted: u64,
}

/// A key, its leaf, and whether its text is here.
pub type HeldLeaf = (Subject, Leaf, bool);

impl JournalReader {
    /// Where this replica stands.
    pub fn stand(&self) -> Stand {
        let meta = self.state.meta();
        let has_session = meta.log.has_session();
        let (serial, chain) = meta.confirmed;
        Stand {
            role: meta.role,
            position: has_session.then_some(meta.head),
            confirmed: has_session.then_some(Head { session: meta.head.session, serial, chain }),
            is_level: meta.is_level,
            is_whole: meta.is_whole,
            ahead: meta.ahead,
            doubted: meta.doubted,
        }
    }

    /// Ends the feed for all who follow this replica: upstream has none any more.
    pub fn end_feed(&self) {
        self.state.end_feed();
    }

    /// The latest place of an answer that the feed has not come to, and is about to; `None`: there is none.
    pub fn awaited(&self) -> Option<u64> {
        let meta = self.state.meta();
        let reach = meta.log.reach;
        (reach > meta.head.serial && !meta.log.may_be_lost(reach)).then_some(reach)
    }

    /// The order that is followed; 0: none.
    pub fn era(&self) -> u64 {
        self.state.era()
    }

    /// What the texts that a cache stores weigh, and may weigh, as [`weight_of`](super::weight_of) counts them. `None`: it is no
    /// cache, and has no bound.
    pub fn texts(&self) -> Option<(u64, u64)> {
        self.state.texts()
    }

    /// By how many bytes the texts of a cache may become more; 0: they are too many.
    pub fn room(&self) -> u64 {
        self.texts().map_or(u64::MAX, |(texts, bound)| bound.saturating_sub(texts))
    }

    /// Whether this replica was compared with upstream since the order began.
    pub fn is_level(&self) -> bool {
        self.state.is_level()
    }

    /// A place of the digest tree above the buckets.
    pub fn sums(&self, node: Option<u8>) -> View {
        self.digests.view(node)
    }

    /// What upstream was last known to have under a prefix, or of all, after one key and up to another. Blocks for a query.
    pub fn held_leaves(
        &self,
        prefix: Option<Prefix>,
        after: Option<Subject>,
        to: Option<Subject>,
    ) -> Result<Vec<HeldLeaf>, StoreError> {
        let log = self.state.log();
        self.read_bulk(|connection| {
            let mut found = Vec::new();
            each_after(connection, &log, prefix, after, |subject, row| {
                let is_in = to.is_none_or(|to| subject <= to);
                if is_in {
                    found.extend(row.leaf(&subject).map(|leaf| (subject, leaf, row.row != 0)));
                }
                Ok(is_in)
            })?;
            Ok(found)
        })
    }

    /// The leaf of one key. Blocks for a query.
    pub fn leaf_of(&self, subject: &Subject) -> Result<Option<Leaf>, StoreError> {
        let log = self.state.log();
        Ok(self.read(|connection| head::load(connection, &log, subject))?.and_then(|row| row.leaf(subject)))
    }

    /// The leaf by which upstream is asked about one key. `None`: it must say what it has, even if only a digest of that is
    /// known here already. Blocks for a query.
    pub fn leaf_to_ask_by(&self, subject: &Subject) -> Result<Option<Leaf>, StoreError> {
        let log = self.state.log();
        let row = self.read(|connection| head::load(connection, &log, subject))?;
        Ok(row.filter(|row| !row.is_unsure(subject)).and_then(|row| row.leaf(subject)))
    }

    /// Whether something is held of a key that upstream has not ordered.
    #[cfg(test)]
    pub fn is_overlay(&self, subject: &Subject) -> bool {
        let log = self.state.log();
        let row = self.read(|connection| head::load(connection, &log, subject)).expect("readable");
        row.is_some_and(|row| row.is_overlay(subject))
    }

    /// Keys after `after` that upstream has and whose text is not here, the operator's aside. Blocks for a query.
    pub fn textless(&self, after: Option<&Subject>, limit: usize) -> Result<Vec<Subject>, StoreError> {
        self.keys_where(
            "textless",
            "kind <> 2 AND row = 0 AND removed = 0 AND coalesce(length(leaf), length(issuer)) > 0 AND (deleted IS NULL OR iat > deleted)",
            after,
            limit,
        )
    }

    /// Keys after `after` that a request deleted which is not here. Blocks for a query.
    pub fn requestless(&self, after: Option<&Subject>, limit: usize) -> Result<Vec<Subject>, StoreError> {
        self.keys_where(
            "deleted",
            "deleted IS NOT NULL AND deleted_row = 0 AND (issuer = x'' OR iat <= deleted)",
            after,
            limit,
        )
    }

    /// Keys after `after` of which the change that made their state is not here, besides those without a text or a request.
    /// Blocks for a query.
    pub fn lost(&self, after: Option<&Subject>, limit: usize) -> Result<Vec<Subject>, StoreError> {
        self.keys_where("flagged", "flags <> 0 AND flags & 8", after, limit)
    }

    /// Keys after `after` of which upstream may have something else. Blocks for a query.
    pub fn doubted(&self, after: Option<&Subject>, limit: usize) -> Result<Vec<Subject>, StoreError> {
        self.keys_where("flagged", "flags <> 0 AND flags & 6", after, limit)
    }

    /// Accounts after `after` of which something is served that upstream had not ordered when this order began, and whose
    /// comparison did not say what became of that. Blocks for a query.
    pub fn unmentioned(&self, after: Option<&Subject>, limit: usize) -> Result<Vec<Subject>, StoreError> {
        self.keys_where(
            "overlay",
            "kind = 1 AND leaf IS NOT NULL AND row <> 0 AND flags & 7 = 0 AND era < (SELECT era FROM meta)",
            after,
            limit,
        )
    }

    /// Accounts after `after` of which upstream has something older, or nothing. Blocks for a query.
    pub fn ahead(&self, after: Option<&AccountKey>, limit: usize) -> Result<Vec<AccountKey>, StoreError> {
        let after = after.map(|after| Subject::Account(*after));
        let found = self.keys_where("flagged", "flags <> 0 AND flags & 1", after.as_ref(), limit)?;
        let account = |subject| if let Subject::Account(key) = subject { Some(key) } else { None };
        Ok(found.into_iter().filter_map(account).collect())
    }

    /// `index`: the one that has few keys besides. Left to itself, SQLite goes through all heads.
    fn keys_where(
        &self,
        index: &str,
        condition: &str,
        after: Option<&Subject>,
        limit: usize,
    ) -> Result<Vec<Subject>, StoreError> {
        let (kind, raw) = after.map_or((0, &[][..]), |after| (after.kind().code(), &after.raw()[..]));
        self.read_bulk(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT kind, key FROM head INDEXED BY {index} WHERE {condition} AND (kind, key) > (?1, ?2) ORDER BY kind, key LIMIT ?3"
            ))?;
            let mut rows = statement.query(params![kind, raw, limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let kind = SubjectKind::from_code(row.get(0)?);
                found.extend(kind.map(|kind| row.get(1).map(|raw| Subject::from_raw(kind, raw))).transpose()?);
            }
            Ok(found)
        })
    }

    /// The id of this replica upstream. `None`: it has none yet.
    pub fn replica_id(&self) -> Result<Option<FollowerId>, StoreError> {
        self.read(|connection| connection.query_row("SELECT replica FROM meta", [], |row| row.get(0)))
    }

    /// When the primary was last heard, unix milliseconds; 0: never.
    pub fn heard(&self) -> Result<i64, StoreError> {
        self.read(|connection| connection.query_row("SELECT heard FROM meta", [], |row| row.get(0)))
    }

    /// Whether a head points to a text of an activation here. Blocks for a query.
    pub fn has_activation(&self, id: &crate::jwt::HashId) -> Result<bool, StoreError> {
        let found = self.read(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM activation WHERE key = ?1 LIMIT 1")?
                .query_row([id.raw()], |_| Ok(()))
                .optional()
        })?;
        Ok(found.is_some())
    }
}
