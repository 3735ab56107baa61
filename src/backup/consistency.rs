//! Checks that a journal agrees with itself: each change with its text, and each head with the changes that made it.
//!
//! The chain covers the texts alone. Serving, ordering and counting use the other columns.

use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::restore::named;
use crate::feed::{Operation, SubjectKind};
use crate::gate::{Activation, Digest, Identity, Tombstone};
use crate::jwt::{AccountJwt, Jwt, OperatorJwt};
use crate::key::{AccountKey, PublicKey};
use crate::store::marks;

/// What a change says of its text: its columns, or the text itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// `None` for a delete request, which names its accounts itself.
    pub(super) key: Option<[u8; 32]>,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) identity: Identity,
    pub(super) issuer: Option<[u8; 32]>,
}

/// What the text of a change says. `None`: its signature is wrong, or it is nothing of that kind.
pub(super) fn facts(kind: Option<SubjectKind>, operation: Operation, text: &[u8], digest: &Digest) -> Option<Facts> {
    if operation == Operation::Delete {
        let request = Tombstone::reopen(text.to_vec().into())?;
        let (iat, issuer) = (request.iat(), Some(*request.issuer().raw()));
        return Some(Facts { key: None, iat, exp: 0, identity: *request.identity(), issuer });
    }
    if kind == Some(SubjectKind::Activation) {
        let activation = Activation::reopen(text, digest)?;
        return Some(Facts {
            key: Some(*activation.id().raw()),
            iat: activation.iat(),
            exp: activation.exp(),
            identity: activation.version().identity,
            issuer: Some(*activation.issuer().raw()),
        });
    }
    let text = std::str::from_utf8(text).ok()?;
    if kind == Some(SubjectKind::Operator) {
        let jwt = OperatorJwt::decode(text).ok()?;
        // Whichever of its keys signed it, it is the operator's own.
        let facts = of_claims(&jwt, text)?;
        return Some(Facts { issuer: facts.key, ..facts });
    }
    of_claims(&AccountJwt::decode(text).ok()?, text)
}

fn of_claims<B>(jwt: &Jwt<B>, text: &str) -> Option<Facts> {
    let raw = |key: &str| PublicKey::parse(key).ok().map(|key| *key.raw());
    Some(Facts {
        key: Some(raw(&jwt.claims.sub)?),
        iat: jwt.claims.iat,
        exp: jwt.claims.exp,
        identity: Sha256::digest(jwt.signing_input(text)).into(),
        issuer: raw(&jwt.claims.iss),
    })
}

/// Checks all heads. `Some`: what is wrong with the first that does not agree with its changes.
pub(super) fn heads(connection: &Connection) -> rusqlite::Result<Option<String>> {
    // A head without its JWT was made from a mirror, or knows only of a deletion.
    let account = SubjectKind::Account.code();
    let newest = odd(
        connection,
        &format!(
            "SELECT h.kind, h.key, h.iat, c.iat, h.marks, h.issuer,
                    h.row <> 0 AND c.op IS 112 AND c.kind IS h.kind AND c.key IS h.key AND c.exp IS h.exp
                    AND c.identity IS h.identity AND c.issuer IS h.issuer AND c.digest IS h.digest
                    AND (c.body IS NOT NULL OR h.kind <> {account}) AS agrees
             FROM head h LEFT JOIN change c ON c.id = h.row
             WHERE h.row <> 0 AND (NOT agrees OR c.iat IS NOT h.iat)"
        ),
        "the change that brought its JWT",
    )?;
    if newest.is_some() {
        return Ok(newest);
    }
    let deleted = odd(
        connection,
        "SELECT h.kind, h.key, h.deleted, c.iat, h.marks, h.deleted_issuer,
                c.op IS 100 AND c.kind IS h.kind AND c.issuer IS h.deleted_issuer AS agrees
         FROM head h LEFT JOIN change c ON c.id = h.deleted_row
         WHERE h.deleted_row <> 0 AND (NOT agrees OR c.iat IS NOT h.deleted)",
        "the request that deleted it",
    )?;
    if deleted.is_some() {
        return Ok(deleted);
    }
    let removed = odd(
        connection,
        "SELECT h.kind, h.key, 0, NULL, x'', NULL, 0
         FROM head h LEFT JOIN change c ON c.id = h.removed
         WHERE h.removed <> 0 AND h.removed <> ~0x7fffffffffffffff AND h.issuer <> x'' AND NOT (c.op IS 114 AND c.kind IS h.kind AND c.key IS h.key AND c.identity IS h.identity
                                       AND (c.digest IS h.digest OR h.row = 0))",
        "the change by which it left",
    )?;
    if removed.is_some() {
        return Ok(removed);
    }
    requests(connection)
}

/// The first of the rows that a query suspects, in words. Each has kind and key, the time in the head and in the change, the
/// marks, the issuer, and whether all but the time agrees.
fn odd(connection: &Connection, query: &str, what: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (held, brought): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        // A future time that a withdrawn key signed is cut down to what it reaches. A mark keeps the original time.
        let issuer: Option<Vec<u8>> = row.get(5)?;
        let marks = marks::read(row.get_ref(4)?.as_blob()?);
        let is_cut = held < brought
            && held.is_some()
            && marks.iter().any(|mark| Some(&mark.issuer.raw()[..]) == issuer.as_deref() && Some(mark.iat) >= brought);
        if !row.get::<_, bool>(6)? || !is_cut {
            return Ok(Some(disagrees(&named(SubjectKind::from_code(row.get(0)?), row.get(1)?), what)));
        }
    }
    Ok(None)
}

/// Whether the requests name the accounts that they deleted.
fn requests(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement = connection
        .prepare("SELECT h.key, c.id, c.body FROM head h JOIN change c ON c.id = h.deleted_row ORDER BY c.id")?;
    let mut rows = statement.query([])?;
    let (mut read, mut keys) = (0, std::collections::HashSet::new());
    while let Some(row) = rows.next()? {
        let (key, id): (_, i64) = (AccountKey::from_raw(row.get(0)?), row.get(1)?);
        if read != id {
            read = id;
            let body: Option<Vec<u8>> = row.get(2)?;
            let request = body.and_then(|body| Tombstone::reopen(body.into()));
            keys = request.map(|request| request.keys().iter().copied().collect()).unwrap_or_default();
        }
        if !keys.contains(&key) {
            return Ok(Some(disagrees(&named(Some(SubjectKind::Account), *key.raw()), "the request that deleted it")));
        }
    }
    Ok(None)
}

fn disagrees(of: &str, what: &str) -> String {
    format!("what it says of {of} does not agree with {what}: it was damaged or edited")
}
