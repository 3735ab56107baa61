//! The heads of one place of the digest tree.

use rusqlite::Connection;

use super::head::{self, Row};
use crate::feed::digest::Prefix;
use crate::feed::{Subject, SubjectKind};

/// Reads the heads under a prefix, or all, that come after a key, in their order, for as long as `take` wants more.
pub(super) fn each_after(
    connection: &Connection,
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
        head::each_from(connection, kind, &from, |key, row| {
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
