//! Admission: is this token genuine, ours, and sound?

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;

use super::entry::Entry;
use super::operator::{self, Arrival, Way};
use super::{OperatorChain, Refusal, Standing, Trust, Via};
use crate::jwt::AccountJwt;
use crate::key::{AccountKey, Kind, PublicKey};

/// The one function through which every token enters, and the trust it decides by.
#[derive(Debug)]
pub struct Gate {
    standing: ArcSwap<Standing>,
    /// The configured one; else the trusted operator names it.
    system_account: Option<AccountKey>,
    max_iat_ahead: i64,
}

impl Gate {
    /// A gate that trusts one operator, or none.
    ///
    /// Without an operator nobody can change anything. Tokens of a folder or an older primary are then served after
    /// checks of their own consistency. `max_iat_ahead`: seconds by which `iat` may be ahead of the clock.
    pub fn new(trust: Option<Trust>, system_account: Option<AccountKey>, max_iat_ahead: i64) -> Self {
        let chain = trust.map(|trust| Arc::new(OperatorChain::begin(Arc::new(trust))));
        let standing = ArcSwap::from_pointee(Standing::restore(chain, HashMap::new()));
        Self { standing, system_account, max_iat_ahead }
    }

    /// The operator that is trusted now.
    pub fn trust(&self) -> Option<Arc<Trust>> {
        self.standing.load().trust().cloned()
    }

    /// Which keys count now.
    pub fn standing(&self) -> Guard<Arc<Standing>> {
        self.standing.load()
    }

    /// Whether what this key signed may be served now.
    pub fn vouches(&self, issuer: &PublicKey) -> bool {
        self.standing.load().vouches(issuer)
    }

    /// Other keys count from now on. Admitted tokens are not checked again here: their holder must ask
    /// [`Gate::vouches`].
    pub fn set_standing(&self, standing: Standing) {
        self.standing.store(Arc::new(standing));
    }

    /// Trusts another operator JWT from now on, whatever is in force.
    #[cfg(test)]
    pub(crate) fn set_trust(&self, trust: Trust) {
        let chain = Arc::new(OperatorChain::begin(Arc::new(trust)));
        self.standing.rcu(|standing| standing.after(chain.clone()));
    }

    /// How an operator JWT comes that comes now. `now` is in unix seconds.
    pub const fn arrival(&self, way: Way, now: i64) -> Arrival {
        Arrival { way, now, max_iat_ahead: self.max_iat_ahead }
    }

    /// The chain after an operator JWT. `Ok(None)`: it is in force already. Without an operator, the chain begins with it.
    pub fn admit_operator(&self, offered: &Arc<Trust>, arrival: &Arrival) -> Result<Option<OperatorChain>, Refusal> {
        match self.standing.load().chain() {
            Some(chain) => Ok(operator::admit(chain, offered, arrival)?),
            None => Ok(Some(OperatorChain::begin(offered.clone()))),
        }
    }

    /// The system account, which no delete request may name.
    pub fn system_account(&self) -> Option<AccountKey> {
        self.system_account.or_else(|| self.standing.load().trust().and_then(|trust| trust.system_account().copied()))
    }

    /// Admits an account JWT.
    ///
    /// `expected` is the account it was sent for, if the path says so. `now` is in unix seconds. The checks come in the
    /// order of the Go server's POST, so that a client sees the same finding first. What surrounds the token is not part
    /// of it and is dropped: white space, and more where a person gives it ([`Via::is_given`]).
    pub fn admit(&self, token: &[u8], expected: Option<&AccountKey>, via: Via, now: i64) -> Result<Entry, Refusal> {
        let text = &*via.bare(token)?;
        let standing = self.standing.load();
        let decoded = AccountJwt::decode_of(text, standing.signers())?;
        let claims = &decoded.claims;
        if let Some(expected) = expected
            && claims.sub != expected.text()
        {
            return Err(Refusal::WrongAccount {
                subject: claims.sub.clone(),
                name: claims.name.clone(),
                expected: *expected,
            });
        }
        let issuer = PublicKey::parse_kind(&claims.iss, Kind::Operator)
            .map_err(|_| Refusal::IssuerKind { issuer: claims.iss.clone(), self_signed: claims.iss == claims.sub })?;
        let key = AccountKey::parse(&claims.sub).map_err(|_| Refusal::SubjectKind(claims.sub.clone()))?;
        self.check_issuer(&claims.iss, via)?;
        let issues = decoded.validate(now);
        if issues.is_blocking(via.demands_valid_time()) {
            return Err(Refusal::Invalid(issues));
        }
        self.check_not_ahead(claims.iat, via, now)?;
        let token = Bytes::copy_from_slice(text.as_bytes());
        Ok(Entry::new(key, token, decoded.signing_input(text), issuer, claims.iat, claims.exp))
    }

    /// Whether `iat` is ahead of the clock by more than is tolerated: kept on some paths, but worth a warning.
    pub const fn is_ahead(&self, iat: i64, now: i64) -> bool {
        iat.saturating_sub(now) > self.max_iat_ahead
    }

    pub(super) fn check_not_ahead(&self, iat: i64, via: Via, now: i64) -> Result<(), Refusal> {
        if via.demands_valid_time() && self.is_ahead(iat, now) {
            return Err(Refusal::FromTheFuture { ahead: iat.saturating_sub(now) });
        }
        Ok(())
    }

    fn check_issuer(&self, issuer: &str, via: Via) -> Result<(), Refusal> {
        let standing = self.standing.load();
        let Some(trust) = standing.trust() else {
            // Without an operator, a folder or an older primary is the only authority.
            return match via {
                Via::FirstScan
                | Via::Import
                | Via::EditedFile
                | Via::Configured
                | Via::Upstream
                | Via::Feed
                | Via::Promotion => Ok(()),
                Via::Post | Via::Update | Via::Pack | Via::Hint => Err(Refusal::NoOperator),
            };
        };
        if trust.vouches(issuer) {
            Ok(())
        } else if trust.is_identity(issuer) {
            Err(Refusal::IdentityKeyUsed(issuer.to_owned()))
        } else {
            Err(Refusal::Untrusted(issuer.to_owned()))
        }
    }
}
