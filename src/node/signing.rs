//! The signing service signs account JWTs that the account itself signed. Its answer is treated like a push.
//!
//! Owners of accounts work without the operator's key that way: nsc pushes what the account signed, and gets at once what
//! the operator signed. An account's signature proves that its owner wanted these claims once, not that it still does.
//! Re-signed, they would be newer than everything. So the order of versions applies to a request, too
//! ([`Held::order_request`](crate::gate::Held::order_request)): before it is sent, and again when the answer is there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::write::Pushing;
use super::{Ledger, Node, Submitted, WriteError};
use crate::clock;
use crate::gate::{Actor, Held, Refusal, Sender, Via};
use crate::jwt::{self, AccountJwt};
use crate::key::AccountKey;

/// Requests that may wait for an answer at the same time.
const PLACES: usize = 64;
/// Seconds by which the signing service's clock may be ahead of those of the accounts.
const AHEAD: i64 = 60;
/// Seconds after a request was issued within which that is tolerated. An owner pushes an account right after editing it.
const FRESH: i64 = 300;
/// Accounts whose latest signed request is remembered.
const REMEMBERED: u64 = 100_000;
/// The longest text that an answer may be if it is no JWT, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// Asks the signing service.
pub trait Sign: std::fmt::Debug + Send + Sync {
    /// Sends an account JWT that the account itself signed. Gives back the answer, whatever it is.
    fn sign(&self, token: Bytes) -> BoxFuture<'_, Result<Bytes, NoAnswer>>;
}

/// Why the signing service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// There is no connection to NATS.
    #[error("there is no connection to NATS")]
    NotConnected,
    /// It did not come in time.
    #[error("no answer came within {0:?}")]
    TimedOut(Duration),
    /// Something else, as a NATS client words it.
    #[error("{0}")]
    Failed(String),
}

/// What became of an account JWT that was pushed.
#[derive(Debug)]
pub enum Pushed {
    /// It is stored now, or what the signing service made of it.
    Taken(Submitted),
    /// The signing service took note of it, and says this.
    Pending(String),
}

/// Why a JWT could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// An account key signed it, but not that of the account.
    #[error(
        "the issuer {issuer} is neither an operator key nor the account itself; only these can sign an account JWT"
    )]
    Issuer {
        /// The `iss` claim.
        issuer: String,
        /// Whether the account has a JWT here.
        held: bool,
    },
    /// Too many requests wait already.
    #[error("{PLACES} requests wait for the signing service already")]
    Busy,
    /// There is no answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The answer is neither a JWT nor a text.
    #[error("the answer is {0}")]
    Unreadable(String),
    /// The answer is a JWT that the operator cannot have meant.
    #[error("the JWT that it sent is refused: {0}")]
    Wrong(Refusal),
}

/// The signing service, and what is under way to it.
#[derive(Debug)]
pub(super) struct Signing {
    signer: Arc<dyn Sign>,
    places: Semaphore,
    /// `iat` of the latest request of an account that was signed. By the stored JWT alone, an earlier request
    /// could not be told from a later one of an account with a slow clock.
    signed: Cache<AccountKey, i64>,
}

/// A JWT that an account key signed, on its way.
struct SignRequest<'n> {
    node: &'n Node,
    ledger: &'n dyn Ledger,
    signing: &'n Signing,
    key: &'n AccountKey,
    /// Who pushed it.
    actor: Actor,
    claims: jwt::Registered,
}

impl Signing {
    pub(super) fn new(signer: Arc<dyn Sign>) -> Self {
        let kept = Duration::from_secs(FRESH.unsigned_abs() * 2);
        let signed = Cache::builder().max_capacity(REMEMBERED).time_to_live(kept).build();
        Self { signer, places: Semaphore::new(PLACES), signed }
    }
}

