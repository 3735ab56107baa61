//! A replica without an operator of its own pins the one that its primary shows first.

use std::time::Duration;

use super::Replica;
use crate::clock;
use crate::gate::Trust;

/// How often a primary that shows no operator is asked again.
const AGAIN: Duration = Duration::from_secs(5);

impl Replica {
    /// Asks the primary for its operator until it shows one, and trusts that one from then on.
    ///
    /// It is what an old configuration without an operator gets, and better than nothing; but it is the primary's word,
    /// so such a replica cannot tell a lying primary from an honest one.
    pub async fn pin_operator(&self) {
        // One may be configured while this one is asked for.
        while self.gate.trust().is_none() {
            match self
                .upstream
                .operator()
                .await
                .map(|shown| shown.map(|jwt| Trust::from_operator_jwt(&jwt, clock::unix_seconds())))
            {
                Ok(Some(Ok(trust))) => {
                    tracing::warn!(
                        "the operator {} ({}) is trusted because the primary {} shows it; configure it here to be \
                         safe from a primary that lies",
                        trust.identity(),
                        trust.name(),
                        self.primary()
                    );
                    self.gate.set_trust(trust);
                    self.keeping.note_operator();
                    self.enforce();
                    return;
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!("the operator JWT of the primary {} is refused: {error}", self.primary());
                }
                Ok(None) => {}
                Err(error) => tracing::debug!("the primary {} does not show its operator: {error}", self.primary()),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
