//! What of a change is to be published, and on which subject.

use std::sync::Arc;

use crate::clock;
use crate::feed::{Change, Content};
use crate::gate::{Activation, Entry, Tombstone, Via};
use crate::key::AccountKey;
use crate::primary::Primary;
use crate::store::StoreError;
use crate::store::journal::{Fact, Stored};

/// What is to be published of a change.
#[derive(Debug)]
pub(super) enum News {
    /// The JWT of an account.
    Account {
        entry: Arc<Entry>,
        serial: u64,
        /// What else is known of the change.
        fact: Fact,
    },
    /// An activation.
    Activation(Arc<Activation>),
    /// A request that deleted accounts, for the resolvers that did not hear it as we did.
    Deletion(Arc<Tombstone>),
}

/// A deletion that is older than so many milliseconds is no news: meanwhile the accounts may live again elsewhere. The
/// nats-servers that missed it are found by their packs.
const LATE: i64 = 10_000;

impl News {
    /// `None`: the change is no news, or was replaced since. Blocks for a query if its account is not in the body cache.
    pub(super) fn of(primary: &Primary, change: &Change) -> Result<Option<Self>, StoreError> {
        if change.via == Via::FirstScan {
            return Ok(None);
        }
        Ok(match &change.content {
            Content::Put(entry) => {
                let is_newest = served(primary, entry.key())?.is_some_and(|stored| stored.serial == change.serial);
                let fact = if is_newest { primary.journal().fact(entry.key(), Some(change.serial))? } else { None };
                fact.map(|fact| Self::Account { entry: entry.clone(), serial: change.serial, fact })
            }
            Content::Activation(activation) => {
                is_served(primary, activation)?.then(|| Self::Activation(activation.clone()))
            }
            // What came over NATS, everybody heard.
            Content::Delete(request)
                if change.via == Via::Post && clock::millis_since(change.at).is_some_and(|age| age < LATE) =>
            {
                primary.journal().are_all_deleted(request.keys())?.then(|| Self::Deletion(request.clone()))
            }
            _ => None,
        })
    }
}

/// What an account holds: nothing if it was deleted, has left, or is withheld.
fn served(primary: &Primary, key: &AccountKey) -> Result<Option<Arc<Stored>>, StoreError> {
    Ok(match primary.cached(key) {
        Some(stored) => Some(stored),
        None => primary.served(key)?,
    })
}

/// Whether an activation is the newest of its hash, and its account vouches for it. Blocks for a query if one of
/// them is in no cache.
pub(super) fn is_served(primary: &Primary, activation: &Activation) -> Result<bool, StoreError> {
    let Some(held) = primary.activation(activation.id())? else { return Ok(false) };
    if held.activation().digest() != activation.digest() || activation.is_expired(clock::unix_seconds()) {
        return Ok(false);
    }
    Ok(served(primary, activation.account())?.is_some_and(|stored| held.fault(&stored.entry).is_none()))
}

/// Where account servers tell each other of an activation, as a message that nobody answers. `issuer` is the key that
/// signed, also if it is a signing key.
pub(super) fn activation_subject(activation: &Activation) -> String {
    format!("$SYS.ACCOUNT.{}.CLAIMS.ACTIVATE.{}", activation.issuer().text(), activation.id())
}
