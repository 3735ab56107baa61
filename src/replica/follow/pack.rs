//! A mirror of an old primary, which has neither a feed nor digests, begins with the pack of the primary.
//!
//! The pack gives copies to serve while the primary is away, and no more. The replica asks about each of them again
//! like about any other.

use std::sync::Arc;

use super::Follow;
use crate::clock;
use crate::gate::{Refusal, Via};
use crate::jwt::pack::{Found, Line, Lines, TooLong};
use crate::replica::held::OfferOutcome;
use crate::upstream::UpstreamError;

/// Why a pack was not read to its end.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("its pack cannot be read: {0}")]
    Format(#[from] TooLong),
    #[error("there is no room for the rest of its pack; this replica fetches those JWTs on demand")]
    Full,
}

/// The number of lines by result.
#[derive(Debug, Default)]
struct PackTally {
    taken: u64,
    refused: u64,
}

impl Follow {
    /// Applies the pack of the primary, in the background.
    pub(super) fn begin_with_pack(self: &Arc<Self>) {
        let follow = self.clone();
        self.parts.env.runtime.spawn(async move {
            let mut tally = PackTally::default();
            if let Err(broken) = follow.apply_pack(&mut tally).await {
                tracing::warn!("unable to initialize from primary, {}: {broken}", follow.parts.upstream.shown());
            }
            let PackTally { taken, refused } = tally;
            tracing::info!(
                "{taken} JWTs of the pack of {} are at hand, {refused} are refused",
                follow.parts.upstream.shown()
            );
        });
    }

    async fn apply_pack(self: &Arc<Self>, tally: &mut PackTally) -> Result<(), PackError> {
        let asked = clock::uptime_millis();
        let mut pack = self.parts.upstream.current().pack().await?;
        let (mut lines, mut bytes) = (Lines::default(), 0);
        while let Some(piece) = pack.chunk().await? {
            bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.apply_lines(lines.push(&piece)?, asked, tally).await;
            // The cache counts what does not fit only when its pending work is run.
            self.parts.held.size();
            if self.parts.held.disk.is_full() || bytes > self.parts.env.setup.cache_bytes {
                return Err(PackError::Full);
            }
        }
        self.apply_lines(lines.end().into_iter().collect(), asked, tally).await;
        Ok(())
    }

    /// Checks signatures on a thread of its own, because that takes long.
    async fn apply_lines(self: &Arc<Self>, lines: Vec<Line>, asked: i64, tally: &mut PackTally) {
        let follow = self.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let mut tally = PackTally::default();
            // Any other line is of an activation.
            for found in lines.into_iter().flatten() {
                match follow.apply_found(&found, asked) {
                    Ok(()) => tally.taken += 1,
                    Err(refusal) if refusal.is_conflict() => {}
                    Err(refusal) => {
                        tally.refused += 1;
                        follow.parts.env.metrics.refused(Via::Upstream, &refusal);
                        tracing::debug!("line {} of the primary's pack is rejected: {refusal}", found.number);
                    }
                }
            }
            tally
        });
        if let Ok(taken) = taken.await {
            tally.taken += taken.taken;
            tally.refused += taken.refused;
        }
    }

    fn apply_found(&self, found: &Found, asked: i64) -> Result<(), Refusal> {
        let entry = self.parts.env.gate.admit(&found.token, Some(&found.key), Via::Upstream, clock::unix_seconds())?;
        // A client may have pulled the account since, so at the same `iat` the copy stays.
        if let OfferOutcome::Applied(Some(copy)) =
            self.parts.held.offer(Arc::new(entry), Via::Pack, None, None, None)?
        {
            copy.set_back(clock::uptime_millis() - asked);
            self.parts.env.metrics.accepted(Via::Upstream);
        }
        Ok(())
    }
}
