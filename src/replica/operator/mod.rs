//! The operator JWT of a replica: from its file, from the feed, or from a request to the primary.
//!
//! The primary only carries it. It sends the operator JWTs in force as a chain, and each link counts because of its
//! signature. So a lying primary can hide a withdrawal, but can neither list a key nor bring one back.

mod begin;
mod pin;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::held::Held;
use super::setup::Env;
use crate::clock;
use crate::gate::operator::{ChainEnd, Way, replay};
use crate::gate::{Identity, MOST_LINKS, OperatorChange, OperatorRefusal, Refusal, Standing, Trust, Via};
use crate::key::PublicKey;
use crate::upstream::{Upstream, UpstreamError};

/// How often a failed request for the operator JWTs is repeated.
const TRIES: u32 = 5;
/// The longest pause before a link that is dated in the future is requested again, in seconds.
const LONGEST_WAIT: i64 = 60;

/// How the operator JWTs here relate to those of upstream. Locked while the operator changes.
#[derive(Debug, Default)]
struct OperatorState {
    /// The version in force upstream that cannot be linked with the one here, and why.
    unconnected: Option<(Identity, String)>,
    /// Whether a request waits for the clock to allow a link.
    waits: bool,
}

/// The operator JWT in force, and how it follows the primary's.
#[derive(Debug)]
pub(super) struct Operators {
    env: Env,
    held: Arc<Held>,
    upstream: Arc<Upstream>,
    turn: Mutex<OperatorState>,
}

impl Operators {
    pub(super) fn new(env: &Env, held: &Arc<Held>, upstream: &Arc<Upstream>) -> Self {
        let (held, upstream) = (held.clone(), upstream.clone());
        Self { env: env.clone(), held, upstream, turn: Mutex::default() }
    }

    /// Brings the operator JWT of a file into force. Returns what that changes. Fails if the chain does not accept it.
    pub(super) fn configure(self: &Arc<Self>, trust: &Arc<Trust>) -> Result<OperatorChange, Refusal> {
        let _turn = self.turn.lock();
        let before = Arc::clone(&self.env.gate.standing());
        let arrival = self.env.gate.arrival(Way::FollowerFile, clock::unix_seconds());
        let Some(chain) = self.env.gate.admit_operator(trust, &arrival)? else {
            return Ok(OperatorChange::none(&before, trust));
        };
        let mut change = OperatorChange::to(&before, &chain);
        change.withheld = self.stand_by(before.after(Arc::new(chain)));
        change.log();
        Ok(change)
    }

    /// Applies the operator JWTs that the primary has in force, oldest first. Known ones change nothing.
    ///
    /// Returns whether the one in force here is at least as new as the primary's.
    pub(super) fn apply(self: &Arc<Self>, links: &[&str], via: Via) -> bool {
        self.try_apply(links, via).unwrap_or_else(|refusal| {
            self.env.refused(via, &refusal, format_args!("the operator JWT of the primary {}", self.upstream.shown()));
            false
        })
    }

    /// Applies an operator change of the feed or a comparison. The position stays before it until the one in force here
    /// is as new. A change without links came by a server that knows none, so they are requested.
    pub(super) fn apply_linked(self: &Arc<Self>, jwts: &[&str], is_linked: bool, via: Via) -> bool {
        let is_in_sync = self.apply(jwts, via);
        if !is_linked && self.unconnected().is_some() {
            self.ask();
        }
        // Also if it is in doubt already: a question under way may be from before this change.
        if !is_in_sync && let Some(confirmed) = self.held.positions.confirmed() {
            self.held.positions.doubt_operator(confirmed);
        }
        is_in_sync
    }

