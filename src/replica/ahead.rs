//! Accounts that are newer here than at the primary, for a client that hands them back.

use super::held::Held;
use crate::key::AccountKey;
use crate::node::{Ahead, AheadPage};
use crate::store::StoreError;
use crate::store::journal::AccountStatus;

/// The largest number of accounts of a page.
const ACCOUNTS: usize = 500;
/// The text after which a page ends, in bytes.
const TEXT: usize = 1 << 20;

/// The accounts after `after` of which the primary holds something older, or nothing. Blocks for queries.
pub(super) fn page(held: &Held, after: Option<&AccountKey>) -> Result<AheadPage, StoreError> {
    let reader = held.store.reader();
    let keys = reader.ahead(after, ACCOUNTS + 1)?;
    let mut page = AheadPage { accounts: Vec::new(), next: None };
    let mut text = 0;
    for key in keys {
        if page.accounts.len() == ACCOUNTS || text >= TEXT {
            page.next = page.accounts.last().map(|last| *last.key());
            break;
        }
        let account = account(held, key)?;
        text += account.text();
        page.accounts.push(account);
    }
    Ok(page)
}

fn account(held: &Held, key: AccountKey) -> Result<Ahead, StoreError> {
    let reader = held.store.reader();
    Ok(match reader.status(&key)? {
        AccountStatus::Live(stored) => Ahead::Held(key, stored.entry.token().clone()),
        AccountStatus::Deleted => reader
            .tombstone(&key)?
            .map_or(Ahead::Missing(key), |tombstone| Ahead::Deleted(key, tombstone.request().clone())),
        AccountStatus::Unknown | AccountStatus::Removed => Ahead::Missing(key),
    })
}
