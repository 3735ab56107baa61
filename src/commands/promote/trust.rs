//! Whom a promoted mirror trusts: as it did when it was stopped.

use std::sync::Arc;

use crate::clock;
use crate::config::Settings;
use crate::gate::operator::{Begun, Way, begin};
use crate::gate::{Gate, OperatorChain, OperatorRefusal, Standing};
use crate::key::PublicKey;
use crate::server;
use crate::store::snapshot::Snapshot;

/// What decides about what the mirror holds.
pub(super) struct Trusted {
    /// The gate, with what the mirror knew of the operator.
    pub(super) gate: Gate,
    /// The operator JWTs that the journal begins with.
    pub(super) operator: Option<Arc<OperatorChain>>,
    /// Keys that are no longer listed, each with the `iat` of the operator JWT that left it out.
    pub(super) withdrawn: Vec<(PublicKey, i64)>,
}

/// What the snapshot says of the operator counts, and the configured JWT after it, if that may take its place.
pub(super) fn trusted(settings: &Settings, snapshot: &Snapshot) -> Result<Trusted, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot promote: {error}");
    let given = server::trust::given(settings).map_err(|error| error.to_string())?;
    let (kept, withdrawn) = match snapshot.operator() {
        Some(stored) => (Some(stored.chain), stored.withdrawn),
        None => (None, Vec::new()),
    };
    match given.problem {
        Some(problem) if kept.is_none() => return Err(problem.to_string()),
        Some(problem) => tracing::warn!("the configured operator JWT is not used: {problem}"),
        None => {}
    }
    let gate = given.gate;
    let before = Standing::restore(kept.clone(), withdrawn.iter().copied().collect());
    let arrival = gate.arrival(Way::File, clock::unix_seconds());
    // The operator changes when the primary starts.
    let begun = begin(kept.as_deref(), gate.trust().as_ref(), None, &arrival).map_err(|error| match error {
        OperatorRefusal::Other { ours, offered } => {
            failed(&format!("the snapshot is of the operator {ours}, and {offered} is configured"))
        }
        error => failed(&error),
    })?;
    let standing = match begun {
        Begun::Kept => before,
        Begun::Refused(refusal) => {
            tracing::warn!("the configured operator JWT is not used: {refusal}");
            before
        }
        Begun::First(chain) | Begun::Next(chain) | Begun::Changed(chain) => before.after(Arc::new(chain)),
    };
    let withdrawn = standing.withdrawn().map(|(key, at)| (*key, at)).collect();
    let operator = standing.chain().cloned();
    gate.set_standing(standing);
    Ok(Trusted { gate, operator, withdrawn })
}
