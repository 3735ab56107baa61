//! A replica without an operator trusts the first one that its primary shows.

use std::sync::Arc;
use std::time::Duration;

use super::Operators;
use crate::clock;
use crate::gate::{OperatorChain, Trust, TrustError, Via};

/// The pause before a primary that shows no operator is asked again.
const AGAIN: Duration = Duration::from_secs(5);

impl Operators {
    /// Asks the primary for its operator until it shows one. See
    /// [`Replica::pin_operator`](crate::replica::Replica::pin_operator).
    pub(in crate::replica) async fn pin(self: Arc<Self>) {
        // One may be configured during the request.
        while self.env.gate.trust().is_none() {
            match self.upstream.operator_chain().await {
                Ok(Some(links)) => match self.adopt(&links) {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(
                            "the operator JWT of the primary {} is rejected: {error}",
                            self.upstream.shown()
                        );
                    }
                },
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!("the primary {} does not show its operator: {error}", self.upstream.shown());
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Begins with the oldest operator JWT that the primary has in force. The others follow from it.
    fn adopt(self: &Arc<Self>, links: &[String]) -> Result<(), TrustError> {
        let Some(first) = links.first() else { return Ok(()) };
        let first = Arc::new(Trust::from_operator_jwt(first, clock::unix_seconds())?);
        {
            let _turn = self.turn.lock();
            let standing = Arc::clone(&self.env.gate.standing());
            if standing.chain().is_some() {
                return Ok(());
            }
            tracing::warn!(
                "the operator {} ({}) is trusted because the primary {} shows it; configure it here to be safe from a \
                 primary that lies",
                first.identity(),
                first.name(),
                self.upstream.shown()
            );
            self.stand_by(standing.after(Arc::new(OperatorChain::begin(first))));
        }
        let links: Vec<_> = links.iter().map(String::as_str).collect();
        self.apply(&links, Via::Upstream);
        Ok(())
    }
}
