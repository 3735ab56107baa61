//! Importing what somebody asks for, before its turn in the first scan.
//!
//! A folder of a million files takes a while, and the file that is asked for may come last. Its name leads to it, unless
//! it is a copy in another place, or in an operator's folder of nsc, where files have the names of people: those only the
//! scan finds.

use std::path::PathBuf;

use super::Primary;
use super::seam::ScanMoment;
use crate::folder::{self, Unread};
use crate::gate::{SentFor, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::StoreError;
use crate::store::journal::{CommitError, Write};

/// What there is in some places.
struct PlaceTexts {
    texts: Vec<Vec<u8>>,
    /// Whether that is all: a file that cannot be read now may be read by the scan.
    is_all: bool,
}

impl Primary {
    /// Imports the files in the places of accounts. One that cannot be read now is imported when the scan comes to it.
    /// Blocks.
    pub(super) fn import_places(&self, keys: &[AccountKey]) -> Result<(), StoreError> {
        keys.iter().try_for_each(|key| self.import_place(key).map(drop))
    }

    /// Imports the file in the place of an account, if there is one. Returns whether that settles the place: what it held
    /// is in the journal, or is refused. Blocks.
    pub(super) fn import_place(&self, key: &AccountKey) -> Result<bool, StoreError> {
        let PlaceTexts { texts, is_all } = read(self.tokens.places(key));
        self.seam.at(ScanMoment::Read);
        for text in &texts {
            // What is refused is reported when the scan comes to the file.
            if let Ok(entry) = self.admit(text, Some(key), Via::FirstScan)
                && let Err(CommitError::Failed(error)) = self.journal.commit_blocking(Write::Put(entry, Via::FirstScan))
            {
                return Err(StoreError::Shared(error));
            }
        }
        self.seam.at(ScanMoment::Imported);
        Ok(is_all)
    }

    /// Imports the file in the place of an activation, if there is one. Blocks.
    pub(super) fn import_activation(&self, id: &HashId) -> Result<(), StoreError> {
        let texts = read(self.tokens.activation_places(id)).texts;
        self.seam.at(ScanMoment::Read);
        for text in &texts {
            if let Err(CommitError::Failed(error)) =
                self.submit_activation_blocking(text, SentFor::id(id), Via::FirstScan)
            {
                return Err(StoreError::Shared(error));
            }
        }
        self.seam.at(ScanMoment::Imported);
        Ok(())
    }
}

fn read(places: Vec<PathBuf>) -> PlaceTexts {
    let mut read = PlaceTexts { texts: Vec::new(), is_all: true };
    for place in places {
        match folder::read(&place) {
            Ok((_, text)) => read.texts.push(text),
            Err(Unread::Missing) => {}
            Err(_) => read.is_all = false,
        }
    }
    read
}
