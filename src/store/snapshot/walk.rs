//! Reads what was seen and what is kept, in the order of keys.

use rusqlite::Connection;

use super::row::{self, RowRead};
use super::{Proof, ProofId, ProofKind, Seen, Snapshot, proof, schema};
use crate::feed::digest::Prefix;
use crate::key::AccountKey;

/// A view of a snapshot as of one moment. Later writes do not change it.
#[derive(Debug)]
pub struct Walk {
    connection: Connection,
}

impl Walk {
    /// Calls `each` with everything that was seen and is sound. Returns how many rows are damaged.
    pub fn seen(&self, each: impl FnMut(AccountKey, Seen)) -> rusqlite::Result<u64> {
        seen(&self.connection, None, each)
    }

    /// Calls `each` with every proof of a kind that is sound. Returns how many rows are damaged.
    pub fn proofs(&self, kind: ProofKind, each: impl FnMut(ProofId, Proof)) -> rusqlite::Result<u64> {
        proofs(&self.connection, kind, None, each)
    }
}

impl Snapshot {
    /// A view of it as it is now. `None`: there is nothing in it, or it cannot be read.
    pub fn walk(&self) -> Option<Walk> {
        let path = self.path.as_ref()?;
        let begin = || {
            let connection = schema::open_reader(path)?;
            // A transaction sees what there is when it first reads.
            connection.execute_batch("BEGIN; SELECT count(*) FROM meta;")?;
            Ok(Walk { connection })
        };
        begin().map_err(|error| self.note(&error)).ok()
    }

    /// What was seen under a prefix. Blocks for a query.
    pub fn seen_under(&self, prefix: Prefix) -> Vec<(AccountKey, Seen)> {
        let mut found = Vec::new();
        self.read(|connection| seen(connection, Some(prefix), |key, seen| found.push((key, seen))).map(Some));
        found
    }

    /// The proofs of a kind under a prefix. Blocks for a query.
    pub fn proofs_under(&self, kind: ProofKind, prefix: Prefix) -> Vec<(ProofId, Proof)> {
        let mut found = Vec::new();
        self.read(|connection| proofs(connection, kind, Some(prefix), |id, proof| found.push((id, proof))).map(Some));
        found
    }

    /// The accounts that are newer here than at the primary.
    pub fn ahead(&self) -> Vec<AccountKey> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT key FROM seen WHERE ahead = 1 ORDER BY key")?;
            let keys = statement.query_map([], |row| row.get(0).map(AccountKey::from_raw))?;
            keys.collect::<Result<_, _>>().map(Some)
        })
        .unwrap_or_default()
    }
}

fn is_under(prefix: Option<Prefix>, raw: &[u8; 32]) -> bool {
    prefix.is_none_or(|prefix| raw.starts_with(&prefix.bytes()))
}

fn seen(
    connection: &Connection,
    prefix: Option<Prefix>,
    mut each: impl FnMut(AccountKey, Seen),
) -> rusqlite::Result<u64> {
    let from = prefix.map_or_else(Vec::new, |prefix| prefix.bytes());
    let mut damaged = 0;
    row::each_seen(connection, &from, |read| {
        let RowRead::Sound((key, seen)) = read else {
            damaged += 1;
            return Ok(true);
        };
        let goes_on = is_under(prefix, key.raw());
        if goes_on {
            each(key, seen);
        }
        Ok(goes_on)
    })?;
    Ok(damaged)
}

fn proofs(
    connection: &Connection,
    kind: ProofKind,
    prefix: Option<Prefix>,
    mut each: impl FnMut(ProofId, Proof),
) -> rusqlite::Result<u64> {
    let from = prefix.map_or_else(Vec::new, |prefix| prefix.bytes());
    let mut damaged = 0;
    proof::each_proof(connection, kind, &from, |read| {
        let RowRead::Sound((key, proof)) = read else {
            damaged += 1;
            return Ok(true);
        };
        let goes_on = is_under(prefix, &key);
        if goes_on {
            each((kind, key), proof);
        }
        Ok(goes_on)
    })?;
    Ok(damaged)
}