impl Node {
    /// Stores an account JWT that was pushed for `key`. If the account itself signed it and there is a signing service, that
    /// signs it first.
    pub async fn push(&self, token: &[u8], key: &AccountKey, actor: Actor) -> Result<Pushed, WriteError> {
        let ledger = self.writable()?;
        let sender = Sender::new(Via::Post, actor);
        let admitted = self.verify(ledger, token, Some(key), &sender).map_err(WriteError::from);
        if let (Some(signing), Err(WriteError::Refused(refusal @ Refusal::IssuerKind { .. }))) =
            (&self.signing, &admitted)
        {
            let result = self.have_signed(ledger, signing, token, (key, sender.actor)).await;
            if let Err(WriteError::Sign(SignError::Issuer { .. })) = &result {
                self.metrics.refused(Via::Post, refusal);
            }
            self.metrics.nats.sign_requests.inc([outcome(&result)]);
            return result;
        }
        if let Err(error) = &admitted {
            self.count(Via::Post, Err(error));
            self.pushed(Via::Post, Pushing::Account, Some(error));
        }
        Ok(Pushed::Taken(self.enqueue(admitted?, sender).await?.outcome(self).await?))
    }

    /// Requests that wait for an answer of the signing service.
    pub(super) fn sign_requests(&self) -> usize {
        self.signing.as_ref().map_or(0, |signing| PLACES - signing.places.available_permits())
    }

    /// Whether the signing service would be asked to sign what an account signed; an error: why not. `None`: there is none, or
    /// another account signed it.
    pub(super) async fn may_be_signed(&self, token: &[u8]) -> Option<Result<(), Refusal>> {
        let (ledger, signing) = (&**self.ledger()?, self.signing.as_ref()?);
        let claims = AccountJwt::decode(&jwt::given(token).ok()?).ok()?.claims;
        let key = &AccountKey::parse(&claims.sub).ok()?;
        let request = SignRequest { node: self, ledger, signing, key, actor: None, claims };
        match request.is_in_order().await {
            Ok(()) => Some(Ok(())),
            Err(WriteError::Refused(refusal)) => Some(Err(refusal)),
            Err(_) => None,
        }
    }

    async fn have_signed(
        &self,
        ledger: &dyn Ledger,
        signing: &Signing,
        token: &[u8],
        (key, actor): (&AccountKey, Actor),
    ) -> Result<Pushed, WriteError> {
        // Neither fails: the gate has read the same token before.
        let text = jwt::given(token).map_err(Refusal::from)?;
        let claims = AccountJwt::decode(&text).map_err(Refusal::from)?.claims;
        let request = SignRequest { node: self, ledger, signing, key, actor, claims };
        request.may_be_signed().await?;
        let unsigned = |error: SignError| {
            let error = error.into();
            self.pushed(Via::Post, Pushing::Account, Some(&error));
            error
        };
        let _place = signing.places.try_acquire().map_err(|_| unsigned(SignError::Busy))?;
        let signed = signing.signer.sign(Bytes::copy_from_slice(text.as_bytes())).await;
        let answer = signed.map_err(|why| unsigned(SignError::NoAnswer(why)))?;
        match other_than_jwt(&answer).map_err(unsigned)? {
            Some(text) => Ok(request.is_pending(text)),
            None => request.is_signed(&answer).await,
        }
    }
}

