//! Importing what somebody asks for, before its turn in the first scan.
//!
//! A folder of a million files takes a while, and the file that is asked for may come last. Its name leads to it, unless
//! it is a copy in another place, or in an operator's folder of nsc, where files have the names of people: those only the
//! scan finds.

use std::path::PathBuf;
use std::sync::Arc;

use super::Primary;
use super::seam::Moment;
use crate::folder::{self, Unread};
use crate::gate::{SentFor, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::journal::{CommitError, Write};
use crate::store::{StoreError, blocking};

/// What there is in some places.
struct Read {
    texts: Vec<Vec<u8>>,
    /// Whether that is all: a file that cannot be read now may be read by the scan.
    is_all: bool,
}

impl Primary {
    /// Imports the file in the place of an account, if there is one. Returns whether that settles the place: what it held
    /// is in the journal, or is refused.
    pub(super) async fn import_place(&self, key: &AccountKey) -> Result<bool, StoreError> {
        let Read { texts, is_all } = read(self.tokens.places(key)).await?;
        self.seam.at(Moment::Read);
        for text in &texts {
            // What is refused is reported when the scan comes to the file.
            if let Ok(entry) = self.admit(text, Some(key), Via::FirstScan)
                && let Err(CommitError::Failed(error)) = self.journal.commit(Write::Put(entry, Via::FirstScan)).await
            {
                return Err(StoreError::Shared(error));
            }
        }
        self.seam.at(Moment::Imported);
        Ok(is_all)
    }

    /// Imports the file in the place of an activation, if there is one.
    pub(super) async fn import_activation(self: &Arc<Self>, id: &HashId) -> Result<(), StoreError> {
        let texts = read(self.tokens.activation_places(id)).await?.texts;
        self.seam.at(Moment::Read);
        for text in &texts {
            let submitted = Box::pin(self.submit_activation(text, SentFor::id(id), Via::FirstScan)).await;
            if let Err(CommitError::Failed(error)) = submitted {
                return Err(StoreError::Shared(error));
            }
        }
        self.seam.at(Moment::Imported);
        Ok(())
    }
}

/// Reads files on a thread where that keeps nobody waiting.
async fn read(places: Vec<PathBuf>) -> Result<Read, StoreError> {
    let read = move || {
        let mut read = Read { texts: Vec::new(), is_all: true };
        for place in places {
            match folder::read(&place) {
                Ok((_, text)) => read.texts.push(text),
                Err(Unread::Missing) => {}
                Err(_) => read.is_all = false,
            }
        }
        Ok(read)
    };
    blocking(read).await
}
