//! The rows of `proof`.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::row::{RowRead, RowSum, slice};
use crate::gate::{Identity, Position};

/// What a mirror keeps besides the accounts' JWTs. It is no subject of a change: a delete request has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProofKind {
    /// A delete request, by the SHA-256 of its signing input.
    Delete,
    /// An activation, by its hash.
    Activation,
}

impl ProofKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Activation => "activation",
        }
    }
}

/// A delete request or an activation, as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// SHA-256 of the signing input.
    pub identity: Identity,
    /// The text.
    pub body: Bytes,
    /// Where its primary committed it, if that is known.
    pub at: Option<Position>,
}

/// The columns of `proof`, in the order of [`read_proof`].
pub(super) const PROOF: &str = "key, identity, body, session, serial, sum";

fn sum_of_proof(kind: ProofKind, key: &[u8; 32], proof: &Proof) -> [u8; 8] {
    RowSum::default()
        .field(kind.name().as_bytes())
        .field(key)
        .field(&proof.identity)
        .field(&proof.body)
        .optional(slice(proof.at.as_ref().map(|at| &at.session)))
        .number(proof.at.map(|at| at.serial.cast_signed()))
        .finish()
}

pub(super) fn read_proof(kind: ProofKind, row: &Row) -> rusqlite::Result<RowRead<([u8; 32], Proof)>> {
    let proof = || -> rusqlite::Result<([u8; 32], Proof, [u8; 8])> {
        let body: Vec<u8> = row.get(2)?;
        let (session, serial): (Option<[u8; 16]>, Option<u64>) = (row.get(3)?, row.get(4)?);
        let at = session.zip(serial).map(|(session, serial)| Position { session, serial });
        Ok((row.get(0)?, Proof { identity: row.get(1)?, body: body.into(), at }, row.get(5)?))
    };
    Ok(match proof() {
        Ok((key, proof, sum)) if sum_of_proof(kind, &key, &proof) == sum => RowRead::Sound((key, proof)),
        _ => RowRead::Damaged,
    })
}

/// Reads the proofs of a kind from a key on, in their order, for as long as `each` wants more.
pub(super) fn each_proof(
    connection: &Connection,
    kind: ProofKind,
    from: &[u8],
    mut each: impl FnMut(RowRead<([u8; 32], Proof)>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {PROOF} FROM proof WHERE kind = ?1 AND key >= ?2 ORDER BY key"))?;
    let mut rows = statement.query(params![kind.name(), from])?;
    while let Some(row) = rows.next()? {
        if !each(read_proof(kind, row)?)? {
            break;
        }
    }
    Ok(())
}

pub(super) fn load_proof(
    connection: &Connection,
    kind: ProofKind,
    key: &[u8; 32],
) -> rusqlite::Result<Option<RowRead<Proof>>> {
    connection
        .prepare_cached(&format!("SELECT {PROOF} FROM proof WHERE kind = ?1 AND key = ?2"))?
        .query_row(params![kind.name(), key], |row| {
            Ok(match read_proof(kind, row)? {
                RowRead::Sound((found, proof)) if found == *key => RowRead::Sound(proof),
                _ => RowRead::Damaged,
            })
        })
        .optional()
}

pub(super) fn save_proof(
    connection: &Connection,
    kind: ProofKind,
    key: &[u8; 32],
    proof: &Proof,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO proof (kind, key, identity, body, session, serial, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            kind.name(),
            key,
            proof.identity,
            &proof.body[..],
            proof.at.map(|at| at.session),
            proof.at.map(|at| at.serial),
            sum_of_proof(kind, key, proof),
        ])
        .map(drop)
}

pub(super) fn drop_proof(connection: &Connection, kind: ProofKind, key: &[u8; 32]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM proof WHERE kind = ?1 AND key = ?2")?
        .execute(params![kind.name(), key])
        .map(drop)
}
