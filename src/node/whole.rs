//! Whether a server stores every account that there is.
//!
//! Only such a server gives lists of accounts. Others would take what is left out for absent.

use std::sync::Arc;

use super::{Node, StoreError};
use crate::store::{JournalReader, blocking};

/// Whether a server stores every account.
#[derive(Debug, Clone)]
pub enum Whole {
    /// It does.
    Stored {
        /// What it stores.
        journal: Arc<JournalReader>,
        /// Whether that is current: always on a primary, and on a mirror while it follows a primary that was heard lately.
        is_current: bool,
    },
    /// Not yet, for this reason, which may be shown to clients.
    NotYet(&'static str),
    /// It is a cache.
    Never,
}

impl Node {
    /// Whether every account is stored here. Reads memory only.
    pub fn whole(&self) -> Whole {
        self.backend.whole()
    }

    /// Whether every account is stored here and is current, so that this server can answer for its primary.
    pub fn is_in_sync(&self) -> bool {
        matches!(self.whole(), Whole::Stored { is_current: true, .. })
    }

    /// The journal, if every account is in it.
    pub(super) fn whole_journal(&self) -> Option<Arc<JournalReader>> {
        match self.whole() {
            Whole::Stored { journal, .. } => Some(journal),
            Whole::NotYet(_) | Whole::Never => None,
        }
    }

    /// How many accounts have a JWT, and how many of them are withheld. `None`: not every account is stored here.
    pub fn account_counts(&self) -> Option<(u64, u64)> {
        let journal = self.whole_journal()?;
        Some((journal.count(), journal.withheld(&self.gate.standing())))
    }

    /// Reads a list on a thread that may block. `Ok(None)`: not every account is stored here.
    pub(super) async fn list<T: Send + 'static>(
        &self,
        query: impl FnOnce(&JournalReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(journal) = self.whole_journal() else { return Ok(None) };
        blocking(move || query(&journal)).await.map(Some)
    }
}
