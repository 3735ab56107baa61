//! The operator's JWT in the journal: a change like any other, which says which keys count for those behind it.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::super::StoreError;
use super::apply::{Record, Transaction};
use super::schema::KIND_OPERATOR;
use super::{CommitError, Journal, Outcome, head};
use crate::feed::Content;
use crate::feed::digest::{Key, Kind as Placed, Leaf, Toggle};
use crate::gate::{Digest, Ordering, Refusal, Standing, Trust, Version, Via};
use crate::key::{Kind, PublicKey};

impl Transaction<'_> {
    pub(super) fn operator(
        &mut self,
        trust: &Arc<Trust>,
        via: Via,
        at: i64,
    ) -> rusqlite::Result<Result<Outcome, CommitError>> {
        let row = head::load(self.connection, KIND_OPERATOR, trust.identity().raw())?;
        let mut held = row.as_ref().map(|row| row.held.clone()).unwrap_or_default();
        // It vouches for itself: its own order does not depend on which keys it lists.
        let (version, standing) = (version(trust), Standing::default());
        match held.order(&version, via, None, &standing) {
            Ordering::Newer => {}
            Ordering::Same => {
                self.stand(trust)?;
                return Ok(Ok(Outcome::Same { serial: row.map_or(0, |row| row.serial) }));
            }
            Ordering::Behind | Ordering::Refetch => return Ok(Err(Refusal::Tie(trust.iat()).into())),
            Ordering::Refused(refusal) => return Ok(Err(refusal.into())),
        }
        held.put(version, None, &standing);
        let digest: Digest = Sha256::digest(trust.token()).into();
        let place = Key::operator(trust.identity());
        // One operator per server: what another one left goes.
        let mut toggles = Vec::new();
        head::each_from(self.connection, Placed::Operator, &[], |key, row| {
            toggles.push(Toggle::between(&key, row.leaf(&key), None));
            Ok(true)
        })?;
        toggles.push(Toggle::between(&place, None, Leaf::standing(&place, &held, false)));
        let serial = self.append(
            Content::Operator(trust.clone()),
            Record {
                kind: KIND_OPERATOR,
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
        // Another one's memory ends, so that it can come back as new.
        self.connection
            .prepare_cached("DELETE FROM head WHERE kind = ?1 AND key <> ?2")?
            .execute(params![KIND_OPERATOR, trust.identity().raw()])?;
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO head (kind, key, serial, iat, exp, identity, issuer, digest, ties, history)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2, ?7, ?8, x'')",
            )?
            .execute(params![
                KIND_OPERATOR,
                trust.identity().raw(),
                serial,
                trust.iat(),
                trust.exp(),
                trust.version(),
                digest,
                head::ties(&held),
            ])?;
        self.stand(trust)?;
        Ok(Ok(Outcome::Changed { serial }))
    }

    /// From here on this operator JWT is in force.
    fn stand(&mut self, trust: &Arc<Trust>) -> rusqlite::Result<()> {
        if self.standing.trust().is_none_or(|current| current.version() != trust.version()) {
            self.standing = Arc::new(self.standing.after(trust.clone()));
        }
        self.connection.prepare_cached("DELETE FROM withdrawn")?.execute([])?;
        let mut statement = self.connection.prepare_cached("INSERT INTO withdrawn (issuer, at) VALUES (?1, ?2)")?;
        for (key, at) in self.standing.withdrawn() {
            statement.execute(params![key.raw(), at])?;
        }
        self.repaired.set(true);
        Ok(())
    }
}

fn version(trust: &Trust) -> Version {
    Version { iat: trust.iat(), identity: *trust.version(), issuer: *trust.identity() }
}

impl Journal {
    /// The newest operator JWT that was committed.
    pub fn operator(&self) -> Result<Option<String>, StoreError> {
        self.read(|connection| {
            connection
                .query_row(
                    "SELECT CAST(c.body AS TEXT) FROM head h JOIN change c ON c.serial = h.serial
                     WHERE h.kind = ?1 ORDER BY h.serial DESC LIMIT 1",
                    [KIND_OPERATOR],
                    |row| row.get(0),
                )
                .optional()
        })
    }

    /// How an operator JWT from a file stands to what was committed of that operator.
    pub fn order_operator(&self, trust: &Trust) -> Result<Ordering, StoreError> {
        let row = self.read(|connection| head::load(connection, KIND_OPERATOR, trust.identity().raw()))?;
        let held = row.map(|row| row.held).unwrap_or_default();
        Ok(held.order(&version(trust), Via::EditedFile, None, &Standing::default()))
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
