//! Activations as the edges ask for them.

use std::sync::Arc;

use super::{LookupError, Miss, Node, Role, WriteError};
use crate::clock;
use crate::gate::{Activation, ActivationRefusal, Judged, Refusal, SentFor, Via};
use crate::jwt::HashId;
use crate::primary::SubmittedActivation;
use crate::store::journal::CommitError;

/// What there is to say about an activation.
#[derive(Debug, Clone)]
pub enum ActivationAnswer {
    /// Its account vouches for it now.
    Served(Arc<Activation>),
    /// It is held, and may not be served; the text says why.
    Refused(String),
    /// There is none, or it has expired.
    Absent,
}

impl Node {
    /// Takes in an activation: durable when this returns.
    ///
    /// Files that are found at start come by [`Via::FirstScan`].
    pub async fn submit_activation(
        &self,
        token: &[u8],
        sent_for: SentFor<'_>,
        via: Via,
    ) -> Result<SubmittedActivation, WriteError> {
        let result = self.writable()?.submit_activation(token, sent_for, via).await;
        self.count(via, result.as_ref().map(|_| ()));
        let submitted = result?;
        if submitted.changed {
            let activation = &submitted.activation;
            tracing::info!(
                account = %activation.account(),
                via = via.label(),
                "updated activation JWT - {}-{} - {:?}",
                short(&activation.issuer().text()),
                short(activation.importer()),
                activation.subject()
            );
        }
        Ok(submitted)
    }

    /// Takes in an activation that others tell of: a change on a primary, on a replica a hint. `sent_for` is `None` if
    /// what it came by names none.
    pub async fn hear_activation(&self, token: &[u8], sent_for: Option<SentFor<'_>>) -> Result<(), WriteError> {
        let unaddressed = || Err(Refusal::from(ActivationRefusal::Unaddressed));
        let (via, taken) = match (self.role(), sent_for) {
            (Role::Primary(_), Some(sent_for)) => {
                return self.submit_activation(token, sent_for, Via::Update).await.map(drop);
            }
            (Role::Primary(_), None) => (Via::Update, unaddressed()),
            (Role::Replica(replica), Some(sent_for)) => (Via::Hint, replica.hint_activation(token, sent_for)),
            (Role::Replica(_), None) => (Via::Hint, unaddressed()),
        };
        match taken {
            Ok(true) => self.metrics.accepted(via),
            Ok(false) => {}
            Err(refusal) => {
                self.metrics.refused(via, &refusal);
                return Err(CommitError::from(refusal).into());
            }
        }
        Ok(())
    }

    /// What there is to do about an activation that is not at hand. A primary looks.
    pub fn miss_activation(&self, id: &HashId) -> Miss {
        match self.role() {
            Role::Primary(_) => Miss::Ask,
            Role::Replica(replica) => replica.miss_activation(id),
        }
    }

    /// The activation of a hash, if the account that issued it vouches for it now.
    pub async fn activation(&self, id: &HashId) -> Result<ActivationAnswer, LookupError> {
        let found = match self.role() {
            Role::Primary(primary) => primary.look_up_activation(id).await?,
            Role::Replica(replica) => replica.activation(id).await?,
        };
        let Some(judged) = found.filter(|judged| !judged.activation().is_expired(clock::unix_seconds())) else {
            return Ok(ActivationAnswer::Absent);
        };
        let fault = self.fault(&judged).await?;
        Ok(fault.map_or_else(|| ActivationAnswer::Served(judged.activation().clone()), ActivationAnswer::Refused))
    }

    async fn fault(&self, judged: &Judged) -> Result<Option<String>, LookupError> {
        let account = judged.activation().account();
        let answer = match self.get_now(account) {
            Some(answer) => Some(answer),
            None => match self.get(account).await {
                Ok(answer) => answer,
                Err(LookupError::Withheld(withheld)) => return Ok(Some(withheld.to_string())),
                Err(error) => return Err(error),
            },
        };
        Ok(match answer {
            Some(answer) => judged.fault(answer.entry()),
            None => Some(format!("the account {account} that issued the activation is not held any more")),
        })
    }
}

/// As much of a key as tells it apart in the log, as in the lines of old.
fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}
