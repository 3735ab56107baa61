//! The operator's JWT in the journal: a change like any other, which says which keys count for those after it.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::super::error::StoreError;
use super::super::operator;
use super::head;
use super::read::JournalReader;
use super::schema;
use super::transaction::{Record, Transaction};
use super::write::{CommitError, OperatorWrite, Outcome};
use crate::feed::digest::{Leaf, LeafState, Toggle};
use crate::feed::{Content, Subject, SubjectKind};
use crate::gate::operator::{Way, admit};
use crate::gate::{Digest, OperatorChain, Trust, Via};
use crate::key::{Kind, PublicKey};

/// The chain in a journal of any format.
pub(super) fn chain(connection: &Connection) -> rusqlite::Result<Option<OperatorChain>> {
    if operator::is_kept(connection)? {
        return operator::load(connection);
    }
    let read = |(jwt, _, _): (String, i64, Vec<u8>)| Trust::from_operator_jwt(&jwt, crate::clock::unix_seconds()).ok();
    Ok(schema::newest_operator(connection)?.and_then(read).map(|trust| OperatorChain::begin(Arc::new(trust))))
}

impl Transaction<'_> {
    pub(super) fn operator(
        &mut self,
        write: &OperatorWrite,
        at: i64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        match write {
            OperatorWrite::Set(chain) => self.set_operator(chain, Via::Configured, at).map(Ok),
            OperatorWrite::Offer(trust, arrival) => {
                let via = if arrival.way == Way::Post { Via::Post } else { Via::EditedFile };
                let next = match self.standing.chain().map(|chain| admit(chain, trust, arrival)) {
                    Some(Ok(next)) => next,
                    Some(Err(refusal)) => return Ok(Err(CommitError::Refused(refusal.into()))),
                    None => Some(OperatorChain::begin(trust.clone())),
                };
                match next {
                    Some(chain) => self.set_operator(&Arc::new(chain), via, at).map(Ok),
                    None => {
                        let row = head::load(self.connection, &Subject::Operator(*trust.identity()))?;
                        Ok(Ok(Outcome::Same { serial: row.map_or(0, |row| row.serial) }))
                    }
                }
            }
        }
    }

    /// Another chain is in force from here on.
    pub(super) fn set_operator(&mut self, chain: &Arc<OperatorChain>, via: Via, at: i64) -> rusqlite::Result<Outcome> {
        let trust = chain.in_force().clone();
        let digest: Digest = Sha256::digest(trust.token()).into();
        let place = Subject::Operator(*trust.identity());
        // One operator per server: what another one left goes.
        let mut toggles = Vec::new();
        head::each_from(self.connection, SubjectKind::Operator, &[], |key, row| {
            toggles.push(Toggle::between(&key, row.leaf(&key), None));
            Ok(true)
        })?;
        toggles.push(Toggle::between(&place, None, Some(Leaf::of(&place, &LeafState::Held(*trust.version())))));
        let serial = self.append(
            Content::Operator(chain.clone()),
            Record {
                kind: SubjectKind::Operator,
                via,
                at,
                key: Some(trust.identity().raw()),
                toggles: &toggles,
                iat: trust.iat(),
                exp: trust.exp(),
                identity: trust.version(),
                issuer: Some(trust.identity().raw()),
                digest: &digest,
                body: Some(trust.token()),
            },
        )?;
        if chain.len() > 1 {
            let before: Vec<_> = chain.links().take(chain.len() - 1).map(|link| link.text()).collect();
            self.connection
                .prepare_cached("UPDATE change SET links = ?2 WHERE serial = ?1")?
                .execute(params![serial, before.join("\n")])?;
        }
        self.connection.prepare_cached("DELETE FROM head WHERE kind = ?1")?.execute([SubjectKind::Operator])?;
        self.connection
            .prepare_cached(
                "INSERT INTO head (kind, key, serial, iat, exp, identity, issuer, digest, ties, history)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2, ?7, x'', x'')",
            )?
            .execute(params![
                SubjectKind::Operator,
                trust.identity().raw(),
                serial,
                trust.iat(),
                trust.exp(),
                trust.version(),
                digest,
            ])?;
        operator::save(self.connection, chain)?;
        self.stand(chain)?;
        Ok(Outcome::Changed { serial })
    }

    /// From here on the keys of this chain count.
    fn stand(&mut self, chain: &Arc<OperatorChain>) -> rusqlite::Result<()> {
        // At a start it was in force before it was committed.
        if !self.standing.chain().is_some_and(|current| Arc::ptr_eq(current, chain)) {
            self.standing = Arc::new(self.standing.after(chain.clone()));
        }
        self.connection.prepare_cached("DELETE FROM withdrawn")?.execute([])?;
        let mut statement = self.connection.prepare_cached("INSERT INTO withdrawn (issuer, at) VALUES (?1, ?2)")?;
        for (key, at) in self.standing.withdrawn() {
            statement.execute(params![key.raw(), at])?;
        }
        Ok(())
    }
}

impl JournalReader {
    /// The operator JWTs in force, as they were committed.
    pub fn operator(&self) -> Result<Option<OperatorChain>, StoreError> {
        self.read(chain)
    }

    /// The operator keys that were withdrawn, each with the `iat` of the operator JWT that left it out.
    pub fn withdrawn(&self) -> Result<HashMap<PublicKey, i64>, StoreError> {
        self.read(|connection| {
            connection
                .prepare("SELECT issuer, at FROM withdrawn")?
                .query_map([], |row| Ok((PublicKey::from_raw(Kind::Operator, row.get(0)?), row.get(1)?)))?
                .collect()
        })
    }
}
