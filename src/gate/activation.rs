//! Activations: an account's permission for another one to import something.
//!
//! The operator does not sign them. Their proof is a chain: the activation, the JWT of the account that issued it (or
//! that lists the signing key which did), the operator. So admission takes two steps: [`Gate::read_activation`] finds
//! the account that must vouch, and [`Unproven::prove`] checks its JWT. An admitted activation is served only while the
//! account vouches for it, so it is judged again when the account's JWT changes: [`Judged`].

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::entry::{Digest, Identity, etag, sha256};
use super::{Entry, Gate, Refusal, Version, Via};
use crate::excerpt::excerpt;
use crate::jwt::{AccountJwt, ActivationJwt, Called, HashId};
use crate::key::{AccountKey, Kind, PublicKey};

/// The largest activation, in bytes. They are a few hundred bytes long, and accounts push them without the operator.
const MAX_BYTES: usize = 64 << 10;

/// A verified activation, vouched for by an account when it was admitted.
#[derive(Debug, Clone)]
pub struct Activation {
    id: HashId,
    token: Bytes,
    etag: Bytes,
    digest: Digest,
    identity: Identity,
    issuer: PublicKey,
    account: AccountKey,
    jwt: ActivationJwt,
}

/// An activation that is sound in itself, before its account has vouched for it.
#[derive(Debug)]
pub struct Unproven(Activation);

/// What an activation was sent for, if its path says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct SentFor<'a> {
    /// The activation.
    pub id: Option<&'a HashId>,
    /// The key that signed it.
    pub issuer: Option<&'a AccountKey>,
}

impl<'a> SentFor<'a> {
    /// Any activation.
    pub const ANY: Self = Self { id: None, issuer: None };

    /// One activation, by any signer.
    pub const fn id(id: &'a HashId) -> Self {
        Self { id: Some(id), issuer: None }
    }
}

/// Why an activation is rejected, apart from the reasons of all tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationRefusal {
    /// Larger than any activation need be.
    #[error("the activation has {0} bytes; the limit is {MAX_BYTES}")]
    TooLarge(usize),
    /// An operator key signed it.
    #[error("the issuer {0} is not an account key")]
    Issuer(String),
    /// The importer is not an account.
    #[error("the subject {:?} is not an account key", excerpt(.0))]
    Subject(String),
    /// There is nothing to make its hash of.
    #[error("{}", excerpt(.0))]
    Hash(String),
    /// It was sent for another hash.
    #[error("the activation's hash is {found}, but it was sent for {expected}")]
    OtherHash {
        /// The activation's own.
        found: HashId,
        /// The requested one.
        expected: HashId,
    },
    /// It was sent as another key's.
    #[error("the activation was issued by {found}, but it was sent as one of {expected}")]
    OtherIssuer {
        /// The key that signed.
        found: PublicKey,
        /// The key that the path names.
        expected: AccountKey,
    },
    /// The subject it came on names no account key and hash.
    #[error("it was sent on a subject that does not name the account key that issued it, and its hash")]
    Unaddressed,
    /// Past its expiry.
    #[error("claim is expired")]
    Expired,
    /// The account that must vouch is not stored.
    #[error("the account {0} that issued the activation is not known here; push its JWT first")]
    UnknownAccount(AccountKey),
    /// The account that must vouch is withheld.
    #[error(
        "the JWT of the account {account} that issued the activation is withheld: the operator's JWT does not list the \
         key {issuer} that signed it"
    )]
    WithheldAccount {
        /// The account.
        account: AccountKey,
        /// The key that signed its JWT.
        issuer: PublicKey,
    },
    /// The account does not list the key that signed.
    #[error("the account {account} does not vouch for the key {issuer} that signed the activation")]
    NotVouched {
        /// The account.
        account: Called,
        /// The key that signed.
        issuer: PublicKey,
    },
    /// The account has revoked it.
    #[error("the account {0} has revoked the activation")]
    Revoked(Called),
    /// The account has as many activations as it may.
    #[error("the account {account} has {limit} activations here, which is the limit (store.activations_per_account)")]
    TooMany {
        /// The account.
        account: AccountKey,
        /// How many it may have.
        limit: u64,
    },
}

impl ActivationRefusal {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "undecodable",
            Self::Issuer(_) => "issuer_kind",
            Self::Subject(_) => "subject_kind",
            Self::Hash(_) | Self::OtherHash { .. } | Self::OtherIssuer { .. } | Self::Unaddressed => "malformed",
            Self::Expired => "time",
            Self::UnknownAccount(_) | Self::WithheldAccount { .. } => "unknown_account",
            Self::NotVouched { .. } => "untrusted",
            Self::Revoked(_) => "revoked",
            Self::TooMany { .. } => "quota",
        }
    }
}

impl Gate {
    /// Reads an activation, makes all checks that need no account, and names the account that must vouch.
    ///
    /// `now` is in unix seconds. An expired one is rejected on every path, because it would never be served.
    pub fn read_activation(
        &self,
        token: &[u8],
        sent_for: SentFor<'_>,
        via: Via,
        now: i64,
    ) -> Result<Unproven, Refusal> {
        let text = &*via.bare(token)?;
        if text.len() > MAX_BYTES {
            return Err(ActivationRefusal::TooLarge(text.len()).into());
        }
        let activation = Activation::read(text)?;
        if let Some(expected) = sent_for.id.filter(|expected| **expected != activation.id) {
            return Err(ActivationRefusal::OtherHash { found: activation.id, expected: *expected }.into());
        }
        if let Some(expected) = sent_for.issuer.filter(|expected| expected.raw() != activation.issuer.raw()) {
            return Err(ActivationRefusal::OtherIssuer { found: activation.issuer, expected: *expected }.into());
        }
        let issues = activation.jwt.validate(now);
        if issues.is_blocking(via.demands_valid_time()) {
            return Err(Refusal::Invalid(issues));
        }
        if activation.is_expired(now) {
            return Err(ActivationRefusal::Expired.into());
        }
        self.check_not_ahead(activation.iat(), via, now)?;
        Ok(Unproven(activation))
    }
}

