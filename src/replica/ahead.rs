//! What is newer here than at the primary, to be handed back to it.

use super::Replica;
use crate::key::AccountKey;
use crate::node::{Ahead, AheadPage};
use crate::store::snapshot::ProofKind;

/// So many accounts are told at once.
const ACCOUNTS: usize = 500;
/// So much text is told at once, in bytes.
const TEXT: usize = 1 << 20;

impl Replica {
    /// The accounts after `after` of which the primary was found to hold something older, or nothing. Blocks for queries.
    pub fn ahead_page(&self, after: Option<&AccountKey>) -> AheadPage {
        let mut page = AheadPage { accounts: Vec::new(), next: None };
        let mut text = 0;
        for key in self.memory.all_ahead().into_iter().filter(|key| after.is_none_or(|after| key > after)) {
            if page.accounts.len() == ACCOUNTS || text >= TEXT {
                page.next = page.accounts.last().map(|last| *last.key());
                break;
            }
            let account = self.ahead_of(key);
            text += account.text();
            page.accounts.push(account);
        }
        page
    }

    fn ahead_of(&self, key: AccountKey) -> Ahead {
        let Some(seen) = self.memory.peek(&key, Clone::clone) else { return Ahead::Missing(key) };
        if seen.is_live() {
            let slot = self.at_hand(&key).filter(|slot| seen.newest() == Some(&slot.entry().version()));
            return slot.map_or(Ahead::Missing(key), |slot| Ahead::Held(key, slot.entry().token().clone()));
        }
        let request = seen.deleted_by.and_then(|identity| self.shelf.get(&(ProofKind::Delete, identity)));
        request.map_or(Ahead::Missing(key), |request| Ahead::Deleted(key, request.body))
    }
}
