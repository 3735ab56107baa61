//! Which operator JWT is in force on a primary: the configured one or the journal's, and how another takes its place.

use std::sync::Arc;

use super::{Primary, split};
use crate::clock;
use crate::gate::operator::{Begun, Way, begin as decide};
use crate::gate::{Actor, Gate, OperatorChange, Refusal, Sender, Standing, Trust, Via};
use crate::key::PublicKey;
use crate::node::WriteError;
use crate::store::StoreError;
use crate::store::journal::{CommitError, Committing, Journal, JournalReader, OperatorWrite, Write};

/// What the configured JWT changed, and the commit of that.
type Started = (Option<OperatorChange>, Option<Committing>);

/// Decides at start between the operator JWT that is configured, which the gate has, and those in the journal.
pub(super) fn begin(journal: &Journal, gate: &Gate, change_to: Option<&PublicKey>) -> Result<Started, StoreError> {
    let kept = journal.operator()?.map(Arc::new);
    let configured = gate.trust();
    let before = Standing::restore(kept.clone(), journal.withdrawn()?);
    let arrival = gate.arrival(Way::File, clock::unix_seconds());
    let begun = decide(kept.as_deref(), configured.as_ref(), change_to, &arrival).map_err(|refusal| {
        let reason = format!("cannot start with the configured operator JWT: {refusal}");
        StoreError::unusable(journal.path(), reason)
    })?;
    let chain = match begun {
        Begun::Kept => None,
        Begun::Refused(refusal) => {
            tracing::warn!("the configured operator JWT is not used; the one in the journal stays in force: {refusal}");
            None
        }
        Begun::First(chain) | Begun::Next(chain) => Some(chain),
        Begun::Changed(chain) => {
            tracing::warn!(
                "the operator changes to {}: what the keys of the former one signed is withheld",
                chain.anchor().identity()
            );
            Some(chain)
        }
    };
    let Some(chain) = chain else {
        gate.set_standing(before);
        return Ok((None, None));
    };
    let chain = Arc::new(chain);
    let after = before.after(chain.clone());
    let mut change = OperatorChange::to(&before, &chain);
    if kept.is_some() {
        count(journal, &mut change, &before, &after);
        change.log();
    } else {
        chain.log_first();
    }
    gate.set_standing(after);
    let commit = journal.commit_soon(Write::Operator(OperatorWrite::Set(chain)));
    Ok((kept.is_some().then_some(change), commit))
}

fn count(journal: &JournalReader, change: &mut OperatorChange, before: &Standing, after: &Standing) {
    change.withheld = journal.lost_between(before, after);
    change.back = journal.lost_between(after, before);
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

    /// What the configured operator JWT changed at the start; not at a first one.
    pub const fn operator_begun(&self) -> Option<&OperatorChange> {
        self.operator_begun.as_ref()
    }

    /// Brings another operator JWT into force: durable when this returns. Says what it changes.
    ///
    /// `withhold`: how many accounts it may withhold at most; `None` is no limit.
    pub async fn set_operator(
        &self,
        trust: Arc<Trust>,
        way: Way,
        withhold: Option<u64>,
        actor: Actor,
    ) -> Result<OperatorChange, WriteError> {
        let (offered, sender) = (trust.clone(), Sender::new(Via::Post, actor));
        let changed = self.set_operator_from(trust, way, withhold, &sender).await;
        changed.inspect_err(|error| {
            if way.is_post() {
                self.audit_operator(&offered, error, &sender);
            }
        })
    }

    async fn set_operator_from(
        &self,
        trust: Arc<Trust>,
        way: Way,
        withhold: Option<u64>,
        sender: &Sender,
    ) -> Result<OperatorChange, WriteError> {
        let _turn = self.operator_turn.lock().await;
        let before = Arc::clone(&self.gate.standing());
        let arrival = self.gate.arrival(way, clock::unix_seconds());
        let admitted = self.gate.admit_operator(&trust, &arrival)?;
        let Some(chain) = admitted else { return Ok(OperatorChange::none(&before, &trust)) };
        if before.chain().is_none() && way.is_post() {
            return Err(CommitError::from(Refusal::NoOperator).into());
        }
        let mut change = OperatorChange::to(&before, &chain);
        count(&self.journal, &mut change, &before, &before.after(Arc::new(chain)));
        if withhold.is_some_and(|most| change.withheld > most) {
            return Err(WriteError::Withholds { would: change.withheld });
        }
        self.may_commit()?;
        let write = Write::Operator(OperatorWrite::Offer(trust, arrival));
        let (_, serial) = split(self.journal.commit_by(write, sender.actor.clone()).await?);
        change.log();
        self.audited(serial).await?;
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
