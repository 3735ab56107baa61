//! A replica without an operator of its own pins the one that its primary shows first.

use std::sync::Arc;
use std::time::Duration;

use super::Operators;
use crate::clock;
use crate::gate::{OperatorChain, Trust, TrustError, Via};

/// How often a primary that shows no operator is asked again.
const AGAIN: Duration = Duration::from_secs(5);

impl Operators {
    /// Asks the primary for its operator until it shows one, and trusts that one from then on.
    ///
    /// It is what an old configuration without an operator gets, and better than nothing; but it is the primary's word,
    /// so such a replica cannot tell a lying primary from an honest one.
    pub(in crate::replica) async fn pin(self: Arc<Self>) {
        // One may be configured while this one is asked for.
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

    /// Begins with the oldest of the operator JWTs that the primary has in force; the others follow from it.
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
