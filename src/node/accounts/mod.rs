//! Accounts as people and tools look them up: in lists, by state and name, and one by one with all that is known of it.
//!
//! A list is that of a server that stores every account ([`Whole`]).

mod filter;
mod glob;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{LookupError, Node, Whole};
use crate::clock;
use crate::excerpt::excerpt_of;
use crate::gate::{Activation, Entry, Position, Standing, Tombstone};
use crate::jwt::{self, HashId};
use crate::key::AccountKey;
use crate::store::journal::{AccountHead, HeadChange, HeadState};
use crate::store::{JournalReader, StoreError, blocking};

pub use filter::{AccountFilter, AccountState};
pub use glob::{Glob, LONGEST_PATTERN};

/// The longest name in a list, in bytes. Its signer chooses it.
const MAX_NAME: usize = 256;

/// An account of a list.
#[derive(Debug, Clone)]
pub struct ListedAccount {
    /// What is known of it.
    pub head: AccountHead,
    /// Its state.
    pub state: AccountState,
    /// Its name, or the beginning of it. `None`: its text is not here.
    pub name: Option<String>,
}

/// A piece of a list.
#[derive(Debug)]
pub struct AccountPage {
    /// In the order of their keys. There may be none, and still more to come.
    pub accounts: Vec<ListedAccount>,
    /// The account after which the next piece begins; `None`: this was the last one.
    pub next: Option<AccountKey>,
    /// The position before the piece was read: whatever changed up to there is in it.
    pub position: Position,
}

/// One account with all that is known of it.
#[derive(Debug)]
pub struct AccountDetail {
    /// As in a list.
    pub listed: ListedAccount,
    /// Its newest JWT, also if it was deleted. `None`: the text is not here.
    pub entry: Option<Entry>,
    /// The request that deleted it, if it is deleted and the request is here.
    pub tombstone: Option<Arc<Tombstone>>,
}

/// An activation of a list.
#[derive(Debug)]
pub struct ListedActivation {
    /// The activation.
    pub activation: Arc<Activation>,
    /// The change that brought it.
    pub change: HeadChange,
    /// Why it may not be served now; `None`: it may.
    pub fault: Option<String>,
}

/// A piece of a list of activations.
#[derive(Debug)]
pub struct ActivationPage {
    /// In the order of their hashes.
    pub activations: Vec<ListedActivation>,
    /// The activation after which the next piece begins; `None`: this was the last one.
    pub next: Option<HashId>,
}

impl AccountPage {
    /// Reads the next accounts that a filter wants, after `after` in the order of their keys, at most `limit` of them, within a
    /// bounded time. `standing`: which keys count. Blocks for a query.
    pub fn read(
        journal: &JournalReader,
        standing: &Standing,
        filter: &AccountFilter,
        after: Option<&AccountKey>,
        limit: usize,
    ) -> Result<Self, StoreError> {
        let (now, head) = (clock::unix_seconds(), journal.head());
        let mut accounts = Vec::new();
        let next = journal.each_account(after, filter.key.as_ref(), |head, texts| {
            let state = AccountState::of(&head, standing, now);
            let exp = head.version.as_ref().map_or(0, |version| version.exp);
            if filter.wants(state, exp, head.change.map(|change| change.at)) {
                let name = texts.read(&head)?.as_ref().and_then(name);
                if filter.wants_name(name.as_deref()) {
                    accounts.push(ListedAccount { head, state, name: name.map(|name| listed_name(&name)) });
                }
            }
            Ok(if accounts.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(Self { accounts, next, position: head.position(head.serial) })
    }
}

impl AccountDetail {
    /// Reads all that is known of an account. `standing`: which keys count. `None`: nothing. Blocks for queries.
    pub fn read(journal: &JournalReader, standing: &Standing, key: &AccountKey) -> Result<Option<Self>, StoreError> {
        let Some((head, entry)) = journal.account_head(key)? else { return Ok(None) };
        let state = AccountState::of(&head, standing, clock::unix_seconds());
        let tombstone = match head.state {
            HeadState::Deleted(_) => journal.tombstone(key)?,
            HeadState::Live | HeadState::Removed => None,
        };
        let name = entry.as_ref().and_then(name).map(|name| listed_name(&name));
        Ok(Some(Self { listed: ListedAccount { head, state, name }, entry, tombstone }))
    }
}

impl Node {
    /// The next accounts that a filter wants, after `after` in the order of their keys, at most `limit` of them. A piece is
    /// read in a bounded time, so it may be short. `Ok(None)`: this is a cache.
    pub async fn accounts(
        &self,
        filter: AccountFilter,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<Option<AccountPage>, LookupError> {
        let gate = self.gate.clone();
        self.of_all(move |journal| AccountPage::read(journal, &gate.standing(), &filter, after.as_ref(), limit)).await
    }

    /// All that is known of an account. `Ok(None)`: this is a cache. `Ok(Some(None))`: nothing.
    pub async fn account(&self, key: AccountKey) -> Result<Option<Option<AccountDetail>>, LookupError> {
        let gate = self.gate.clone();
        self.of_past(&key, move |journal| AccountDetail::read(journal, &gate.standing(), &key)).await
    }

    /// The next activations of an account, after `after` in the order of their hashes. `Ok(None)`: this is a cache.
    pub async fn activations(
        &self,
        account: AccountKey,
        after: Option<HashId>,
        limit: usize,
    ) -> Result<Option<ActivationPage>, LookupError> {
        let found = self.of_all(move |journal| journal.activations_of(&account, after.as_ref(), limit)).await?;
        let Some(found) = found else { return Ok(None) };
        let next = found.last().map(|(id, _)| *id).filter(|_| found.len() >= limit);
        let mut activations = Vec::with_capacity(found.len());
        for (id, change) in found {
            // An expired one may be forgotten by now.
            if let Some((activation, fault)) = self.judged_activation(&id).await? {
                activations.push(ListedActivation { activation, change, fault });
            }
            // A verdict costs a signature, and other requests wait on this thread.
            tokio::task::yield_now().await;
        }
        Ok(Some(ActivationPage { activations, next }))
    }

    /// Asks the journal of a server that stores every account, on a thread that may block. `Ok(None)`: this is a cache.
    async fn of_all<T: Send + 'static>(
        &self,
        query: impl FnOnce(&JournalReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, LookupError> {
        match self.whole() {
            Whole::Stored { journal, .. } => Ok(Some(blocking(move || query(&journal)).await?)),
            Whole::NotYet(why) => Err(LookupError::NotYet(why)),
            Whole::Never => Ok(None),
        }
    }
}

fn name(entry: &Entry) -> Option<String> {
    jwt::glance(entry.token()).map(|claims| claims.name)
}

/// A name as far as lists show it.
pub fn listed_name(name: &str) -> String {
    excerpt_of(name, MAX_NAME).part().into_owned()
}
