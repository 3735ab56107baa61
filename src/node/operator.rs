//! What a server says and does about its operator.

use super::{LookupError, Node, Role};
use crate::clock;
use crate::gate::{OperatorChange, Trust};
use crate::key::{AccountKey, PublicKey};
use crate::store::journal::CommitError;

/// Withheld accounts that are named in the log; the rest is counted.
const NAMED: usize = 20;

/// A JWT that is held, but was signed by a key for which the operator does not vouch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the JWT of account {account} is withheld: the operator's JWT does not list the key {issuer} that signed it; sign the \
     account again with a key that it lists, or list that key again"
)]
pub struct Withheld {
    /// The account.
    pub account: AccountKey,
    /// The key that signed its JWT.
    pub issuer: PublicKey,
}

impl Node {
    /// Brings another operator JWT into force, as a file has it: the configured operator's newest, and no older than the
    /// one in force. Says what it changed.
    pub async fn set_operator(&self, trust: Trust) -> Result<OperatorChange, CommitError> {
        let change = match self.role() {
            Role::Primary(primary) => primary.set_operator(trust).await?,
            Role::Replica(replica) => replica.configure_operator(trust)?,
        };
        if change.changed {
            self.report_operator();
        }
        Ok(change)
    }

    /// How many accounts are withheld; `None` on a replica, which does not know all accounts.
    pub fn withheld(&self) -> Option<u64> {
        match self.role() {
            Role::Primary(primary) => Some(primary.withheld()),
            Role::Replica(_) => None,
        }
    }

    /// Writes into the log what is wrong with the operator JWT in force, and which accounts are withheld. Not waited for.
    pub fn report_operator(&self) {
        let Some(trust) = self.trust() else { return };
        if trust.is_expired(clock::unix_seconds()) {
            tracing::warn!(
                "the operator JWT of {} ({}) HAS EXPIRED at {}; it goes on counting here, but nats-servers may refuse it: \
                 sign a new one",
                trust.identity(),
                trust.name(),
                trust.exp()
            );
        }
        let Role::Primary(primary) = self.role() else { return };
        let count = primary.withheld();
        if count == 0 {
            return;
        }
        tracing::warn!(
            "{count} accounts are withheld, because the operator's JWT does not list the keys that signed them; sign them \
             again, or list the keys again"
        );
        let (primary, gate) = (primary.clone(), self.gate.clone());
        tokio::task::spawn_blocking(move || match primary.journal().withheld_accounts(&gate.standing(), NAMED) {
            Ok(accounts) => {
                for (account, issuer) in &accounts {
                    tracing::warn!(account = %account, "account {account} is withheld, it was signed by {issuer}");
                }
                if accounts.len() == NAMED && count > NAMED as u64 {
                    tracing::warn!("the other withheld accounts are counted, not named");
                }
            }
            Err(error) => tracing::error!("cannot tell which accounts are withheld: {error}"),
        });
    }

    /// What the readiness report says of the operator.
    pub(super) fn operator_detail(&self) -> String {
        let Some(trust) = self.trust() else { return "none configured: nothing can be pushed".into() };
        let mut detail = format!("{} ({})", trust.identity(), trust.name());
        if trust.is_expired(clock::unix_seconds()) {
            detail.push_str("; its JWT HAS EXPIRED");
        }
        if let Some(count @ 1..) = self.withheld() {
            detail.push_str(&format!("; {count} accounts are withheld, signed by keys that its JWT does not list"));
        }
        detail
    }
}

impl From<Withheld> for LookupError {
    fn from(withheld: Withheld) -> Self {
        Self::Withheld(withheld)
    }
}
