//! Accounts in the order of their keys, whatever their state: for people and tools that look through what is stored.
//!
//! A piece reads a bounded number of heads in a bounded time, however few of them are wanted. So a list of a million accounts
//! never holds up anybody, and its memory does not depend on how many there are.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::error::StoreError;
use super::read::JournalReader;
use crate::feed::SubjectKind;
use crate::gate::{Entry, Record, Via};
use crate::key::{AccountKey, Kind, PublicKey};

/// Heads that a piece reads at most.
const HEADS: usize = 20_000;
/// For how long a piece is read, about.
const TIME: Duration = Duration::from_millis(15);
/// Heads that a piece reads however long that takes: few accounts are in one piece on a busy machine, too.
const LEAST: usize = 500;

/// What became of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadState {
    /// It has a JWT, which may be expired or withheld.
    Live,
    /// A delete request of this `iat` deleted it, unix seconds.
    Deleted(i64),
    /// Its file left a read-only folder.
    Removed,
}

/// What is known of an account, its text aside.
#[derive(Debug, Clone)]
pub struct AccountHead {
    /// The account.
    pub key: AccountKey,
    /// What became of it.
    pub state: HeadState,
    /// The facts of its newest JWT, without the text. `None`: it never had one here.
    pub version: Option<HeadVersion>,
    /// The change that made the state. `None`: it is not here.
    pub change: Option<HeadChange>,
    /// The change with the text of the JWT; 0: it is not here.
    row: i64,
}

/// The facts of an account's newest JWT.
#[derive(Debug, Clone)]
pub struct HeadVersion {
    /// The operator key that signed it.
    pub issuer: PublicKey,
    /// Issue time, unix seconds.
    pub iat: i64,
    /// Expiry, unix seconds; 0 is never.
    pub exp: i64,
    identity: [u8; 32],
    digest: [u8; 32],
}

/// When and how an account came to its state.
#[derive(Debug, Clone, Copy)]
pub struct HeadChange {
    /// Its place in the order of changes; 0: unknown.
    pub serial: u64,
    /// When it was committed here, unix milliseconds.
    pub at: i64,
    /// The path on which it came.
    pub via: Via,
}

impl HeadChange {
    /// Reads the columns serial, at and via, of which the first one is this.
    pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let via = Via::from_label(row.get_ref(first + 2)?.as_str()?).unwrap_or(Via::Post);
        Ok(Self { serial: row.get(first)?, at: row.get(first + 1)?, via })
    }
}

/// Reads the texts of the accounts of a piece.
#[derive(Debug)]
pub struct HeadTexts<'c>(&'c Connection);

impl HeadTexts<'_> {
    /// The newest JWT of an account, also of one that was deleted. `None`: it is not here, or damaged.
    pub fn read(&self, head: &AccountHead) -> rusqlite::Result<Option<Entry>> {
        let Some(version) = head.version.as_ref().filter(|_| head.row != 0) else { return Ok(None) };
        let body = self
            .0
            .prepare_cached("SELECT body FROM change WHERE id = ?1")?
            .query_row([head.row], |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()?
            .flatten();
        let HeadVersion { issuer, iat, exp, identity, digest } = *version;
        let record = |token: Vec<u8>| Record { key: head.key, token: token.into(), digest, identity, issuer, iat, exp };
        Ok(body.and_then(|token| Entry::reopen(record(token)).ok()))
    }
}

/// Reads a head with the change that made its state.
const HEAD: &str = "
    SELECT h.key, h.row, h.iat, h.exp, h.identity, h.issuer, h.digest, h.removed, h.deleted,
           h.deleted IS NOT NULL AND (h.issuer = x'' OR h.iat <= h.deleted) AS is_deleted, c.serial, c.at, c.via
    FROM head h LEFT JOIN change c ON c.id = CASE
        WHEN h.deleted IS NOT NULL AND (h.issuer = x'' OR h.iat <= h.deleted) THEN h.deleted_row
        WHEN h.removed <> 0 THEN h.removed ELSE h.row END
    WHERE h.kind = ?1 AND h.key";

