//! Whom a promoted mirror trusts: as it did when it was stopped.

use std::sync::Arc;

use crate::clock;
use crate::config::Settings;
use crate::gate::{Gate, Identity, Standing, Trust, Via};
use crate::key::PublicKey;
use crate::server;
use crate::store::snapshot::Snapshot;

/// What decides about what the mirror holds.
pub(super) struct Trusted {
    /// The gate, with what the mirror knew of the operator.
    pub(super) gate: Gate,
    /// The operator JWT that the journal begins with: one that its identity key signed.
    pub(super) operator: Option<Arc<Trust>>,
    /// Versions of the same second that it replaced.
    pub(super) replaced: Vec<Identity>,
    /// Keys that are no longer listed, each with the `iat` of the operator JWT that left it out.
    pub(super) withdrawn: Vec<(PublicKey, i64)>,
}

/// What the snapshot says of the operator counts; a configured JWT of the same operator that is newer comes after it when
/// the primary starts, as at any start.
pub(super) fn trusted(settings: &Settings, snapshot: &Snapshot) -> Result<Trusted, String> {
    let gate = server::trust::gate(settings).map(|(gate, _)| gate).map_err(|error| error.to_string())?;
    let configured = gate.trust();
    let Some(stored) = snapshot.operator() else {
        let operator = configured.filter(|trust| trust.is_self_signed());
        return Ok(Trusted { gate, operator, replaced: Vec::new(), withdrawn: Vec::new() });
    };
    let trust = Trust::from_operator_jwt(&stored.jwt, clock::unix_seconds())
        .map(Arc::new)
        .map_err(|error| format!("cannot promote: the operator JWT in the snapshot cannot be used: {error}"))?;
    if let Some(configured) = &configured
        && configured.identity() != trust.identity()
    {
        return Err(format!(
            "cannot promote: the snapshot is of the operator {}, and {} is configured",
            trust.identity(),
            configured.identity()
        ));
    }
    let withdrawn = stored.withdrawn.clone();
    let standing = Standing::restore(Some(trust.clone()), withdrawn.iter().copied().collect());
    gate.set_standing(standing.clone());
    if let Some(configured) = configured
        && gate.admit_operator(&configured, Via::EditedFile).unwrap_or(false)
    {
        gate.set_standing(standing.after(configured));
    }
    let operator = Some(trust).filter(|trust| trust.is_self_signed());
    Ok(Trusted { gate, operator, replaced: stored.replaced, withdrawn })
}
