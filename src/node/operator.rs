//! The operator JWT: how it changes, and what the log and the readiness report say of it.

use std::sync::Arc;

use super::write::Pushing;
use super::{Node, WriteError};
use crate::clock;
use crate::gate::operator::Way;
use crate::gate::{
    Actor, Gate, MANY_LINKS, MOST_LINKS, OperatorChain, OperatorChange, OperatorRefusal, Origin, Refusal, Trust, Via,
};
use crate::jwt::given;
use crate::key::PublicKey;
use crate::store::journal::AccountStatus;

/// Withheld accounts that are named in the log; the rest is counted.
const NAMED: usize = 20;

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
    pub async fn set_operator(&self, trust: Arc<Trust>) -> Result<OperatorChange, WriteError> {
        let change = self.backend.set_operator(trust).await?;
        self.operator_changed(&change);
        Ok(change)
    }

    /// Brings a pushed operator JWT into force: durable when this returns.
    ///
    /// `withhold`: how many accounts it may withhold at most. `is_admin`: whether a signing key may have signed it.
    pub async fn push_operator(
        &self,
        jwt: &[u8],
        withhold: u64,
        is_admin: bool,
        actor: Actor,
    ) -> Result<OperatorChange, WriteError> {
        let ledger = self.writable()?;
        let read = given(jwt).map_err(Refusal::from).and_then(|jwt| {
            Ok(Trust::from_operator_jwt(&jwt, clock::unix_seconds()).map_err(OperatorRefusal::Invalid)?)
        });
        let pushed = match read {
            Ok(trust) => ledger.push_operator(Arc::new(trust), withhold, is_admin, actor).await,
            Err(refusal) => Err(refusal.into()),
        };
        self.count(Via::Post, pushed.as_ref().map(|_| ()));
        self.pushed(Via::Post, Pushing::Operator, pushed.as_ref().err());
        let change = pushed?;
        self.operator_changed(&change);
        Ok(change)
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
            self.metrics().gate.operator_links.inc();
        }
    }

    /// The operator JWTs in force.
    pub fn operator_chain(&self) -> Option<Arc<OperatorChain>> {
        self.gate.standing().chain().cloned()
    }

    /// The keys that were withdrawn, each with the `iat` of the operator JWT that left it out, unix seconds.
    pub fn withdrawn_keys(&self) -> Vec<(PublicKey, i64)> {
        let mut keys: Vec<_> = self.gate.standing().withdrawn().map(|(key, iat)| (*key, iat)).collect();
        keys.sort_unstable();
        keys
    }

    /// Notes how the configured operator JWT was read at a reload.
    pub fn set_operator_file(&self, file: OperatorFile) {
        *self.operator_file.lock() = Some(file);
    }

    /// Why the configured operator JWT is not in force; `None`: it is, or none is configured.
    fn operator_file_differs(&self) -> Option<String> {
        let file = self.operator_file.lock().clone()?;
        file.difference(&self.gate, self.backend.operator_way())
    }

    /// How many accounts are withheld; `None` on a replica, which does not know all accounts.
    pub fn withheld(&self) -> Option<u64> {
        self.ledger().map(|ledger| ledger.withheld())
    }

    /// Whether there are accounts, and all of them are withheld. Not known on a replica.
    pub(super) fn withholds_all(&self) -> bool {
        self.ledger().is_some_and(|ledger| {
            let count = ledger.journal().count();
            count > 0 && ledger.withheld() >= count
        })
    }

    /// Writes into the log what is wrong with the operator JWT in force, and which accounts are withheld. Not waited for.
    pub fn report_operator(&self) {
        let Some(trust) = self.trust() else { return };
        if trust.is_expired(clock::unix_seconds()) {
            tracing::warn!(
                "the operator JWT of {} ({}) HAS EXPIRED at {}; it stays in force here, but nats-servers may reject it: \
                 sign a new one",
                trust.identity(),
                trust.name(),
                trust.exp()
            );
        }
        let Some(ledger) = self.ledger().cloned() else { return };
        let count = ledger.withheld();
        if count == 0 {
            return;
        }
        tracing::warn!(
            "{count} accounts are withheld, because the operator's JWT does not list the keys that signed them; re-sign the \
             accounts, or list the keys again"
        );
        let gate = self.gate.clone();
        tokio::task::spawn_blocking(move || match ledger.journal().withheld_accounts(&gate.standing(), NAMED) {
            Ok(accounts) => {
                for (key, issuer) in &accounts {
                    let account = match ledger.journal().status(key) {
                        Ok(AccountStatus::Live(stored)) => stored.entry.called(),
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
        if let Some(note) = self.backend.operator_note() {
            add(note);
        }
        detail
    }
}
