//! How many live accounts each operator key signed: so that it is known without a look at every account how many are
//! withheld, or would be.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::super::StoreError;
use super::Journal;
use super::schema::KIND_ACCOUNT;
use crate::gate::Standing;
use crate::key::{AccountKey, Kind, PublicKey};

/// Steps of one transaction.
#[derive(Debug, Default)]
pub(super) struct Tally(HashMap<PublicKey, i64>);

impl Tally {
    /// An account's live JWT was signed by one key, and is now by another; `None`: there is none.
    pub(super) fn step(&mut self, before: Option<PublicKey>, after: Option<PublicKey>) {
        if before == after {
            return;
        }
        for (key, step) in [(before, -1), (after, 1)] {
            if let Some(key) = key {
                *self.0.entry(key).or_default() += step;
            }
        }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO signer (issuer, accounts) VALUES (?1, ?2)
             ON CONFLICT (issuer) DO UPDATE SET accounts = accounts + ?2",
        )?;
        for (key, step) in self.0.iter().filter(|(_, step)| **step != 0) {
            statement.execute(params![key.raw(), step])?;
        }
        Ok(())
    }

    /// Adds the steps to what is known.
    pub(super) fn add_to(&self, signers: &mut HashMap<PublicKey, u64>) {
        for (key, step) in &self.0 {
            let count = signers.entry(*key).or_default();
            *count = count.saturating_add_signed(*step);
        }
    }
}

/// What the journal knows at its start.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<HashMap<PublicKey, u64>> {
    connection
        .prepare("SELECT issuer, accounts FROM signer")?
        .query_map([], |row| Ok((PublicKey::from_raw(Kind::Operator, row.get(0)?), row.get(1)?)))?
        .collect()
}

impl Journal {
    /// How many live accounts are withheld, or would be under this standing.
    pub fn withheld(&self, standing: &Standing) -> u64 {
        self.stats.with_signers(|signers| {
            signers.iter().filter(|(key, _)| !standing.vouches(key)).map(|(_, accounts)| accounts).sum()
        })
    }

    /// How many live accounts there are that one standing vouches for, and another does not.
    pub fn lost_between(&self, before: &Standing, after: &Standing) -> u64 {
        self.stats.with_signers(|signers| {
            let lost = |key: &PublicKey| before.vouches(key) && !after.vouches(key);
            signers.iter().filter(|(key, _)| lost(key)).map(|(_, accounts)| accounts).sum()
        })
    }

    /// Some of the accounts that are withheld, with the keys that signed them. Looks at every account: blocks for a
    /// second or so where there are a million.
    pub fn withheld_accounts(
        &self,
        standing: &Standing,
        limit: usize,
    ) -> Result<Vec<(AccountKey, PublicKey)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT key, issuer FROM head WHERE kind = ?1 AND serial <> 0 AND removed = 0
                     AND (deleted IS NULL OR iat > deleted)",
            )?;
            let mut rows = statement.query([KIND_ACCOUNT])?;
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(row) = rows.next()?
            {
                let issuer = PublicKey::from_raw(Kind::Operator, row.get(1)?);
                if !standing.vouches(&issuer) {
                    found.push((AccountKey::from_raw(row.get(0)?), issuer));
                }
            }
            Ok(found)
        })
    }
}
