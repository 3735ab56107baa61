//! Comparing what nats-servers run with what is stored here: the part that knows the store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::compared::{Gone, Loaded, Match, Runs};
use crate::clock;
use crate::gate::{Entry, Identity};
use crate::jwt::AccountJwt;
use crate::key::AccountKey;
use crate::node::{Ledger, Lookup, Node, PackVerdict, WriteError};
use crate::store::StoreError;
use crate::store::journal::AccountStatus;

/// Compares what nats-servers run with what is stored here, and repairs what differs. Implemented over NATS.
pub trait Compare: std::fmt::Debug + Send + Sync {
    /// Asks every nats-server that is there what it runs of an account. What they answer goes into the receipts. Ends when
    /// all have answered, or after the time that one may take.
    fn compare(&self, key: AccountKey) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Why nothing can be compared, for people: a missing permission.
    fn trouble(&self) -> Option<String>;
}

/// What a nats-server runs, measured by what is stored here.
#[derive(Debug, Clone)]
pub struct Weighed {
    /// The place of the account's newest change; 0 if it is unknown here.
    pub serial: u64,
    /// What the comparison with the store found.
    pub found: Match,
    /// Issue time and identity of what is stored and served; `None`: nothing.
    pub should_run: Option<(i64, Identity)>,
}

/// What is stored of an account.
enum StoredState {
    Served(Arc<Entry>, u64),
    Gone(Gone, u64),
    Unknown,
}

/// What became of a newer JWT that a nats-server runs.
enum Merged {
    /// It is stored now.
    Stored,
    /// It is not newer after all, or the operator does not vouch for the key that signed it, so that it bars nothing.
    Outranked,
    /// It is newer, and not accepted.
    Rejected(String),
}

/// A JWT that a nats-server runs, decoded.
struct DecodedJwt {
    runs: Runs,
    lets_nobody_in: bool,
}

impl Node {
    /// Tells what it means that a nats-server has loaded this of an account, or nothing (`None`). What is newer than the
    /// stored JWT goes through the gate first, and is then what is stored.
    pub async fn weigh_loaded(&self, key: AccountKey, loaded: Option<&Loaded>) -> Result<Weighed, StoreError> {
        // Twice: what is newer is stored by then.
        for is_last in [false, true] {
            let stored = self.stored(key).await?;
            let Some(loaded) = loaded else { return Ok(stored.weighed(Match::NotLoaded)) };
            if let StoredState::Served(entry, _) = &stored
                && entry.token() == &loaded.token
            {
                let found = of_equal(entry, loaded);
                return Ok(stored.weighed(found));
            }
            let running = decode(loaded.token.clone()).await;
            let runs = running.as_ref().map(|running| running.runs);
            let offer = (key, loaded.token.clone());
            let found = match &stored {
                StoredState::Unknown => Match::Foreign,
                StoredState::Served(entry, _) => match runs {
                    Some(runs) if runs.identity == *entry.identity() => of_equal(entry, loaded),
                    Some(runs) if runs.iat > entry.iat() => match self.merged(offer).await? {
                        Merged::Stored if !is_last => continue,
                        Merged::Stored | Merged::Outranked => Match::Behind { runs: Some(runs) },
                        Merged::Rejected(error) => Match::Rejected { runs: Some(runs), error },
                    },
                    _ => Match::Behind { runs },
                },
                // Its clients are cut off there, too.
                StoredState::Gone(..) if loaded.is_expired => Match::NotLoaded,
                StoredState::Gone(gone, _) => {
                    let may_be_newer = *gone == Gone::Deleted && runs.is_some();
                    if may_be_newer && matches!(self.merged(offer).await?, Merged::Stored) && !is_last {
                        continue;
                    }
                    let lets_nobody_in = running.is_some_and(|running| running.lets_nobody_in);
                    Match::CannotUnload { runs, gone: *gone, lets_nobody_in }
                }
            };
            return Ok(stored.weighed(found));
        }
        Err(StoreError::Closed)
    }

