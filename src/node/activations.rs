//! Activations as the edges ask for them.

use super::{ActivationAnswer, LookupError, Miss, Node, Role, SubmittedActivation, WriteError};
use crate::clock;
use crate::gate::{ActivationRefusal, Judged, Refusal, SentFor, Via};
use crate::jwt::HashId;

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
        let result = self.writable()?.submit_activation(token, sent_for, via).await.map_err(Into::into);
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
        let (via, taken) = match (&self.role, sent_for) {
            (Role::Primary(_), Some(sent_for)) => {
                return self.submit_activation(token, sent_for, Via::Update).await.map(drop);
            }
            (Role::Replica(replica), Some(sent_for)) => (Via::Hint, replica.hint_activation(token, sent_for)),
            (role, None) => {
                let via = if matches!(role, Role::Primary(_)) { Via::Update } else { Via::Hint };
                (via, Err(Refusal::from(ActivationRefusal::Unaddressed)))
            }
        };
        match taken {
            Ok(true) => self.metrics.accepted(via),
            Ok(false) => {}
            Err(refusal) => {
                self.metrics.refused(via, &refusal);
                return Err(refusal.into());
            }
        }
        Ok(())
    }

    /// What to do about an activation that is not at hand. A primary looks.
    pub fn miss_activation(&self, id: &HashId) -> Miss {
        self.backend.miss_activation(id)
    }

    /// The activation of a hash, if the account that issued it vouches for it now.
    pub async fn activation(&self, id: &HashId) -> Result<ActivationAnswer, LookupError> {
        let found = self.backend.activation(id).await?;
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
