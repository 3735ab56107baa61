//! Fetches the texts that a mirror lacks, in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{FIRST_PAUSE, LONGEST_PAUSE, Resync, ResyncError, goes_on};
use crate::backoff::Backoff;
use crate::feed::Subject;
use crate::feed::digest::Short;
use crate::feed::wire::DigestAsk;
use crate::store::blocking;
use crate::upstream::UpstreamError;

/// The number of keys of one question. Their texts are about half a megabyte.
const PIECE: usize = 400;

/// Whether texts are being fetched.
#[derive(Debug, Default)]
pub(super) struct Texts {
    is_busy: AtomicBool,
}

impl Resync {
    /// Fetches missing texts in the background, unless that is under way.
    pub(super) fn fetch_texts(self: &Arc<Self>) {
        if !self.parts.env.is_mirror() || self.texts.is_busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let resync = self.clone();
        self.parts.env.runtime.spawn(async move {
            let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
            while let Err(error) = resync.fetch_all_texts().await {
                tracing::debug!("cannot fetch missing JWTs from {}: {error}", resync.parts.upstream.shown());
                let is_refused =
                    matches!(error, ResyncError::Upstream(UpstreamError::Status(_) | UpstreamError::Denied(..)));
                if is_refused || !resync.parts.held.freshness.is_following() {
                    break;
                }
                backoff.wait().await;
            }
            resync.texts.is_busy.store(false, Ordering::Release);
        });
    }

    async fn fetch_all_texts(self: &Arc<Self>) -> Result<(), ResyncError> {
        let mut after: Option<Subject> = None;
        loop {
            let (reader, from) = (self.parts.held.store.reader().clone(), after);
            let keys = blocking(move || reader.textless(from.as_ref(), PIECE)).await?;
            let Some(last) = keys.last().copied() else { return Ok(()) };
            after = Some(last);
            // No leaf equals this one, so the answer includes all of them.
            let none = Short::default().to_string();
            let have = keys.iter().map(|key| (key.text(), none.clone())).collect();
            let mut ask = DigestAsk { have, ..DigestAsk::default() };
            loop {
                let answer = self.parts.upstream.followed().compare(&ask).await?;
                let goes_on = goes_on(&mut ask, &answer)?;
                self.take(answer).await?;
                if !goes_on {
                    break;
                }
            }
        }
    }
}
