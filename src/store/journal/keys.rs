//! Which keys exist, without what they hold.

use rusqlite::params;

use super::super::error::StoreError;
use super::read::JournalReader;
use crate::feed::{Subject, SubjectKind};
use crate::key::AccountKey;

/// Some of the keys that exist, in the order of kinds and keys.
#[derive(Debug)]
pub struct KeyPiece {
    /// They.
    pub keys: Vec<Subject>,
    /// The key after which the next piece begins; `None`: this was the last one.
    pub next: Option<Subject>,
}

impl JournalReader {
    /// The keys after `after` of accounts that have a JWT, be it withheld or expired, and then of activations: `limit` at
    /// most. Blocks for a query.
    ///
    /// Pieces are read one after another. What is there from before the first until after the last one is in one of them.
    pub fn keys(&self, after: Option<&Subject>, limit: usize) -> Result<KeyPiece, StoreError> {
        let begun = after.filter(|after| after.kind() == SubjectKind::Activation);
        let accounts = match begun {
            Some(_) => Vec::new(),
            None => {
                let query = "SELECT key FROM live WHERE key > ?1 ORDER BY key LIMIT ?2";
                self.raw_keys(query, SubjectKind::Account, after, limit)?
            }
        };
        if accounts.len() >= limit {
            return Ok(KeyPiece { next: accounts.last().copied(), keys: accounts });
        }
        let query = "SELECT DISTINCT key FROM activation WHERE key > ?1 ORDER BY key LIMIT ?2";
        let activations = self.raw_keys(query, SubjectKind::Activation, begun, limit - accounts.len())?;
        let keys = [accounts, activations].concat();
        Ok(KeyPiece { next: keys.last().copied().filter(|_| keys.len() >= limit), keys })
    }

    /// Live accounts in the order of their keys, after `after`, at most `limit`. Blocks for a query.
    pub fn live_keys(&self, after: Option<&AccountKey>, limit: usize) -> Result<Vec<AccountKey>, StoreError> {
        self.read_bulk(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT key FROM live WHERE key > ?1 ORDER BY key LIMIT ?2")?;
            let after: &[u8] = after.map_or(&[], |key| key.raw());
            let keys = statement.query_map(params![after, limit], |row| row.get::<_, [u8; 32]>(0))?;
            keys.map(|key| key.map(AccountKey::from_raw)).collect()
        })
    }

    fn raw_keys(
        &self,
        query: &str,
        kind: SubjectKind,
        after: Option<&Subject>,
        limit: usize,
    ) -> Result<Vec<Subject>, StoreError> {
        let after = after.map_or(&[][..], |after| after.raw());
        self.read(|connection| {
            let mut statement = connection.prepare_cached(query)?;
            let rows = statement.query_map(params![after, limit], |row| Ok(Subject::from_raw(kind, row.get(0)?)))?;
            rows.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Role, open};

    #[test]
    fn no_piece_reads_what_is_in_another_one() {
        let connection = open::open_temporary(Role::Primary).expect("opens");
        for (query, plan) in [
            ("SELECT key FROM live WHERE key > x'00' ORDER BY key LIMIT 10", "USING PRIMARY KEY (kind=? AND key>?)"),
            (
                "SELECT DISTINCT key FROM activation WHERE key > x'00' ORDER BY key LIMIT 10",
                "USING COVERING INDEX activation_key (key>?)",
            ),
        ] {
            let query = format!("EXPLAIN QUERY PLAN {query}");
            let found: String = connection.query_row(&query, [], |row| row.get(3)).expect("a plan");
            assert!(found.contains(plan), "{found}");
        }
    }
}
