//! Which operator JWT is in force on a primary: the configured one or the journal's, and how another takes its place.

use std::sync::Arc;

use super::Primary;
use crate::clock;
use crate::gate::{Gate, OperatorChange, Ordering, Standing, Trust, Via};
use crate::store::StoreError;
use crate::store::journal::{CommitError, Committing, Journal, Write};

/// Decides at start between the operator JWT that is configured, which the gate has, and the one in the journal. The
/// newest one that the identity key signed itself counts. Gives the commit of it, if it is new to the journal.
pub(super) fn begin(journal: &Journal, gate: &Gate) -> Result<Option<Committing>, StoreError> {
    let kept = kept(journal)?.map(Arc::new);
    let Some(chosen) = choose(journal, gate.trust(), kept.clone())? else { return Ok(None) };
    let known = kept.as_ref().is_some_and(|kept| kept.version() == chosen.version());
    let before = Standing::restore(kept, journal.withdrawn()?);
    gate.set_standing(if known { before } else { before.after(chosen.clone()) });
    if known {
        return Ok(None);
    }
    if chosen.is_self_signed() {
        return Ok(journal.commit_soon(Write::Operator(chosen, Via::EditedFile)));
    }
    tracing::warn!(
        "the operator JWT is signed by the signing key {}; it counts on this server, but replicas do not learn of it: \
         sign it with the operator's identity key",
        chosen.issuer()
    );
    Ok(None)
}

fn kept(journal: &Journal) -> Result<Option<Trust>, StoreError> {
    let Some(jwt) = journal.operator()? else { return Ok(None) };
    Ok(Trust::from_operator_jwt(&jwt, clock::unix_seconds())
        .inspect_err(|error| tracing::error!("the operator JWT in the journal is not used: {error}"))
        .ok())
}

fn choose(
    journal: &Journal,
    configured: Option<Arc<Trust>>,
    kept: Option<Arc<Trust>>,
) -> Result<Option<Arc<Trust>>, StoreError> {
    let (configured, kept) = match (configured, kept) {
        (configured, None) => return Ok(configured),
        (None, Some(kept)) => {
            tracing::warn!(
                "no operator is configured, but the journal is that of {} ({}), which is trusted all the same; configure \
                 its JWT",
                kept.identity(),
                kept.name()
            );
            return Ok(Some(kept));
        }
        (Some(configured), Some(kept)) => (configured, kept),
    };
    if configured.identity() != kept.identity() {
        tracing::warn!(
            "the operator {} is configured, but the journal is that of {}: everything that the other one signed is \
             withheld. If that is not meant, stop this server and configure the other one's JWT",
            configured.identity(),
            kept.identity()
        );
        return Ok(Some(configured));
    }
    let wins = if configured.is_self_signed() {
        matches!(journal.order_operator(&configured)?, Ordering::Newer | Ordering::Same)
    } else {
        configured.iat() > kept.iat()
    };
    if wins {
        return Ok(Some(configured));
    }
    tracing::warn!(
        "the configured operator JWT was issued at {}, the one in the journal at {}: the journal's is used, because the \
         newest counts. Configure that one (GET /jwt/v1/operator shows it), or sign another one",
        configured.iat(),
        kept.iat()
    );
    Ok(Some(kept))
}

impl Primary {
    /// Waits until the operator JWT that counts since the start is in the journal. If that fails it counts all the same,
    /// but followers do not learn of it.
    pub async fn settle_operator(&self) {
        if let Some(first) = self.operator_turn.lock().await.take()
            && let Err(error) = first.outcome().await
        {
            tracing::error!("the operator JWT is not in the journal, so replicas do not learn of it: {error}");
        }
    }

    /// Brings another operator JWT into force: durable when this returns, where the identity key signed it. Says what it
    /// changes.
    pub async fn set_operator(&self, trust: Trust) -> Result<OperatorChange, CommitError> {
        let _turn = self.operator_turn.lock().await;
        let newer = self.gate.admit_operator(&trust, Via::EditedFile)?;
        let before = Arc::clone(&self.gate.standing());
        let mut change = OperatorChange::of(&before, &trust);
        if !newer {
            return Ok(change);
        }
        let trust = Arc::new(trust);
        let after = before.after(trust.clone());
        change.withheld = self.journal.lost_between(&before, &after);
        change.back = self.journal.lost_between(&after, &before);
        tracing::warn!("{change}");
        if trust.is_self_signed() {
            self.journal.commit(Write::Operator(trust, Via::EditedFile)).await?;
        } else {
            self.gate.set_standing(after);
            self.bodies.enforce();
        }
        Ok(change)
    }

    /// Waits until the operator's file in an nsc folder was written, if that has not happened since the last time.
    pub async fn operator_edited(&self) {
        self.operator_edited.notified().await;
    }

    /// How many live accounts are withheld.
    pub fn withheld(&self) -> u64 {
        self.journal.withheld(&self.gate.standing())
    }
}
