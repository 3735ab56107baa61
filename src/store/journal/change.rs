//! The rows of `change`, read back.

use std::sync::Arc;

use rusqlite::Row;

use crate::clock;
use crate::feed::{Chain, Change, Content, Operation, SubjectKind};
use crate::gate::{Activation, Entry, Identity, OperatorChain, Origin, Record, Tombstone, Trust, Via};
use crate::jwt::HashId;
use crate::key::{AccountKey, Kind, PublicKey};

/// What [`RawChange::read`] reads.
pub(super) const CHANGE: &str =
    "key, iat, exp, identity, issuer, digest, body, serial, at, op, chain, via, kind, links, id";

/// Stands for a version that is not known here.
pub(super) const NO_IDENTITY: Identity = [0; 32];

/// A change as the database has it.
pub(super) struct RawChange {
    pub(super) id: i64,
    serial: u64,
    at: i64,
    chain: Chain,
    via: Via,
    body: RawBody,
}

enum RawBody {
    Passed(Vec<u8>),
    Put(Record),
    Superseded { key: [u8; 32], digest: [u8; 32] },
    Removed { key: [u8; 32], digest: [u8; 32], identity: [u8; 32] },
    Delete(Vec<u8>),
    Operator { jwt: String, links: Option<String> },
    Activation { key: [u8; 32], digest: [u8; 32], token: Option<Vec<u8>> },
    Forgotten { key: [u8; 32], digest: [u8; 32] },
}

impl RawChange {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let op: u8 = row.get(9)?;
        let kind = SubjectKind::from_code(row.get(12)?);
        let body = if kind.is_none() {
            RawBody::Passed(row.get(6)?)
        } else if kind == Some(SubjectKind::Operator) {
            let jwt = String::from_utf8_lossy(row.get_ref(6)?.as_blob()?).into_owned();
            RawBody::Operator { jwt, links: row.get(13)? }
        } else if kind == Some(SubjectKind::Activation) && op == Operation::Remove.tag() {
            RawBody::Forgotten { key: row.get(0)?, digest: row.get(5)? }
        } else if kind == Some(SubjectKind::Activation) {
            RawBody::Activation { key: row.get(0)?, digest: row.get(5)?, token: row.get(6)? }
        } else if op == Operation::Delete.tag() {
            RawBody::Delete(row.get(6)?)
        } else if op == Operation::Remove.tag() {
            RawBody::Removed { key: row.get(0)?, digest: row.get(5)?, identity: row.get(3)? }
        } else if row.get_ref(6)? == rusqlite::types::ValueRef::Null {
            RawBody::Superseded { key: row.get(0)?, digest: row.get(5)? }
        } else {
            RawBody::Put(record(row)?)
        };
        // A path of a later version is as good as a push.
        let via = Via::from_label(row.get_ref(11)?.as_str()?).unwrap_or(Via::Post);
        // Outside the order there is no chain value.
        let chain = <[u8; 32]>::try_from(row.get_ref(10)?.as_blob()?).map(Chain).unwrap_or_default();
        Ok(Self { id: row.get(14)?, serial: row.get(7)?, at: row.get(8)?, chain, via, body })
    }

    pub(super) fn body_len(&self) -> usize {
        match &self.body {
            RawBody::Put(record) => record.token.len(),
            RawBody::Delete(request) | RawBody::Passed(request) => request.len(),
            RawBody::Superseded { .. } | RawBody::Removed { .. } | RawBody::Forgotten { .. } => 64,
            RawBody::Operator { jwt, links } => jwt.len() + links.as_ref().map_or(0, String::len),
            RawBody::Activation { token, .. } => token.as_ref().map_or(64, Vec::len),
        }
    }

    pub(super) fn open(self) -> Option<Change> {
        let content = match self.body {
            RawBody::Put(record) => {
                let (key, digest) = (record.key, record.digest);
                match Entry::reopen(record) {
                    Ok(entry) => Content::Put(Arc::new(entry)),
                    // One damaged body must not end the feed: followers ask for it when they want it.
                    Err(damaged) => {
                        tracing::error!("change {}: {damaged}", self.serial);
                        Content::Superseded { key, digest }
                    }
                }
            }
            RawBody::Passed(item) => Content::Passed(Arc::new(serde_json::from_slice(&item).ok()?)),
            RawBody::Superseded { key, digest } => Content::Superseded { key: AccountKey::from_raw(key), digest },
            RawBody::Removed { key, digest, identity } => Content::Removed {
                key: AccountKey::from_raw(key),
                digest,
                identity: Some(identity).filter(|identity| *identity != NO_IDENTITY),
            },
            RawBody::Delete(request) => Content::Delete(Arc::new(Tombstone::reopen(request.into())?)),
            RawBody::Activation { key, digest, token } => {
                match token.and_then(|token| Activation::reopen(&token, &digest)) {
                    Some(activation) => Content::Activation(Arc::new(activation)),
                    None => Content::PastActivation { id: HashId::from_raw(key), digest },
                }
            }
            RawBody::Forgotten { key, digest } => Content::Forgotten { id: HashId::from_raw(key), digest },
            RawBody::Operator { jwt, links } => {
                let read = |jwt: &str| Trust::from_operator_jwt(jwt, clock::unix_seconds()).ok().map(Arc::new);
                let links = links.iter().flat_map(|links| links.lines()).chain([&*jwt]);
                // What a follower makes of it does not depend on how the anchor came to be trusted here.
                let chain =
                    OperatorChain::restore(Origin::Configured, links.map(read).collect::<Option<_>>()?, Vec::new())?;
                Content::Operator(Arc::new(chain))
            }
        };
        Some(Change { serial: self.serial, chain: self.chain, at: self.at, via: self.via, actor: None, content })
    }
}

/// The first seven columns of a query: key, iat, exp, identity, issuer, digest, body.
pub(crate) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        key: AccountKey::from_raw(row.get(0)?),
        iat: row.get(1)?,
        exp: row.get(2)?,
        identity: row.get(3)?,
        issuer: PublicKey::from_raw(Kind::Operator, row.get(4)?),
        digest: row.get(5)?,
        token: row.get::<_, Vec<u8>>(6)?.into(),
    })
}
