//! A replica of an old primary, which has neither a feed nor digests, begins with the pack of the primary: a mirror with all
//! of it, a cache with as much as it has room for.
//!
//! The pack gives copies to serve while the primary is away, and no more. The replica asks about each of them again
//! like about any other.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Follow;
use crate::clock;
use crate::gate::Via;
use crate::jwt::pack::{Found, Line, Lines, TooLong};
use crate::store::journal::upstream::{Answered, AnsweredContent, Still, UpstreamWrite};
use crate::store::journal::{CommitError, Outcome};
use crate::upstream::UpstreamError;

/// Why a pack was not read to its end.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("its pack cannot be read: {0}")]
    Format(#[from] TooLong),
}

/// The number of lines by result.
#[derive(Debug, Default)]
struct PackTally {
    taken: u64,
    refused: u64,
}

impl Follow {
    /// Applies the pack of the primary, in the background. `is_first`: none was tried before. The result says whether that
    /// succeeded.
    pub(super) fn begin_with_pack(self: &Arc<Self>, is_first: bool) -> JoinHandle<bool> {
        let follow = self.clone();
        self.parts.env.runtime.spawn(async move {
            let mut tally = PackTally::default();
            let applied = follow.apply_pack(&mut tally).await;
            match &applied {
                Err(broken) if is_first => {
                    tracing::warn!("unable to initialize from primary, {}: {broken}", follow.parts.upstream.shown());
                }
                // It is tried again and again.
                Err(broken) => {
                    tracing::debug!("unable to initialize from primary, {}: {broken}", follow.parts.upstream.shown());
                    return false;
                }
                Ok(()) => {}
            }
            let PackTally { taken, refused } = tally;
            tracing::info!(
                "{taken} JWTs of the pack of {} are at hand, {refused} are refused",
                follow.parts.upstream.shown()
            );
            applied.is_ok()
        })
    }

    async fn apply_pack(self: &Arc<Self>, tally: &mut PackTally) -> Result<(), PackError> {
        let mut pack = self.parts.upstream.current().pack().await?;
        let mut lines = Lines::default();
        while let Some(piece) = pack.chunk().await? {
            self.apply_lines(lines.push(&piece)?, tally).await;
            if self.parts.held.store.reader().room() == 0 {
                tracing::info!("the cache has no room for more JWTs (replica.cache_bytes)");
                return Ok(());
            }
        }
        self.apply_lines(lines.end().into_iter().collect(), tally).await;
        Ok(())
    }

    /// Checks signatures on a thread of its own, because that takes long.
    async fn apply_lines(self: &Arc<Self>, lines: Vec<Line>, tally: &mut PackTally) {
        let follow = self.clone();
        // Any other line is of an activation.
        let read = tokio::task::spawn_blocking(move || {
            lines.into_iter().flatten().filter_map(|found| follow.read_line(&found)).collect::<Vec<_>>()
        });
        let Ok(found) = read.await else { return };
        let (refused, writes): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_err);
        tally.refused += refused.len() as u64;
        let outcomes = self.parts.held.store.write_all(writes.into_iter().flatten().collect()).await;
        for outcome in outcomes {
            match outcome {
                Ok(Outcome::Changed { .. }) => {
                    self.parts.env.metrics.accepted(Via::Upstream);
                    tally.taken += 1;
                }
                Ok(_) => tally.taken += 1,
                Err(CommitError::Refused(refusal)) if refusal.is_conflict() => {}
                Err(_) => tally.refused += 1,
            }
        }
    }

    /// A line of the pack, after the gate.
    fn read_line(&self, found: &Found) -> Option<Result<UpstreamWrite, ()>> {
        let env = &self.parts.env;
        match env.gate.admit(&found.token, Some(&found.key), Via::Upstream, clock::unix_seconds()) {
            Ok(entry) => {
                // A client may have pulled the account since, so at the same `iat` what is held stays.
                let content = AnsweredContent::Put(Arc::new(entry), None, Via::Pack);
                let answer = Answered {
                    key: found.key,
                    content,
                    era: self.parts.held.store.reader().era(),
                    // There is no feed that could be behind.
                    is_followed: true,
                    was_live: true,
                    is_of_primary: false,
                    is_undisturbed: Still::always(false),
                    is_kept: Still::always(true),
                };
                Some(Ok(UpstreamWrite::Answered(answer)))
            }
            Err(refusal) if refusal.is_conflict() => None,
            Err(refusal) => {
                env.metrics.refused(Via::Upstream, &refusal);
                tracing::debug!("line {} of the primary's pack is rejected: {refusal}", found.number);
                Some(Err(()))
            }
        }
    }
}
