//! The rows of `head`: what the journal remembers of each key.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::marks;
use super::signers::Live;
use crate::feed::digest::Leaf;
use crate::feed::{Subject, SubjectKind};
use crate::gate::{Deletion, Digest, Held, MOST_IN_ONE_SECOND, Version};
use crate::key::{Kind, PublicKey};

/// What [`read`] reads.
const COLUMNS: &str =
    "serial, iat, identity, digest, ties, history, deleted, deleted_serial, issuer, deleted_issuer, marks,
                       removed, exp";

/// A row of `head`.
pub(super) struct Row {
    pub(super) serial: u64,
    pub(super) held: Held,
    pub(super) digest: Digest,
    pub(super) exp: i64,
    pub(super) history: Vec<u8>,
    pub(super) deleted_serial: Option<u64>,
    /// The change by which it left: an account a read-only folder, an activation because it had expired. 0: it has not.
    pub(super) removed: u64,
    /// An earlier version of this program wrote more ties than there may be.
    pub(super) has_surplus: bool,
}

impl Row {
    /// The version that is live, if one is.
    pub(super) fn live(&self) -> Option<Version> {
        self.held.version().filter(|_| self.held.is_live() && self.removed == 0 && self.serial != 0).copied()
    }

    /// What of it is counted.
    pub(super) fn counted(&self) -> Option<Live> {
        self.live().map(|version| Live { issuer: version.issuer, digest: self.digest, exp: self.exp })
    }

    /// The leaf of the key's current state. A head without a change has none: it is only remembered, to reject what is older.
    pub(super) fn leaf(&self, key: &Subject) -> Option<Leaf> {
        if self.made_by() == 0 { None } else { Leaf::standing(key, &self.held, self.removed != 0) }
    }

    /// The change that made the current state; 0: none did.
    pub(super) fn made_by(&self) -> u64 {
        match self.held.deleted() {
            Some(_) if !self.held.is_live() => self.deleted_serial.unwrap_or(0),
            _ if self.removed != 0 => self.removed,
            _ => self.serial,
        }
    }
}

/// Loads the row of one key.
pub(super) fn load(connection: &Connection, subject: &Subject) -> rusqlite::Result<Option<Row>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM head WHERE kind = ?1 AND key = ?2"))?
        .query_row(params![subject.kind(), subject.raw()], |row| read(subject.kind(), row))
        .optional()
}

/// Reads the rows of a kind whose keys are not less than `from`, in the order of keys, for as long as `take` wants more.
pub(super) fn each_from(
    connection: &Connection,
    kind: SubjectKind,
    from: &[u8],
    mut take: impl FnMut(Subject, Row) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS}, key FROM head WHERE kind = ?1 AND key >= ?2 ORDER BY key"))?;
    let mut rows = statement.query(params![kind, from])?;
    while let Some(row) = rows.next()? {
        if !take(Subject::from_raw(kind, row.get(13)?), read(kind, row)?)? {
            break;
        }
    }
    Ok(())
}

fn read(kind: SubjectKind, row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let signer =
        |raw| PublicKey::from_raw(if kind == SubjectKind::Activation { Kind::Account } else { Kind::Operator }, raw);
    let serial: u64 = row.get(0)?;
    // A version may be known by what bars others, without its text.
    let version = if row.get_ref(8)?.as_blob()?.is_empty() {
        None
    } else {
        Some(Version { iat: row.get(1)?, identity: row.get(2)?, issuer: signer(row.get(8)?) })
    };
    let deleted_serial = row.get(7)?;
    let deleted = match (row.get(6)?, row.get(9)?) {
        (Some(iat), Some(issuer)) => Some(Deletion { iat, issuer: signer(issuer) }),
        _ => None,
    };
    let ties = row.get_ref(4)?.as_blob()?.as_chunks::<32>().0.to_vec();
    let marks = marks::read(row.get_ref(10)?.as_blob()?);
    Ok(Row {
        serial,
        has_surplus: ties.len() >= MOST_IN_ONE_SECOND,
        held: Held::restore(version, ties, deleted, marks),
        digest: if serial == 0 { [0; 32] } else { row.get(3)? },
        history: row.get(5)?,
        deleted_serial,
        removed: row.get(11)?,
        exp: row.get(12)?,
    })
}

/// The column `ties`.
pub(super) fn ties(held: &Held) -> Vec<u8> {
    held.ties().iter().flat_map(|tie| tie.identity).collect()
}

/// The column `marks`.
pub(super) fn marks(held: &Held) -> Vec<u8> {
    marks::write(held.marks())
}