impl Unproven {
    /// The account that must vouch.
    pub const fn account(&self) -> &AccountKey {
        &self.0.account
    }

    /// Which activation it is.
    pub const fn id(&self) -> &HashId {
        &self.0.id
    }

    /// The facts that order it.
    pub const fn version(&self) -> Version {
        self.0.version()
    }

    /// Admits it if the account's JWT vouches for it. That JWT must be the one that is served now.
    pub fn prove(self, account: &Entry) -> Result<Activation, Refusal> {
        self.0.judge(account)?;
        Ok(self.0)
    }
}

impl Activation {
    /// The checks and their order are those of the Go server's POST.
    fn read(text: &str) -> Result<Self, Refusal> {
        let decoded = ActivationJwt::decode(text)?;
        let claims = &decoded.claims;
        let issuer = PublicKey::parse_kind(&claims.iss, Kind::Account)
            .map_err(|_| ActivationRefusal::Issuer(claims.iss.clone()))?;
        if AccountKey::parse(&claims.sub).is_err() {
            return Err(ActivationRefusal::Subject(claims.sub.clone()).into());
        }
        let id = HashId::of(&claims.iss, &claims.sub, &decoded.body.subject)
            .map_err(|error| ActivationRefusal::Hash(error.to_string()))?;
        let named = &decoded.body.issuer_account;
        // The rules for the claims find a name that is no account.
        let account = AccountKey::parse(named).unwrap_or(AccountKey::from_raw(*issuer.raw()));
        let token = Bytes::copy_from_slice(text.as_bytes());
        let (digest, identity) = (sha256(&token), sha256(decoded.signing_input(text).as_bytes()));
        Ok(Self { id, etag: etag(&digest), token, digest, identity, issuer, account, jwt: decoded })
    }

    /// Makes an activation from what an earlier admission left in the journal. `None`: its bytes are not those.
    pub fn reopen(token: &[u8], digest: &Digest) -> Option<Self> {
        if sha256(token) != *digest {
            return None;
        }
        Self::read(std::str::from_utf8(token).ok()?).ok()
    }

    /// Whether an account's JWT vouches for it.
    pub fn judge(&self, account: &Entry) -> Result<(), Refusal> {
        let vouching = AccountJwt::decode(account.text())?;
        let claims = &self.jwt.claims;
        let called = || Called::new(self.account, vouching.claims.name.clone());
        if *account.key() != self.account || !vouching.did_sign(&claims.iss, &self.jwt.body.issuer_account) {
            return Err(ActivationRefusal::NotVouched { account: called(), issuer: self.issuer }.into());
        }
        if vouching.revokes(&self.jwt) {
            return Err(ActivationRefusal::Revoked(called()).into());
        }
        Ok(())
    }

    /// Which activation it is.
    pub const fn id(&self) -> &HashId {
        &self.id
    }

    /// The exact text, as it is stored and served.
    pub const fn token(&self) -> &Bytes {
        &self.token
    }

    /// The text as a string: a decoded token is ASCII.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.token).unwrap_or_default()
    }

    /// The strong entity tag, in quotes, made from the bytes.
    pub const fn etag(&self) -> &Bytes {
        &self.etag
    }

    /// SHA-256 of the text.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// SHA-256 of the signing input.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The facts that order it.
    pub const fn version(&self) -> Version {
        Version { iat: self.iat(), identity: self.identity, issuer: self.issuer }
    }

    /// The key that signed it: the account's own or a signing key of it.
    pub const fn issuer(&self) -> &PublicKey {
        &self.issuer
    }

    /// The account that vouches for it, which exports.
    pub const fn account(&self) -> &AccountKey {
        &self.account
    }

    /// The key of the account that may import, as text.
    pub fn importer(&self) -> &str {
        &self.jwt.claims.sub
    }

    /// The subject that may be imported.
    pub fn subject(&self) -> &str {
        &self.jwt.body.subject
    }

    /// Issue time, unix seconds.
    pub const fn iat(&self) -> i64 {
        self.jwt.claims.iat
    }

    /// Expiry, unix seconds; 0 is never.
    pub const fn exp(&self) -> i64 {
        self.jwt.claims.exp
    }

    /// Whether it is past its expiry.
    pub const fn is_expired(&self, now: i64) -> bool {
        self.exp() > 0 && now > self.exp()
    }
}

/// A stored activation, and its last verdict.
#[derive(Debug)]
pub struct Judged {
    activation: Arc<Activation>,
    /// The account JWT of its last verdict, and the fault that this JWT showed.
    last: Mutex<Option<(Identity, Option<String>)>>,
}

impl Judged {
    /// An activation that is still to be judged.
    pub const fn new(activation: Arc<Activation>) -> Self {
        Self { activation, last: Mutex::new(None) }
    }

    /// The activation.
    pub const fn activation(&self) -> &Arc<Activation> {
        &self.activation
    }

    /// Why it may not be served, by the account's JWT as it is now. Looked into once for each JWT of the account.
    pub fn fault(&self, account: &Entry) -> Option<String> {
        let mut last = self.last.lock();
        match &*last {
            Some((by, fault)) if by == account.identity() => fault.clone(),
            _ => {
                let fault = self.activation.judge(account).err().map(|refusal| refusal.to_string());
                *last = Some((*account.identity(), fault.clone()));
                fault
            }
        }
    }
}
