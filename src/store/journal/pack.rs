//! The sum of what is served: of live accounts whose signers the operator vouches for, and which have not expired.
//!
//! The sum is kept by signer ([`super::signers`]): a withdrawn key removes its accounts at once, and a key that is listed
//! again adds them at once. An account expires without a change, so the expired part is kept apart, as of some time. For
//! another time, only accounts that expire between the two are read. Adding and removing are the same operation, so a clock
//! that was set back is no special case.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::super::error::StoreError;
use super::read::JournalReader;
use super::signers::{Signers, live};
use super::write::Request;
use super::writer::Writer;
use crate::feed::digest::Sum;
use crate::gate::Standing;
use crate::key::PublicKey;

impl JournalReader {
    /// The sum of the accounts that are served at `now`, unix seconds, as nats-server's full resolver computes it: XOR of
    /// the SHA-256 of each JWT's text, 32 zero bytes if there is none. It includes every commit that was acknowledged
    /// before.
    ///
    /// The first time all expired accounts are read, and later those that have expired since.
    pub async fn pack_hash(&self, now: i64) -> Result<[u8; 32], StoreError> {
        let (reply, answer) = oneshot::channel();
        let writer = self.writer.upgrade().ok_or(StoreError::Closed)?;
        writer.send(Request::PackHash(now, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Writer {
    /// The sum of the accounts that are served at this time. Called between two transactions.
    pub(super) fn pack_hash(&self, now: i64) -> Result<[u8; 32], StoreError> {
        let from = self.stats.with_signers(|signers| signers.expired_at);
        let expired = self.expiring(from, now)?;
        Ok(self.stats.with_signers(|signers| {
            signers.go_to(now, expired);
            signers.served(&self.gate.standing()).0
        }))
    }

    fn expiring(&self, from: i64, to: i64) -> Result<HashMap<PublicKey, Sum>, StoreError> {
        if from == to {
            return Ok(HashMap::new());
        }
        self.with_connection(|connection| expiring(connection, from.min(to), from.max(to)))
    }
}

impl Signers {
    /// Moves the expired part to `now`, by the accounts that expire between the two times.
    fn go_to(&mut self, now: i64, expired: HashMap<PublicKey, Sum>) {
        for (key, sum) in expired {
            self.keys.entry(key).or_default().expired.toggle(&sum.0);
        }
        self.expired_at = now;
    }

    fn served(&self, standing: &Standing) -> Sum {
        let mut served = Sum::default();
        for (_, signed) in self.keys.iter().filter(|(key, _)| standing.vouches(key)) {
            served.toggle(&signed.sum.0);
            served.toggle(&signed.expired.0);
        }
        served
    }
}

/// The accounts that are expired at `to` and were not at `from`. The bounds are those of [`super::signers::Live::is_expired`].
const EXPIRING: &str = "SELECT issuer, digest, exp FROM live WHERE exp > 0 AND exp >= ?1 AND exp < ?2";

fn expiring(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<HashMap<PublicKey, Sum>> {
    let mut sums: HashMap<PublicKey, Sum> = HashMap::new();
    let mut statement = connection.prepare_cached(EXPIRING)?;
    let mut rows = statement.query(params![from, to])?;
    while let Some(row) = rows.next()? {
        let live = live(row)?;
        sums.entry(live.issuer).or_default().toggle(&live.digest);
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::super::{Role, open};
    use super::*;

    #[test]
    fn only_accounts_that_expire_are_read() {
        let connection = open::open_temporary(Role::Primary).expect("opens");
        let plan: String =
            connection.query_row(&format!("EXPLAIN QUERY PLAN {EXPIRING}"), [0, 1], |row| row.get(3)).expect("a plan");
        assert!(plan.contains("SEARCH head USING INDEX expiry (kind=? AND exp>? AND exp<?)"), "{plan}");
    }
}
