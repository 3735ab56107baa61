//! The rows of `head`: what the journal remembers of each key.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::marks;
use super::schema::KIND_ACTIVATION;
use super::signers::Live;
use crate::gate::{Deletion, Digest, Held, Tombstone, Version};
use crate::key::{Kind, PublicKey};

/// A row of `head`.
pub(super) struct Row {
    pub(super) serial: u64,
    pub(super) held: Held,
    pub(super) digest: Digest,
    pub(super) exp: i64,
    pub(super) history: Vec<u8>,
    pub(super) deleted_serial: Option<u64>,
    pub(super) removed: bool,
}

impl Row {
    /// The version that is live, if one is.
    pub(super) fn live(&self) -> Option<Version> {
        self.held.version().filter(|_| self.held.is_live() && !self.removed).copied()
    }

    /// What of it is counted.
    pub(super) fn counted(&self) -> Option<Live> {
        self.live().map(|version| Live { issuer: version.issuer, digest: self.digest, exp: self.exp })
    }
}

/// Loads the row of one key.
pub(super) fn load(connection: &Connection, kind: i64, key: &[u8; 32]) -> rusqlite::Result<Option<Row>> {
    let signer = |raw| PublicKey::from_raw(if kind == KIND_ACTIVATION { Kind::Account } else { Kind::Operator }, raw);
    connection
        .prepare_cached(
            "SELECT serial, iat, identity, digest, ties, history, deleted, deleted_serial, issuer, deleted_issuer, marks,
                    removed, exp
             FROM head WHERE kind = ?1 AND key = ?2",
        )?
        .query_row(params![kind, key], |row| {
            let serial: u64 = row.get(0)?;
            let version = if serial == 0 {
                None
            } else {
                Some(Version { iat: row.get(1)?, identity: row.get(2)?, issuer: signer(row.get(8)?) })
            };
            let deleted_serial = row.get(7)?;
            let deleted = match row.get(6)? {
                None => None,
                Some(iat) => {
                    let issuer = match row.get(9)? {
                        Some(issuer) => signer(issuer),
                        None => signer_of_request(connection, deleted_serial)?,
                    };
                    Some(Deletion { iat, issuer })
                }
            };
            let ties = row.get_ref(4)?.as_blob()?.as_chunks::<32>().0.to_vec();
            let marks = marks::read(row.get_ref(10)?.as_blob()?);
            Ok(Row {
                serial,
                held: Held::restore(version, ties, deleted, marks),
                digest: if serial == 0 { [0; 32] } else { row.get(3)? },
                history: row.get(5)?,
                deleted_serial,
                removed: row.get(11)?,
                exp: row.get(12)?,
            })
        })
        .optional()
}

/// The column `ties`.
pub(super) fn ties(held: &Held) -> Vec<u8> {
    held.ties().iter().flat_map(|tie| tie.identity).collect()
}

/// The column `marks`.
pub(super) fn marks(held: &Held) -> Vec<u8> {
    marks::write(held.marks())
}

const fn operator_key(raw: [u8; 32]) -> PublicKey {
    PublicKey::from_raw(Kind::Operator, raw)
}

/// Format 1 did not write down who signed a delete request: the request itself says it. One that cannot be read any more
/// still deletes, as if by a key that nobody knows.
fn signer_of_request(connection: &Connection, serial: Option<u64>) -> rusqlite::Result<PublicKey> {
    let body: Option<Vec<u8>> = connection
        .prepare_cached("SELECT body FROM change WHERE serial = ?1")?
        .query_row([serial], |row| row.get(0))
        .optional()?;
    let request = body.and_then(|body| Tombstone::reopen(body.into()));
    Ok(request.map_or(operator_key([0; 32]), |request| *request.issuer()))
}