    async fn merged(&self, offer: (AccountKey, Bytes)) -> Result<Merged, StoreError> {
        let verdicts = match self.merge(vec![offer]).await {
            Ok(verdicts) => verdicts,
            Err(error @ (WriteError::Failed(_) | WriteError::Refused(_))) => {
                tracing::error!("cannot store a newer JWT that a nats-server runs: {error}");
                return Err(StoreError::Closed);
            }
            // A folder that is only read decides what is served.
            Err(error) => return Ok(Merged::Rejected(error.to_string())),
        };
        Ok(match verdicts.into_iter().next() {
            Some(PackVerdict::Taken) => Merged::Stored,
            Some(PackVerdict::Refused(refusal)) => Merged::Rejected(refusal.to_string()),
            _ => Merged::Outranked,
        })
    }

    async fn stored(&self, key: AccountKey) -> Result<StoredState, StoreError> {
        let ledger = self.ledger().ok_or(StoreError::Closed)?;
        if let Some(stored) = ledger.cached(&key) {
            return Ok(StoredState::Served(stored.entry.clone(), stored.serial));
        }
        let is_withheld = match ledger.find(&key).await? {
            Lookup::Served(stored) => return Ok(StoredState::Served(stored.entry.clone(), stored.serial)),
            Lookup::Withheld(_) => true,
            Lookup::Absent => false,
        };
        self.read(move |ledger| gone(ledger, &key, is_withheld)).await
    }
}

fn gone(ledger: &dyn Ledger, key: &AccountKey, is_withheld: bool) -> Result<StoredState, StoreError> {
    let newest = ledger.journal().fact(key, None)?.map_or(0, |fact| fact.newest);
    if is_withheld {
        return Ok(StoredState::Gone(Gone::Withheld, newest));
    }
    Ok(match ledger.journal().status(key)? {
        AccountStatus::Deleted => StoredState::Gone(Gone::Deleted, newest),
        AccountStatus::Removed => StoredState::Gone(Gone::Removed, newest),
        AccountStatus::Unknown | AccountStatus::Live(_) => StoredState::Unknown,
    })
}

impl StoredState {
    fn weighed(&self, found: Match) -> Weighed {
        match self {
            Self::Served(entry, serial) => {
                Weighed { serial: *serial, found, should_run: Some((entry.iat(), *entry.identity())) }
            }
            Self::Gone(_, serial) => Weighed { serial: *serial, found, should_run: None },
            Self::Unknown => Weighed { serial: 0, found, should_run: None },
        }
    }
}

/// What it means that a nats-server runs the stored JWT.
fn of_equal(entry: &Entry, loaded: &Loaded) -> Match {
    let runs = Some(Runs { iat: entry.iat(), identity: *entry.identity() });
    if entry.is_expired(clock::unix_seconds()) {
        // The nats-server cuts the clients of an account off when its JWT expires.
        return if loaded.is_expired {
            Match::NotLoaded
        } else {
            Match::CannotUnload { runs, gone: Gone::Expired, lets_nobody_in: false }
        };
    }
    if loaded.is_expired {
        // It was told that the account is deleted, or its clock is wrong. The JWT once more makes it valid again.
        return Match::Behind { runs };
    }
    if loaded.missing_imports.is_empty() {
        Match::Current
    } else {
        Match::Incomplete { missing: loaded.missing_imports.clone(), is_unresolved: loaded.is_unresolved }
    }
}

/// Decodes a JWT with its signature, which takes some 50 µs, and much longer for a large one. `None`: it is none.
async fn decode(token: Bytes) -> Option<DecodedJwt> {
    tokio::task::spawn_blocking(move || {
        let text = std::str::from_utf8(&token).ok()?;
        let decoded = AccountJwt::decode(text).ok()?;
        let identity = Sha256::digest(decoded.signing_input(text)).into();
        Some(DecodedJwt {
            runs: Runs { iat: decoded.claims.iat, identity },
            lets_nobody_in: decoded.body.limits.conn == 0,
        })
    })
    .await
    .ok()?
}