    fn try_apply(self: &Arc<Self>, links: &[&str], via: Via) -> Result<bool, Refusal> {
        let now = clock::unix_seconds();
        let read = |jwt: &&str| Trust::from_operator_jwt(jwt, now).map(Arc::new);
        // The primary could not have accepted more. The newest ones may be enough.
        let surplus = links.len().saturating_sub(MOST_LINKS);
        let links =
            links[surplus..].iter().map(read).collect::<Result<Vec<_>, _>>().map_err(OperatorRefusal::Invalid)?;
        let mut turn = self.turn.lock();
        let mut standing = Standing::clone(&self.env.gate.standing());
        // Without an operator, the first one is pinned: see `pin`.
        let (Some(chain), Some(last)) = (standing.chain().cloned(), links.last()) else { return Ok(true) };
        let replayed = replay(&chain, &links, &self.env.gate.arrival(Way::Upstream, now));
        let mut changes = Vec::new();
        for step in replayed.steps {
            changes.push(OperatorChange::to(&standing, &step));
            standing = standing.after(Arc::new(step));
        }
        if let Some(change) = changes.last_mut() {
            change.withheld = self.stand_by(standing);
        }
        for change in changes.into_iter().filter(|change| change.changed) {
            self.env.metrics.accepted(via);
            self.count(&change);
            tracing::info!("the primary {} has another operator JWT", self.upstream.shown());
            change.log();
        }
        let is_in_sync = matches!(replayed.end, ChainEnd::InSync | ChainEnd::Ahead);
        let mut refused = None;
        match replayed.end {
            ChainEnd::InSync | ChainEnd::Ahead => turn.unconnected = None,
            ChainEnd::NotYet(seconds) => {
                tracing::warn!(
                    "the newest operator JWT of the primary {} is dated too far in the future; the one in force here stays \
                     until the clock allows it",
                    self.upstream.shown()
                );
                self.ask_later(&mut turn, seconds);
            }
            ChainEnd::Unconnected(refusal) => {
                let is_known = turn.unconnected.as_ref().is_some_and(|(version, _)| version == last.version());
                turn.unconnected = Some((*last.version(), refusal.to_string()));
                refused = Some((refusal, is_known));
            }
        }
        // Before the line, so that who reads that finds the gauge set.
        self.env.metrics.replica.operator_unconnected.set(i64::from(turn.unconnected.is_some()));
        if let Some((refusal, is_known)) = refused {
            if !is_known {
                tracing::warn!(
                    "the operator JWT of the primary {} cannot be connected with the one in force here, which stays: \
                     {refusal}",
                    self.upstream.shown()
                );
            }
            self.env.metrics.refused(via, &refusal.into());
        }
        Ok(is_in_sync)
    }

    /// Which operator an operator JWT is of, and which version it is. `None`: it is none.
    pub(super) fn subject_of(&self, jwt: &str) -> Option<(PublicKey, Identity)> {
        let trust = Trust::from_operator_jwt(jwt, clock::unix_seconds()).ok()?;
        Some((*trust.identity(), *trust.version()))
    }

    /// Counts a change that a signing key signed.
    pub(super) fn count(&self, change: &OperatorChange) {
        if change.by_signing_key.is_some() {
            self.env.metrics.gate.operator_links.inc();
        }
    }

    /// Changes which keys are trusted. Returns the number of copies that are withheld now.
    pub(super) fn stand_by(self: &Arc<Self>, standing: Standing) -> u64 {
        self.held.store.note_operator(&standing);
        self.env.gate.set_standing(standing);
        let withheld = self.held.copies.enforce();
        // What was rejected before may be accepted now.
        self.held.positions.look_again();
        withheld
    }

    /// Why the operator JWT of the primary cannot be linked with the one in force here, if so.
    pub(super) fn unconnected(&self) -> Option<String> {
        self.turn.lock().unconnected.as_ref().map(|(_, why)| why.clone())
    }

    /// Requests the operator JWTs of the primary in the background, because a change may have been missed.
    pub(super) fn ask(self: &Arc<Self>) {
        let operators = self.clone();
        self.env.runtime.spawn(async move {
            for _ in 0..TRIES {
                match operators.upstream.operator_chain().await {
                    Ok(Some(links)) => {
                        let links: Vec<_> = links.iter().map(String::as_str).collect();
                        operators.apply(&links, Via::Upstream);
                        return;
                    }
                    Ok(None) | Err(UpstreamError::Status(_)) => return,
                    Err(error) => tracing::debug!("the primary does not show its operator: {error}"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    /// Repeats the request when the clock may allow a link.
    fn ask_later(self: &Arc<Self>, turn: &mut OperatorState, seconds: i64) {
        if std::mem::replace(&mut turn.waits, true) {
            return;
        }
        let wait = u64::try_from(seconds.clamp(1, LONGEST_WAIT)).unwrap_or(1);
        let operators = Arc::downgrade(self);
        self.env.runtime.spawn(async move {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            if let Some(operators) = operators.upgrade() {
                operators.turn.lock().waits = false;
                operators.ask();
            }
        });
    }
}
