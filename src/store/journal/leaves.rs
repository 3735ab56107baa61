//! The leaves of the digest tree, page by page.

use rusqlite::Connection;

use super::super::error::StoreError;
use super::head::{self, Row};
use super::read::JournalReader;
use super::schema::{self, LogPlace};
use crate::feed::digest::{LeafPage, ListedLeaf, Prefix};
use crate::feed::{Subject, SubjectKind};

/// Heads that are read for one page: about 1.8 MB of JSON. Tests have few keys.
pub(super) const HEADS: usize = if cfg!(test) { 3 } else { 20_000 };

impl JournalReader {
    /// A page of the leaves under a prefix, or of all, that come after a key. Blocks for a query.
    ///
    /// The page and its position are from one transaction. The sum of the place may be later, and changes may come between
    /// two pages.
    pub fn leaves(&self, prefix: Option<Prefix>, after: Option<Subject>) -> Result<LeafPage, StoreError> {
        self.read_bulk(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let schema::Meta { head, log, .. } = schema::meta(&transaction)?;
            let (mut leaves, mut next) = (Vec::new(), None);
            let (mut looked, mut last) = (0, None);
            each_after(&transaction, &log, prefix, after, |key, row| {
                // Heads without a leaf count as well, so that they do not make a page take long.
                if looked == HEADS {
                    next = last;
                    return Ok(false);
                }
                looked += 1;
                last = Some(key);
                leaves.extend(row.leaf(&key).map(|leaf| ListedLeaf::of(key, &leaf)));
                Ok(true)
            })?;
            Ok(LeafPage { head, sum: self.digests.sum(prefix).short(), leaves, next })
        })
    }
}

/// Reads the heads under a prefix, or all, that come after a key, in their order, for as long as `take` wants more.
pub(super) fn each_after(
    connection: &Connection,
    log: &LogPlace,
    prefix: Option<Prefix>,
    after: Option<Subject>,
    mut take: impl FnMut(Subject, Row) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let first = prefix.map_or_else(Vec::new, |prefix| prefix.bytes());
    let mut goes_on = true;
    for kind in SubjectKind::ALL {
        let from = match after {
            Some(after) if after.kind() > kind => continue,
            // The smallest value after a key is the key and one more byte.
            Some(after) if after.kind() == kind => [&after.raw()[..], &[0]].concat().max(first.clone()),
            _ => first.clone(),
        };
        head::each_from(connection, log, kind, &from, |key, row| {
            if prefix.is_some_and(|prefix| !prefix.contains(&key)) {
                return Ok(false);
            }
            goes_on = take(key, row)?;
            Ok(goes_on)
        })?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}
