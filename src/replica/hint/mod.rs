//! Hints: JWTs that a replica hears over NATS.
//!
//! Each has the operator's signature, but may be old, because any user of the system account can repeat an old one. So
//! it is a hint, as NOTIFY is in DNS. The replica applies it if it is newer than what upstream gave. Otherwise the
//! replica asks upstream, whose answer counts ([`rule`](crate::store::journal::upstream::rule)). Requests of clients come first ([`waiting`]).

mod waiting;

use std::sync::Arc;

use super::held::{Heard, Held};
use super::pull::Pull;
use super::setup::Env;
use crate::clock;
use crate::gate::{Refusal, Via};
use crate::key::AccountKey;
use crate::upstream::Upstream;
use waiting::WaitingHints;

/// What became of a hint, for the metric `replica_hints_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HintOutcome {
    /// It is served.
    Applied,
    /// Upstream was asked.
    Asked,
    /// When its turn came, there was nothing left to ask.
    Settled,
    /// Another hint of the same account waits already.
    Joined,
    /// The queue was full, or upstream was unreachable. The feed or the next GET brings the current version.
    Dropped,
    /// It is served already, or no client asked for the account here.
    Ignored,
}

impl HintOutcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Asked => "asked",
            Self::Settled => "settled",
            Self::Joined => "joined",
            Self::Dropped => "dropped",
            Self::Ignored => "ignored",
        }
    }
}

/// Hints, and the requests that they may cause.
#[derive(Debug)]
pub(super) struct Hints {
    env: Env,
    held: Arc<Held>,
    pull: Arc<Pull>,
    upstream: Arc<Upstream>,
    waiting: WaitingHints,
}

impl Hints {
    pub(super) fn new(env: &Env, held: &Arc<Held>, pull: &Arc<Pull>, upstream: &Arc<Upstream>) -> Self {
        let (held, pull, upstream) = (held.clone(), pull.clone(), upstream.clone());
        Self { env: env.clone(), held, pull, upstream, waiting: WaitingHints::default() }
    }

    /// Whether a hint may cause a request now. `true` counts as that request.
    pub(super) fn may_ask(&self) -> bool {
        self.waiting.may_ask()
    }

    /// Handles a claims update from NATS, whose subject named `expected`.
    pub(in crate::replica) async fn hear(self: &Arc<Self>, token: &[u8], expected: &AccountKey) -> Result<(), Refusal> {
        let entry = Arc::new(self.env.gate.admit(token, Some(expected), Via::Hint, clock::unix_seconds())?);
        match self.held.hear(&entry).await? {
            Heard::Applied => self.count(HintOutcome::Applied),
            Heard::Nothing => self.count(HintOutcome::Ignored),
            Heard::Ask => self.wait_with(entry),
        }
        Ok(())
    }

    pub(super) fn count(&self, outcome: HintOutcome) {
        self.env.metrics.replica.hints.inc([outcome.label()]);
    }
}
