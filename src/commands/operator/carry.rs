//! What of the operator goes on when a backup takes the place of a journal: no old JWT brings a withdrawn key back.

use std::path::Path;
use std::sync::Arc;

use super::super::{runtime, say};
use super::set;
use crate::clock;
use crate::gate::operator::{Arrival, Way, replay};
use crate::store::journal;

/// Brings the operator JWTs of the journal at `held` to the copy at `made`, as far as they follow from what is there.
pub(in crate::commands) fn carry(held: &Path, made: &Path) -> Result<(), String> {
    // What cannot be read has nothing to say: whether it may be replaced at all is weighed later.
    let Ok(Some(held)) = journal::operator_in(held) else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| format!("cannot restore: {error}");
    let Some(there) = journal::operator_in(made).map_err(|error| failed(&error))? else { return Ok(()) };
    // What was accepted here before is not judged by the clock again.
    let arrival = Arrival { way: Way::File, now: clock::unix_seconds(), max_iat_ahead: i64::MAX };
    let links: Vec<_> = held.links().cloned().collect();
    let Some(chain) = replay(&there, &links, &arrival).steps.pop() else { return Ok(()) };
    let change =
        runtime()?.block_on(set(made, Some(Arc::new(there)), Arc::new(chain))).map_err(|error| failed(&error))?;
    say(&format!("the operator JWT of the former state stays in force: {change}"));
    Ok(())
}
