//! What a server says and does about its operator.

use std::sync::Arc;

use super::{LookupError, Node, Role, WriteError};
use crate::clock;
use crate::gate::operator::Way;
use crate::gate::{
    Gate, MANY_LINKS, MOST_LINKS, OperatorChain, OperatorChange, OperatorRefusal, Origin, Refusal, Trust, Via,
};
use crate::jwt::given;
use crate::key::{AccountKey, PublicKey};
use crate::primary::OperatorError;
use crate::store::journal::{CommitError, Presence};

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

/// Why a pushed operator JWT did not come into force.
#[derive(Debug, thiserror::Error)]
pub enum PushOperatorError {
    /// It cannot be changed here, or the gate or the journal said no.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It would withhold accounts.
    #[error("{0}")]
    Withholds(OperatorError),
}

/// The configured operator JWT as it was read last.
#[derive(Debug, Clone)]
pub struct OperatorFile {
    /// Where it was read from, for people.
    pub place: String,
    /// The JWT, or why it cannot be used.
    pub read: Result<Arc<Trust>, String>,
}

impl OperatorFile {
    /// Why it is not in force; `None`: it is.
    fn difference(&self, gate: &Gate, way: Way) -> Option<String> {
        let why = match &self.read {
            Err(problem) => problem.clone(),
            Ok(trust) => match gate.admit_operator(trust, &gate.arrival(way, clock::unix_seconds())) {
                Ok(None) => return None,
                Ok(Some(_)) => "it can be used by now: reload or restart this server".to_owned(),
                Err(refusal) => refusal.to_string(),
            },
        };
        Some(format!("{}, as it was read last, is not in force: {why}", self.place))
    }
}

impl Node {
    /// Brings another operator JWT into force, as a file has it. Says what it changed.
    pub async fn set_operator(&self, trust: Arc<Trust>) -> Result<OperatorChange, OperatorError> {
        let change = match self.role() {
            Role::Primary(primary) => primary.set_operator(trust, Way::File, None).await?,
            Role::Replica(replica) => replica.configure_operator(&trust).map_err(CommitError::from)?,
        };
        self.operator_changed(&change);
        Ok(change)
    }

    /// Brings a pushed operator JWT into force: durable when this returns.
    ///
    /// `withhold`: how many accounts it may withhold at most.
    pub async fn push_operator(&self, jwt: &[u8], withhold: u64) -> Result<OperatorChange, PushOperatorError> {
        let primary = self.writable()?;
        let read = given(jwt).map_err(Refusal::from).and_then(|jwt| {
            Ok(Trust::from_operator_jwt(&jwt, clock::unix_seconds()).map_err(OperatorRefusal::Invalid)?)
        });
        let trust = read.map_err(CommitError::from);
        let pushed = match trust {
            Ok(trust) => primary.set_operator(Arc::new(trust), Way::Post, Some(withhold)).await,
            Err(error) => Err(error.into()),
        };
        match pushed {
            Ok(change) => {
                self.metrics().accepted(Via::Post);
                self.operator_changed(&change);
                Ok(change)
            }
            Err(OperatorError::Commit(error)) => {
                self.count(Via::Post, Err(&error));
                Err(PushOperatorError::Write(error.into()))
            }
            Err(error) => Err(PushOperatorError::Withholds(error)),
        }
    }

    fn operator_changed(&self, change: &OperatorChange) {
        if change.changed {
            self.count_operator(change);
            if let Some(difference) = self.operator_file_differs() {
                tracing::warn!("the configured operator JWT {difference}");
            }
            self.report_operator();
        }
    }

    /// Counts a change that a signing key signed.
    pub fn count_operator(&self, change: &OperatorChange) {
        if change.by_signing_key.is_some() {
            self.metrics().operator_links.inc();
        }
    }

    /// The operator JWTs in force.
    pub fn operator_chain(&self) -> Option<Arc<OperatorChain>> {
        self.gate.standing().chain().cloned()
    }

    /// Notes how the configured operator JWT was read.
    pub fn set_operator_file(&self, file: OperatorFile) {
        *self.operator_file.lock() = Some(file);
    }

    /// Why the configured operator JWT is not in force; `None`: it is, or none is configured.
    fn operator_file_differs(&self) -> Option<String> {
        let way = match self.role() {
            Role::Primary(_) => Way::File,
            Role::Replica(_) => Way::FollowerFile,
        };
        let file = self.operator_file.lock().clone()?;
        file.difference(&self.gate, way)
    }

    /// How many accounts are withheld; `None` on a replica, which does not know all accounts.
    pub fn withheld(&self) -> Option<u64> {
        match self.role() {
            Role::Primary(primary) => Some(primary.withheld()),
            Role::Replica(_) => None,
        }
    }

    /// Whether there are accounts, and all of them are withheld. Not known on a replica.
    pub(super) fn withholds_all(&self) -> bool {
        match self.role() {
            Role::Primary(primary) => {
                let count = primary.journal().count();
                count > 0 && primary.withheld() >= count
            }
            Role::Replica(_) => false,
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
                for (key, issuer) in &accounts {
                    let account = match primary.journal().presence(key) {
                        Ok(Presence::Live(stored)) => stored.entry.called(),
                        _ => (*key).into(),
                    };
                    tracing::warn!(account = %key, "account {account} is withheld, it was signed by {issuer}");
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
        let Some(chain) = self.operator_chain() else { return "none configured: nothing can be pushed".into() };
        let trust = chain.in_force();
        let mut detail = format!("{} ({})", trust.identity(), trust.name());
        let mut add = |text: String| {
            detail.push_str("; ");
            detail.push_str(&text);
        };
        if trust.is_expired(clock::unix_seconds()) {
            add("its JWT HAS EXPIRED".into());
        }
        if !trust.is_self_signed() {
            add(format!("its JWT was signed by the signing key {}", trust.issuer()));
        }
        if chain.origin() == Origin::Trusted {
            add("the oldest JWT of its chain was trusted by hand".into());
        }
        if chain.len() >= MANY_LINKS {
            add(format!("{} of at most {MOST_LINKS} links: sign the next JWT with the identity key", chain.len()));
        }
        if let Some(count @ 1..) = self.withheld() {
            let all = if self.withholds_all() { ", and these are all" } else { "" };
            add(format!("{count} accounts are withheld, signed by keys that its JWT does not list{all}"));
        }
        if let Some(difference) = self.operator_file_differs() {
            add(format!("the configured JWT {difference}"));
        }
        if let Role::Replica(replica) = self.role()
            && let Some(why) = replica.operator_unconnected()
        {
            add(format!("the JWT of {} cannot be connected with it: {why}", replica.primary()));
        }
        detail
    }
}

impl From<Withheld> for LookupError {
    fn from(withheld: Withheld) -> Self {
        Self::Withheld(withheld)
    }
}
