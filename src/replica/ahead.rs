//! Accounts that are newer here than at the primary, for a client that hands them back.

use super::held::Held;
use crate::key::AccountKey;
use crate::node::{Ahead, AheadPage};
use crate::store::snapshot::ProofKind;

/// The largest number of accounts of a page.
const ACCOUNTS: usize = 500;
/// The text after which a page ends, in bytes.
const TEXT: usize = 1 << 20;

/// The accounts after `after` of which the primary holds something older, or nothing. Blocks for queries.
pub(super) fn page(held: &Held, after: Option<&AccountKey>) -> AheadPage {
    let mut page = AheadPage { accounts: Vec::new(), next: None };
    let mut text = 0;
    for key in held.known.versions.all_ahead().into_iter().filter(|key| after.is_none_or(|after| key > after)) {
        if page.accounts.len() == ACCOUNTS || text >= TEXT {
            page.next = page.accounts.last().map(|last| *last.key());
            break;
        }
        let account = account(held, key);
        text += account.text();
        page.accounts.push(account);
    }
    page
}

fn account(held: &Held, key: AccountKey) -> Ahead {
    let Some(seen) = held.known.versions.peek(&key, Clone::clone) else { return Ahead::Missing(key) };
    if seen.is_live() {
        let copy = held.at_hand(&key).filter(|copy| seen.newest() == Some(&copy.entry().version()));
        return copy.map_or(Ahead::Missing(key), |copy| Ahead::Held(key, copy.entry().token().clone()));
    }
    let request = seen.deleted_by.and_then(|identity| held.known.proofs.get(&(ProofKind::Delete, identity)));
    request.map_or(Ahead::Missing(key), |request| Ahead::Deleted(key, request.body))
}
