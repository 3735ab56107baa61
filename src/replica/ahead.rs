//! What is newer here than at the primary, to be handed back to it.

use bytes::Bytes;

use super::held::Held;
use crate::key::AccountKey;
use crate::store::snapshot::ProofKind;

/// So many accounts are told at once.
const ACCOUNTS: usize = 500;
/// So much text is told at once, in bytes.
const TEXT: usize = 1 << 20;

/// An account that is newer here.
#[derive(Debug)]
pub enum Ahead {
    /// Its JWT.
    Held(AccountKey, Bytes),
    /// It was deleted, by this request.
    Deleted(AccountKey, Bytes),
    /// It is known to be newer, but what makes it so is not here.
    Missing(AccountKey),
}

/// A piece of what is newer here.
#[derive(Debug)]
pub struct AheadPage {
    /// In the order of their keys.
    pub accounts: Vec<Ahead>,
    /// The account after which the next piece begins; `None`: this was the last one.
    pub next: Option<AccountKey>,
}

/// The accounts after `after` of which the primary was found to hold something older, or nothing. Blocks for queries.
pub(super) fn page(held: &Held, after: Option<&AccountKey>) -> AheadPage {
    let mut page = AheadPage { accounts: Vec::new(), next: None };
    let mut text = 0;
    for key in held.known.memory.all_ahead().into_iter().filter(|key| after.is_none_or(|after| key > after)) {
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
    let Some(seen) = held.known.memory.peek(&key, Clone::clone) else { return Ahead::Missing(key) };
    if seen.is_live() {
        let slot = held.at_hand(&key).filter(|slot| seen.newest() == Some(&slot.entry().version()));
        return slot.map_or(Ahead::Missing(key), |slot| Ahead::Held(key, slot.entry().token().clone()));
    }
    let request = seen.deleted_by.and_then(|identity| held.known.shelf.get(&(ProofKind::Delete, identity)));
    request.map_or(Ahead::Missing(key), |request| Ahead::Deleted(key, request.body))
}

impl Ahead {
    /// The account.
    pub const fn key(&self) -> &AccountKey {
        match self {
            Self::Held(key, _) | Self::Deleted(key, _) | Self::Missing(key) => key,
        }
    }

    fn text(&self) -> usize {
        match self {
            Self::Held(_, text) | Self::Deleted(_, text) => text.len(),
            Self::Missing(_) => 0,
        }
    }
}
