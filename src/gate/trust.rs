//! Whose signature counts: the operator's JWT, its identity key and its signing keys.

use bytes::Bytes;

use super::entry::{Identity, sha256};
use super::refusal::told;
use crate::excerpt::{excerpt, excerpt_of};
use crate::jwt::{self, DecodeError, OperatorJwt};
use crate::key::{AccountKey, Kind, PublicKey};

/// The keys of one operator, taken from its JWT.
#[derive(Debug)]
pub struct Trust {
    token: Bytes,
    jwt: OperatorJwt,
    identity: PublicKey,
    /// The keys that may sign account JWTs.
    keys: Vec<PublicKey>,
    version: Identity,
    system_account: Option<AccountKey>,
    warnings: Vec<String>,
}

/// Why an operator JWT cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not an operator JWT, or its signature is wrong.
    #[error("not a valid operator JWT: {}", told(.0))]
    Decode(#[from] DecodeError),
    /// The subject is not an operator key.
    #[error("the operator JWT's subject {:?} is not an operator key", excerpt(.0))]
    Subject(String),
    /// A blocking rule is violated.
    #[error("the operator JWT is not valid: {}", excerpt_of(.0, 1024))]
    Invalid(String),
}

impl Trust {
    /// Reads a bare operator JWT; white space at its end does not count. `now` is in unix seconds.
    ///
    /// The signature is checked, but not whose it is: that is [`super::operator::admit`]'s to judge. What nats-servers
    /// tolerate in their own operator JWT is a warning: odd addresses, and that it has expired.
    pub fn from_operator_jwt(text: &str, now: i64) -> Result<Self, TrustError> {
        let token = text.trim_ascii_end();
        let operator = OperatorJwt::decode(token)?;
        let subject = &operator.claims.sub;
        let identity =
            PublicKey::parse_kind(subject, Kind::Operator).map_err(|_| TrustError::Subject(subject.clone()))?;
        let blocking = operator.unusable();
        if !blocking.is_empty() {
            return Err(TrustError::Invalid(texts(&blocking).join("; ")));
        }
        let mut warnings = texts(&operator.validate(now));
        if operator.body.strict_signing_key_usage && operator.body.signing_keys.is_empty() {
            warnings.push("strict signing key usage is on, but there is no signing key: no JWT can be accepted".into());
        }
        let system_account = AccountKey::parse(&operator.body.system_account).ok();
        let own = (!operator.body.strict_signing_key_usage).then_some(identity);
        let listed =
            operator.body.signing_keys.iter().filter_map(|key| PublicKey::parse_kind(key, Kind::Operator).ok());
        let mut keys: Vec<_> = own.into_iter().chain(listed).collect();
        keys.sort_unstable();
        keys.dedup();
        let version = sha256(operator.signing_input(token).as_bytes());
        let token = Bytes::copy_from_slice(token.as_bytes());
        Ok(Self { token, jwt: operator, identity, keys, version, system_account, warnings })
    }

    /// The operator JWT, exactly as given, without decoration.
    pub const fn token(&self) -> &Bytes {
        &self.token
    }

    /// The operator's identity key.
    pub const fn identity(&self) -> &PublicKey {
        &self.identity
    }

    /// The operator's name.
    pub fn name(&self) -> &str {
        &self.jwt.claims.name
    }

    /// The token as a string: a decoded token is ASCII.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.token).unwrap_or_default()
    }

    /// SHA-256 of the operator JWT's signing input: which version of it this is.
    pub const fn version(&self) -> &Identity {
        &self.version
    }

    /// When the operator JWT was issued, unix seconds.
    pub const fn iat(&self) -> i64 {
        self.jwt.claims.iat
    }

    /// When it expires, unix seconds; 0 is never. An expired one still counts: see [`Trust::from_operator_jwt`].
    pub const fn exp(&self) -> i64 {
        self.jwt.claims.exp
    }

    /// Whether the operator JWT is past its expiry.
    pub const fn is_expired(&self, now: i64) -> bool {
        self.exp() > 0 && now > self.exp()
    }

    /// Whether the identity key itself signed the operator JWT.
    pub fn is_self_signed(&self) -> bool {
        self.jwt.claims.iss == self.jwt.claims.sub
    }

    /// The key that signed the operator JWT.
    pub fn issuer(&self) -> &str {
        &self.jwt.claims.iss
    }

    /// The keys that may sign account JWTs and delete requests, sorted.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The system account that the operator JWT names.
    pub const fn system_account(&self) -> Option<&AccountKey> {
        self.system_account.as_ref()
    }

    /// What is odd about the operator JWT without making it unusable.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the operator demands that only signing keys sign accounts.
    pub const fn is_strict(&self) -> bool {
        self.jwt.body.strict_signing_key_usage
    }

    /// Whether `issuer` may sign account JWTs and delete requests: a signing key, or the identity key unless strict.
    pub fn vouches(&self, issuer: &str) -> bool {
        (!self.is_strict() && issuer == self.jwt.claims.sub) || self.lists(issuer)
    }

    /// Whether it lists `key` as a signing key.
    pub fn lists(&self, key: &str) -> bool {
        self.jwt.body.signing_keys.iter().any(|listed| listed == key)
    }

    /// Whether `issuer` is the operator's identity key.
    pub fn is_identity(&self, issuer: &str) -> bool {
        issuer == self.jwt.claims.sub
    }
}

fn texts(issues: &jwt::Issues) -> Vec<String> {
    issues.iter().map(|issue| issue.text.clone()).collect()
}
