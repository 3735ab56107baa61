//! Fetches the texts that a mirror lacks, in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{FIRST_PAUSE, LONGEST_PAUSE, Resync, ResyncError};
use crate::backoff::Backoff;
use crate::feed::Subject;
use crate::feed::digest::Short;
use crate::feed::wire::DigestAsk;
use crate::store::{JournalReader, StoreError, blocking};

/// The number of keys of one question. Their texts are about half a megabyte.
const PIECE: usize = 400;

/// Lists some keys after a key.
type ListOfKeys = fn(&JournalReader, Option<&Subject>, usize) -> Result<Vec<Subject>, StoreError>;

/// Whether texts are being fetched, and whether there may be more.
#[derive(Debug, Default)]
pub(super) struct Texts {
    is_busy: AtomicBool,
    is_wanted: AtomicBool,
}

impl Resync {
    /// Fetches missing texts in the background.
    pub(in crate::replica) fn fetch_texts(self: &Arc<Self>) {
        if !self.parts.env.is_mirror() {
            return;
        }
        self.texts.is_wanted.store(true, Ordering::Release);
        if self.texts.is_busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let resync = self.clone();
        self.parts.env.runtime.spawn(async move {
            while resync.texts.is_wanted.swap(false, Ordering::AcqRel) {
                resync.fetch_until_whole().await;
            }
            resync.texts.is_busy.store(false, Ordering::Release);
            if resync.texts.is_wanted.load(Ordering::Acquire) {
                resync.fetch_texts();
            }
        });
    }

    /// Tries until nothing is missing, or upstream has no digests: then the next comparison begins anew.
    async fn fetch_until_whole(self: &Arc<Self>) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        while let Err(error) = self.fetch_all_texts().await {
            tracing::debug!("cannot fetch missing JWTs from {}: {error}", self.parts.upstream.shown());
            if error.without_digests().is_some() {
                return;
            }
            backoff.wait().await;
        }
    }

    async fn fetch_all_texts(self: &Arc<Self>) -> Result<(), ResyncError> {
        self.fetch_each(JournalReader::textless).await?;
        // A cache forgets the requests, and may have become a mirror.
        self.fetch_each(JournalReader::requestless).await
    }

    /// Fetches the states of all keys that `list` finds after a key.
    async fn fetch_each(self: &Arc<Self>, list: ListOfKeys) -> Result<(), ResyncError> {
        let mut after: Option<Subject> = None;
        loop {
            let (reader, from) = (self.parts.held.store.reader().clone(), after);
            let keys = blocking(move || list(&reader, from.as_ref(), PIECE)).await?;
            let Some(last) = keys.last().copied() else { return Ok(()) };
            after = Some(last);
            // No leaf equals this one, so the answer includes all of them.
            let none = Short::default().to_string();
            let have = keys.iter().map(|key| (key.text(), none.clone())).collect();
            self.ask_pages(DigestAsk { have, ..DigestAsk::default() }, |_, _| Ok(())).await?;
        }
    }
}
