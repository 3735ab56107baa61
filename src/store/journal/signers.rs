//! What the live accounts come to that each operator key signed: how many they are, so that it is known without a look at
//! every account how many are withheld, or would be; and the sum of their digests, which [`super::pack`] makes use of.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::{Connection, Row, params};

use crate::feed::digest::Sum;
use crate::gate::Digest;
use crate::key::{Kind, PublicKey};

/// A live JWT, as far as it counts here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    pub(super) issuer: PublicKey,
    pub(super) digest: Digest,
    /// Unix seconds; 0 is never.
    pub(super) exp: i64,
}

impl Live {
    /// As [`crate::gate::Entry::is_expired`].
    pub(super) const fn is_expired(&self, now: i64) -> bool {
        self.exp > 0 && now > self.exp
    }
}

/// What the live JWTs of one key come to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signed {
    pub(super) accounts: u64,
    pub(super) sum: Sum,
    /// The part of the sum that has expired. It is kept in memory only.
    pub(super) expired: Sum,
}

/// What is known of every key.
#[derive(Debug, Default)]
pub(super) struct Signers {
    pub(super) keys: HashMap<PublicKey, Signed>,
    /// The time as of which `expired` holds, unix seconds. At 0 nothing has expired.
    pub(super) expired_at: i64,
}

impl Signers {
    /// What the journal knows at its start.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let keys = connection
            .prepare("SELECT issuer, accounts, sum FROM signer")?
            .query_map([], |row| {
                let signed = Signed { accounts: row.get(1)?, sum: Sum(row.get(2)?), expired: Sum::default() };
                Ok((PublicKey::from_raw(Kind::Operator, row.get(0)?), signed))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self { keys, expired_at: 0 })
    }

    /// What a tally makes of those keys that it touches.
    pub(super) fn after(&self, tally: &Tally) -> Vec<(PublicKey, Signed)> {
        let after = |(key, step): (&PublicKey, &Step)| {
            let mut signed = self.keys.get(key).copied().unwrap_or_default();
            signed.accounts = signed.accounts.saturating_add_signed(step.accounts);
            signed.sum.toggle(&step.sum.0);
            signed.expired.toggle(&step.expired.0);
            (*key, signed)
        };
        tally.steps.iter().map(after).collect()
    }
}

/// Steps of one transaction.
#[derive(Debug)]
pub(super) struct Tally {
    steps: HashMap<PublicKey, Step>,
    /// See [`Signers::expired_at`].
    expired_at: i64,
}

#[derive(Debug, Default)]
struct Step {
    accounts: i64,
    sum: Sum,
    expired: Sum,
}

impl Tally {
    pub(super) fn new(expired_at: i64) -> Self {
        Self { steps: HashMap::new(), expired_at }
    }

    /// An account had one live JWT, and now has another; `None`: there is none.
    pub(super) fn step(&mut self, before: Option<Live>, after: Option<Live>) {
        for (live, accounts) in [(before, -1), (after, 1)] {
            let Some(live) = live else { continue };
            let step = self.steps.entry(live.issuer).or_default();
            step.accounts += accounts;
            step.sum.toggle(&live.digest);
            if live.is_expired(self.expired_at) {
                step.expired.toggle(&live.digest);
            }
        }
    }
}

/// Writes down what has changed.
pub(super) fn write(connection: &Connection, changed: &[(PublicKey, Signed)]) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO signer (issuer, accounts, sum) VALUES (?1, ?2, ?3)")?;
    for (key, signed) in changed {
        statement.execute(params![key.raw(), signed.accounts, signed.sum.0])?;
    }
    Ok(())
}

/// The first three columns of a query: issuer, digest, exp.
pub(super) fn live(row: &Row<'_>) -> rusqlite::Result<Live> {
    Ok(Live { issuer: PublicKey::from_raw(Kind::Operator, row.get(0)?), digest: row.get(1)?, exp: row.get(2)? })
}

/// Figures that others read while the writer works.
#[derive(Debug)]
pub(super) struct Stats {
    count: AtomicU64,
    signers: Mutex<Signers>,
}

impl Stats {
    pub(super) const fn new(count: u64, signers: Signers) -> Self {
        Self { count: AtomicU64::new(count), signers: Mutex::new(signers) }
    }

    /// Looks at what the live accounts come to that each operator key signed.
    pub(super) fn with_signers<T>(&self, look: impl FnOnce(&mut Signers) -> T) -> T {
        look(&mut self.signers.lock())
    }

    /// Live accounts, after the last commit.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn set_count(&self, count: u64) {
        self.count.store(count, Ordering::Relaxed);
    }
}
