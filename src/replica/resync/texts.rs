//! Fetches the texts that are not here, in the background: a mirror all of them, a cache as long as there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::applying::Applying;
use super::{FIRST_PAUSE, Haste, LONGEST_PAUSE, Resync, ResyncError};
use crate::backoff::Backoff;
use crate::feed::digest::Short;
use crate::feed::wire::DigestAsk;
use crate::feed::{Subject, SubjectKind};
use crate::store::journal::weight_of;
use crate::store::{JournalReader, StoreError, blocking};

/// The number of keys of one question. Their texts are about half a megabyte.
const PIECE: usize = 400;
/// The length of a text, about, in bytes.
const LENGTH: usize = 1200;

/// Lists some keys after a key.
type ListOfKeys = fn(&JournalReader, Option<&Subject>, usize) -> Result<Vec<Subject>, StoreError>;

/// A cache stores no activations.
fn accounts_without_text(
    reader: &JournalReader,
    after: Option<&Subject>,
    limit: usize,
) -> Result<Vec<Subject>, StoreError> {
    let mut keys = reader.textless(after, limit)?;
    keys.retain(|key| key.kind() == SubjectKind::Account);
    Ok(keys)
}

/// Whether texts are being fetched, and whether there may be more.
#[derive(Debug, Default)]
pub(super) struct Texts {
    is_busy: AtomicBool,
    is_wanted: AtomicBool,
    /// Whether it was logged that a cache is full.
    is_full_told: AtomicBool,
}

impl Resync {
    /// Fetches missing texts in the background.
    pub(in crate::replica) fn fetch_texts(self: &Arc<Self>) {
        if !self.parts.env.is_mirror() && !self.parts.env.is_warm() {
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

    /// Tries until nothing is missing, or upstream has no digests: then the next comparison fetches them.
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
        if self.parts.env.is_warm() {
            return self.fetch_each(accounts_without_text, Haste::Background).await;
        }
        self.fetch_each(JournalReader::textless, Haste::Now).await?;
        let held = self.parts.held.clone();
        blocking(move || {
            held.look_for_texts();
            Ok(())
        })
        .await?;
        // A cache forgets requests and removals, and may have become a mirror. A store that was mended lost some of them.
        self.fetch_each(JournalReader::requestless, Haste::Now).await?;
        self.fetch_each(JournalReader::lost, Haste::Now).await
    }

    /// Fetches the states of all keys that `list` finds after a key, or of those for which there is room.
    async fn fetch_each(self: &Arc<Self>, list: ListOfKeys, haste: Haste) -> Result<(), ResyncError> {
        let (mut after, mut applying) = (None, Applying::by(self.clone()));
        while let Some(count) = self.room_for() {
            let (reader, from) = (self.parts.held.store.reader().clone(), after);
            let keys = blocking(move || list(&reader, from.as_ref(), count)).await?;
            let Some(last) = keys.last().copied() else { return applying.end().await };
            after = Some(last);
            // No leaf equals this one, so the answer includes all of them.
            let none = Short::default().to_string();
            let have = keys.iter().map(|key| (key.text(), none.clone())).collect();
            self.ask_pages(DigestAsk { have, ..DigestAsk::default() }, haste, &mut applying, |_, _| Ok(())).await?;
        }
        if !self.texts.is_full_told.swap(true, Ordering::AcqRel) {
            tracing::info!(
                "the cache has no room for more JWTs (replica.cache_bytes); the others are fetched when clients ask for them"
            );
        }
        Ok(())
    }

    /// How many texts one question is about. `None`: there is no room for any.
    fn room_for(&self) -> Option<usize> {
        let count = self.parts.held.store.reader().room() / weight_of(LENGTH);
        usize::try_from(count).ok().filter(|count| *count > 0).map(|count| count.min(PIECE))
    }
}