impl SignRequest<'_> {
    /// Whether the signing service may sign what the account signed. Counts what is rejected.
    async fn may_be_signed(&self) -> Result<(), WriteError> {
        let may_be = self.is_in_order().await;
        if let Err(WriteError::Refused(refusal)) = &may_be {
            self.node.metrics.refused(Via::Post, refusal);
        }
        if let Err(error) = &may_be {
            self.node.pushed(Via::Post, Pushing::Account, Some(error));
        }
        may_be
    }

    async fn is_in_order(&self) -> Result<(), WriteError> {
        let held = self.ledger.held(self.key).await.map_err(Arc::new)?;
        let claims = &self.claims;
        if claims.iss != claims.sub {
            return Err(SignError::Issuer { issuer: claims.iss.clone(), held: held.is_live() }.into());
        }
        Ok(self.order(&held, clock::unix_seconds())?)
    }

    fn order(&self, held: &Held, now: i64) -> Result<(), Refusal> {
        let (gate, iat) = (&self.node.gate, self.claims.iat);
        if gate.trust().is_none() {
            return Err(Refusal::NoOperator);
        }
        if gate.is_ahead(iat, now) {
            return Err(Refusal::FromTheFuture { ahead: iat.saturating_sub(now) });
        }
        let ahead = if now.saturating_sub(iat) <= FRESH { AHEAD } else { 0 };
        held.order_request(&(*self.key).into(), iat, ahead, &gate.standing())?;
        match self.signing.signed.get(self.key).filter(|last| *last > iat) {
            Some(last) => Err(Refusal::Older { held: last, offered: iat }),
            None => Ok(()),
        }
    }

    fn is_pending(&self, text: &str) -> Pushed {
        let key = self.key.text();
        let jti: String = self.claims.jti.chars().take(64).collect();
        tracing::info!(account = %key, "{} Initiated JWT signing process for {jti}", &key[..12]);
        Pushed::Pending(text.to_owned())
    }

    /// Stores what the signing service made of the request.
    async fn is_signed(&self, answer: &[u8]) -> Result<Pushed, WriteError> {
        // Something may have happened to the account since.
        self.may_be_signed().await?;
        let submitted =
            self.node.submit(answer, Some(self.key), Sender::new(Via::Post, self.actor.clone())).await.map_err(
                |error| match error {
                    // The fault is not the account's: whatever it sends, this must not come back.
                    WriteError::Refused(refusal) if refusal.is_foreign() => SignError::Wrong(refusal).into(),
                    error => error,
                },
            )?;
        let iat = self.claims.iat;
        let later = |last: Option<moka::Entry<_, i64>>| last.map_or(iat, |last| last.into_value().max(iat));
        self.signing.signed.entry(*self.key).and_upsert_with(later);
        Ok(Pushed::Taken(submitted))
    }
}

/// The text that an answer is, if it is not meant to be a JWT.
fn other_than_jwt(answer: &[u8]) -> Result<Option<&str>, SignError> {
    let text = std::str::from_utf8(answer)
        .map_err(|_| SignError::Unreadable(format!("{} bytes that are neither a JWT nor text", answer.len())))?;
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c));
    let parts = text.trim().split('.');
    if parts.clone().count() == 3 && parts.clone().all(is_part) {
        return Ok(None);
    }
    if text.len() > MAX_TEXT {
        let length = text.len();
        return Err(SignError::Unreadable(format!(
            "no JWT, and a text of {length} bytes: at most {MAX_TEXT} are passed on"
        )));
    }
    Ok(Some(text))
}

/// The label in metrics.
const fn outcome(result: &Result<Pushed, WriteError>) -> &'static str {
    match result {
        Ok(Pushed::Taken(_)) => "signed",
        Ok(Pushed::Pending(_)) => "pending",
        Err(WriteError::Failed(_)) => "failed",
        Err(WriteError::Sign(SignError::Busy)) => "busy",
        Err(WriteError::Sign(SignError::NoAnswer(NoAnswer::NotConnected))) => "not_connected",
        Err(WriteError::Sign(SignError::NoAnswer(NoAnswer::TimedOut(_)))) => "timeout",
        Err(WriteError::Sign(SignError::NoAnswer(NoAnswer::Failed(_)))) => "failed",
        Err(WriteError::Sign(SignError::Unreadable(_) | SignError::Wrong(_))) => "bad_answer",
        Err(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_jwt_or_a_text() {
        for jwt in ["a.b.c", " eyJ0.eyJ-_.x9\n"] {
            assert!(matches!(other_than_jwt(jwt.as_bytes()), Ok(None)), "{jwt:?}");
        }
        let texts =
            ["", "a", "a.b", "a.b.c.d", "a..c", "Filed. Thanks. Bye.", "https://tickets.example.com/7", "e. y. J"];
        for text in texts {
            assert!(matches!(other_than_jwt(text.as_bytes()), Ok(Some(kept)) if kept == text), "{text:?}");
        }
        let long = "x".repeat(MAX_TEXT);
        assert!(matches!(other_than_jwt(long.as_bytes()), Ok(Some(_))));
        assert!(matches!(other_than_jwt(format!("{long}x").as_bytes()), Err(SignError::Unreadable(_))));
        assert!(matches!(other_than_jwt(b"\xff\xfe"), Err(SignError::Unreadable(_))));
    }
}
