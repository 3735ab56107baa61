//! Whom a promoted mirror trusts: as it did when it was stopped.

use std::path::Path;
use std::sync::Arc;

use crate::clock;
use crate::config::Settings;
use crate::gate::operator::{Begun, Way, begin};
use crate::gate::{OperatorRefusal, Standing};
use crate::server;
use crate::store::journal;

/// What the store says of the operator counts, and the configured JWT after it, if that may take its place. `command`: what an
/// error says cannot be done.
pub(super) fn trusted(settings: &Settings, journal: &Path, command: &str) -> Result<Standing, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot {command}: {error}");
    let given = server::trust::given(settings).map_err(|error| error.to_string())?;
    let (kept, withdrawn) = journal::trust_in(journal).map_err(|error| failed(&error))?;
    let kept = kept.map(Arc::new);
    match given.problem {
        Some(problem) if kept.is_none() => return Err(problem.to_string()),
        Some(problem) => tracing::warn!("the configured operator JWT is not used: {problem}"),
        None => {}
    }
    let gate = given.gate;
    let before = Standing::restore(kept.clone(), withdrawn);
    let arrival = gate.arrival(Way::File, clock::unix_seconds());
    // The operator changes when the primary starts.
    let begun = begin(kept.as_deref(), gate.trust().as_ref(), None, &arrival).map_err(|error| match error {
        OperatorRefusal::Other { ours, offered } => {
            failed(&format!("the store is of the operator {ours}, and {offered} is configured"))
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
    Ok(standing)
}
