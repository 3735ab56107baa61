//! Which changes are announced over NATS.

use std::sync::Arc;

use super::{ChangeKind, Ledger, Node, ReplacedVersion, Withdrawn};
use crate::clock;
use crate::feed::{Change, Content};
use crate::gate::{Activation, Entry, Tombstone, Via};
use crate::jwt::{AccountJwt, HashId};
use crate::key::AccountKey;
use crate::store::journal::{Fact, Stored};
use crate::store::{JournalReader, StoreError};

/// What is published of a change.
#[derive(Debug)]
pub enum Outgoing {
    /// The JWT of an account.
    Account {
        /// The JWT.
        entry: Arc<Entry>,
        /// The change that brought it.
        serial: u64,
        /// What else is known of the change.
        fact: Fact,
        /// What it does. Of what is announced again, that is not looked up.
        kind: ChangeKind,
    },
    /// An activation.
    Activation(Arc<Activation>),
    /// A request that deleted accounts over HTTP, for the resolvers that did not hear it.
    Deletion(Arc<Tombstone>),
}

/// Milliseconds after which a deletion is not announced any more: the accounts may be live again elsewhere. Packs show
/// which nats-servers missed it.
const LATE: i64 = 10_000;

impl Outgoing {
    /// `None`: the change is not announced, or was replaced since. Blocks for a query if its account is not in the body cache.
    fn of(ledger: &dyn Ledger, change: &Change) -> Result<Option<Self>, StoreError> {
        if change.via == Via::FirstScan {
            return Ok(None);
        }
        Ok(match &change.content {
            Content::Put(entry) => {
                let is_newest = served(ledger, entry.key())?.is_some_and(|stored| stored.serial == change.serial);
                let fact = if is_newest { ledger.journal().fact(entry.key(), Some(change.serial))? } else { None };
                let Some(fact) = fact else { return Ok(None) };
                let kind = kind_of(ledger.journal(), entry, change.serial, &fact)?;
                Some(Self::Account { entry: entry.clone(), serial: change.serial, fact, kind })
            }
            Content::Activation(activation) => {
                is_served(ledger, activation)?.then(|| Self::Activation(activation.clone()))
            }
            // Every resolver heard a deletion that came over NATS.
            Content::Delete(request)
                if change.via == Via::Post && clock::millis_since(change.at).is_some_and(|age| age < LATE) =>
            {
                ledger.journal().are_all_deleted(request.keys())?.then(|| Self::Deletion(request.clone()))
            }
            _ => None,
        })
    }
}

/// What a change of an account does to its users. What was before and is not kept any more may have granted anything. Blocks
/// for queries.
fn kind_of(journal: &JournalReader, entry: &Entry, serial: u64, fact: &Fact) -> Result<ChangeKind, StoreError> {
    if !fact.has_older {
        return Ok(ChangeKind::Other);
    }
    let claims = |text: &[u8]| Some(AccountJwt::decode(std::str::from_utf8(text).ok()?).ok()?.body);
    let before = ReplacedVersion::read(journal, entry.key(), serial)?.and_then(|replaced| replaced.before);
    let takes_away = match (before.as_deref().and_then(claims), claims(entry.token())) {
        (Some(before), Some(after)) => !Withdrawn::between(&before, &after).is_empty(),
        (None, Some(after)) => !after.revocations.is_empty(),
        (_, None) => false,
    };
    Ok(if takes_away || entry.is_expired(clock::unix_seconds()) { ChangeKind::Revocation } else { ChangeKind::Other })
}

/// What an account serves: nothing if it was deleted, was removed from the folder, or is withheld.
fn served(ledger: &dyn Ledger, key: &AccountKey) -> Result<Option<Arc<Stored>>, StoreError> {
    Ok(match ledger.cached(key) {
        Some(stored) => Some(stored),
        None => ledger.served(key)?,
    })
}

/// Whether an activation is the newest of its hash, and its account vouches for it. Blocks for a query if one of
/// them is in no cache.
fn is_served(ledger: &dyn Ledger, activation: &Activation) -> Result<bool, StoreError> {
    let Some(held) = ledger.newest_activation(activation.id())? else { return Ok(false) };
    if held.activation().digest() != activation.digest() || activation.is_expired(clock::unix_seconds()) {
        return Ok(false);
    }
    Ok(served(ledger, activation.account())?.is_some_and(|stored| held.fault(&stored.entry).is_none()))
}

impl Node {
    /// What is announced of the next `limit` changes after a serial, and the serial of the last of these. `None`: there are no
    /// more changes.
    pub async fn outgoing_after(&self, after: u64, limit: usize) -> Result<Option<(u64, Vec<Outgoing>)>, StoreError> {
        self.read(move |ledger| {
            let changes = ledger.journal().changes_after(after, limit)?;
            let news = changes.iter().filter_map(|change| Outgoing::of(ledger, change).transpose());
            let news = news.collect::<Result<Vec<_>, StoreError>>()?;
            Ok(changes.last().map(|change| (change.serial, news)))
        })
        .await
    }

    /// What an account serves now, to announce it again. `None`: nothing.
    pub async fn outgoing_account(&self, key: AccountKey) -> Result<Option<Outgoing>, StoreError> {
        self.read(move |ledger| {
            let Some(stored) = ledger.served(&key)? else { return Ok(None) };
            let fact = ledger.journal().fact(&key, None)?;
            let kind = ChangeKind::Other;
            Ok(fact.map(|fact| Outgoing::Account { entry: stored.entry.clone(), serial: stored.serial, fact, kind }))
        })
        .await
    }

    /// The activation of a hash, to announce it again. `None`: there is none that may be served.
    pub async fn outgoing_activation(&self, id: HashId) -> Result<Option<Outgoing>, StoreError> {
        self.read(move |ledger| {
            let Some(held) = ledger.newest_activation(&id)? else { return Ok(None) };
            let activation = held.activation().clone();
            Ok(is_served(ledger, &activation)?.then_some(Outgoing::Activation(activation)))
        })
        .await
    }
}
