//! The operator's JWT in the journal: a change like any other, which says which keys count for those after it.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::super::error::StoreError;
use super::super::operator;
use super::head::{self, Row, leaf_of};
use super::read::JournalReader;
use super::transaction::{Record, Transaction};
use super::write::{CommitError, OperatorWrite, Outcome};
use crate::feed::digest::Toggle;
use crate::feed::{Content, Subject, SubjectKind};
use crate::gate::operator::admit;
use crate::gate::{Digest, Held, OperatorChain, Version, Via};
use crate::key::{Kind, PublicKey};

impl Transaction<'_> {
    pub(super) fn operator(
        &mut self,
        write: &OperatorWrite,
        at: i64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        match write {
            OperatorWrite::Set(chain) => self.set_operator(chain, Via::Configured, at).map(Ok),
            OperatorWrite::Follow(chain) => {
                operator::save(self.connection, chain)?;
                self.stand(chain)?;
                self.repaired.set(true);
                Ok(Ok(Outcome::Changed { serial: 0 }))
            }
            OperatorWrite::Offer(trust, arrival) => {
                let via = if arrival.way.is_post() { Via::Post } else { Via::EditedFile };
                let next = match self.standing.chain().map(|chain| admit(chain, trust, arrival)) {
                    Some(Ok(next)) => next,
                    Some(Err(refusal)) => return Ok(Err(CommitError::Refused(refusal.into()))),
                    None => Some(OperatorChain::begin(trust.clone())),
                };
                match next {
                    Some(chain) => self.set_operator(&Arc::new(chain), via, at).map(Ok),
                    None => {
                        let row = self.load(&Subject::Operator(*trust.identity()))?;
                        Ok(Ok(Outcome::Same { serial: self.serial_of(row.map_or(0, |row| row.row))? }))
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
        let mut toggles = self.clear_operators()?;
        let leaf = leaf_of(&place, trust.version());
        toggles.push(Toggle::between(&place, None, Some(leaf)));
        let id = self.append(
            Content::Operator(chain.clone()),
            Record {
                kind: Some(SubjectKind::Operator),
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
                .prepare_cached("UPDATE change SET links = ?2 WHERE id = ?1")?
                .execute(params![id, before.join("\n")])?;
        }
        let version = Version { iat: trust.iat(), identity: *trust.version(), issuer: *trust.identity() };
        let held = Held::restore_placed(
            Some(version),
            Some(self.meta.head.position(self.meta.head.serial)),
            vec![],
            None,
            vec![],
        );
        self.save(&place, &Row { row: id, held, digest, exp: trust.exp(), ..Row::default() })?;
        operator::save(self.connection, chain)?;
        self.stand(chain)?;
        Ok(Outcome::Changed { serial: self.meta.head.serial })
    }

    /// Forgets the operator JWT that is listed: there is one operator per server. Returns what that does to the digest tree.
    pub(super) fn clear_operators(&self) -> rusqlite::Result<Vec<Toggle>> {
        let mut toggles = Vec::new();
        head::each_from(self.connection, &self.meta.log, SubjectKind::Operator, &[], |key, row| {
            toggles.push(Toggle::between(&key, row.leaf(&key), None));
            Ok(true)
        })?;
        self.connection.prepare_cached("DELETE FROM head WHERE kind = ?1")?.execute([SubjectKind::Operator])?;
        Ok(toggles)
    }

    /// From here on the keys of this chain count.
    pub(super) fn stand(&mut self, chain: &Arc<OperatorChain>) -> rusqlite::Result<()> {
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

/// The operator keys that were withdrawn, each with the `iat` of the operator JWT that left it out.
pub(super) fn withdrawn(connection: &Connection) -> rusqlite::Result<HashMap<PublicKey, i64>> {
    connection
        .prepare("SELECT issuer, at FROM withdrawn")?
        .query_map([], |row| Ok((PublicKey::from_raw(Kind::Operator, row.get(0)?), row.get(1)?)))?
        .collect()
}

impl JournalReader {
    /// The operator JWTs in force, as they were committed.
    pub fn operator(&self) -> Result<Option<OperatorChain>, StoreError> {
        self.read(operator::load)
    }

    /// The operator keys that were withdrawn, each with the `iat` of the operator JWT that left it out.
    pub fn withdrawn(&self) -> Result<HashMap<PublicKey, i64>, StoreError> {
        self.read(withdrawn)
    }
}