impl JournalReader {
    /// Gives the accounts after `after` to `take`, in the order of their keys, for as long as it wants more and the piece has
    /// room. Returns the account after which the next piece begins; `None`: there are no more. `only`: no other account than
    /// this. Blocks for a query.
    pub fn each_account(
        &self,
        after: Option<&AccountKey>,
        only: Option<&AccountKey>,
        mut take: impl FnMut(AccountHead, &HeadTexts<'_>) -> rusqlite::Result<ControlFlow<()>>,
    ) -> Result<Option<AccountKey>, StoreError> {
        let Some(first) = after.map_or(Some([0; 32]), |after| next(*after.raw())) else { return Ok(None) };
        let (first, last) = only.map_or((first, [0xff; 32]), |only| (first.max(*only.raw()), *only.raw()));
        self.read_bulk(|connection| {
            let begun = Instant::now();
            let mut statement = connection.prepare_cached(&format!("{HEAD} BETWEEN ?2 AND ?3 ORDER BY h.key"))?;
            let mut rows = statement.query(params![SubjectKind::Account, first, last])?;
            let mut looked = 0;
            while let Some(row) = rows.next()? {
                looked += 1;
                let key = AccountKey::from_raw(row.get(0)?);
                let is_full = looked == HEADS || (looked >= LEAST && begun.elapsed() >= TIME);
                let taken = match account_head(row)? {
                    Some(head) => take(head, &HeadTexts(connection))?,
                    None => ControlFlow::Continue(()),
                };
                if is_full || taken.is_break() {
                    return Ok(Some(key));
                }
            }
            Ok(None)
        })
    }

    /// What is known of one account, and its newest JWT. `None`: nothing. Blocks for a query.
    pub fn account_head(&self, key: &AccountKey) -> Result<Option<(AccountHead, Option<Entry>)>, StoreError> {
        self.read(|connection| {
            let head = connection
                .prepare_cached(&format!("{HEAD} = ?2"))?
                .query_row(params![SubjectKind::Account, key.raw()], account_head)
                .optional()?
                .flatten();
            head.map(|head| HeadTexts(connection).read(&head).map(|entry| (head, entry))).transpose()
        })
    }

    /// How many accounts have a JWT that expires after `from` and before `to`, unix seconds, up to a bound. Blocks for a query.
    pub fn count_expiring(&self, from: i64, to: i64, most: usize) -> Result<usize, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM (SELECT 1 FROM live WHERE exp > 0 AND exp >= ?1 AND exp < ?2 LIMIT ?3)",
                )?
                .query_row(params![from, to, most], |row| row.get(0))
        })
    }
}

/// The key after a key. `None`: there is none.
fn next(mut key: [u8; 32]) -> Option<[u8; 32]> {
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(key);
        }
    }
    None
}

/// `None`: of a JWT that it once had, only what rejects older ones is remembered.
fn account_head(row: &Row<'_>) -> rusqlite::Result<Option<AccountHead>> {
    let (text, is_removed, is_deleted): (i64, bool, bool) = (row.get(1)?, row.get::<_, i64>(7)? != 0, row.get(9)?);
    let state = match (is_deleted, is_removed) {
        (true, _) => HeadState::Deleted(row.get(8)?),
        (false, true) => HeadState::Removed,
        (false, false) if text != 0 => HeadState::Live,
        (false, false) => return Ok(None),
    };
    let version = match row.get_ref(5)?.as_blob()?.try_into() {
        Ok(issuer) => Some(HeadVersion {
            issuer: PublicKey::from_raw(Kind::Operator, issuer),
            iat: row.get(2)?,
            exp: row.get(3)?,
            identity: row.get(4)?,
            digest: row.get(6)?,
        }),
        // It never had one.
        Err(_) => None,
    };
    let change = match row.get_ref(10)? {
        ValueRef::Null => None,
        _ => Some(HeadChange::read(row, 10)?),
    };
    Ok(Some(AccountHead { key: AccountKey::from_raw(row.get(0)?), state, version, change, row: text }))
}

#[cfg(test)]
mod tests {
    use super::super::{Role, open};
    use super::*;

    #[test]
    fn a_piece_reads_the_heads_of_its_range_and_sorts_nothing() {
        let connection = open::open_temporary(Role::Primary).expect("opens");
        let plan: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {HEAD} BETWEEN ?2 AND ?3 ORDER BY h.key"))
            .and_then(|mut plan| plan.query_map(params![1, [0_u8; 32], [0_u8; 32]], |row| row.get(3))?.collect())
            .expect("a plan");
        let expected =
            ["SEARCH h USING PRIMARY KEY (kind=? AND key>? AND key<?)", "SEARCH c USING INTEGER PRIMARY KEY (rowid=?)"];
        assert!(
            plan.len() == 2 && plan.iter().zip(expected).all(|(step, wanted)| step.starts_with(wanted)),
            "{plan:?}"
        );
    }

    #[test]
    fn each_key_has_a_next_one_but_the_last() {
        let ending = |bytes: [u8; 3]| {
            let mut key = [7; 32];
            key[29..].copy_from_slice(&bytes);
            key
        };
        assert_eq!(next(ending([0, 0, 0])), Some(ending([0, 0, 1])));
        assert_eq!(next(ending([1, 0xff, 0xff])), Some(ending([2, 0, 0])));
        assert_eq!(next([0xff; 32]), None);
    }
}
