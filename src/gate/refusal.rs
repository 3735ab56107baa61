//! Why the gate said no.

use super::{ActivationRefusal, MOST_IN_ONE_SECOND, OperatorRefusal};
use crate::calendar::{period, utc_time};
use crate::excerpt::excerpt;
use crate::jwt::{self, Called, DecodeError, Issues, NotAJwt};
use crate::key::AccountKey;

/// Why a token was not admitted, or may not replace the stored one.
///
/// The text is a fragment that fits after "refused: ". For compatibility, an edge of the server may use another text
/// for clients.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a token, or its signature is wrong.
    #[error("{}", told(.0))]
    Decode(#[from] DecodeError),
    /// Something else than a JWT, such as a key.
    #[error(transparent)]
    NotAJwt(#[from] NotAJwt),
    /// The token is about another account than the one it was addressed to.
    #[error("the JWT is about {}, but was sent for {expected}", about(subject, name))]
    WrongAccount {
        /// The account in the token.
        subject: String,
        /// The name that the token gives it.
        name: String,
        /// The account it was sent for.
        expected: AccountKey,
    },
    /// The issuer is not an operator key.
    #[error("the issuer {issuer} is not an operator key")]
    IssuerKind {
        /// The `iss` claim.
        issuer: String,
        /// The account signed its own JWT.
        self_signed: bool,
    },
    /// The subject is not a canonical account key.
    #[error("the subject {:?} is not an account key", excerpt(.0))]
    SubjectKind(String),
    /// The issuer is an operator key, but none of ours.
    #[error("the issuer {0} is not a key of the configured operator")]
    Untrusted(String),
    /// The issuer is the operator's identity key, and the operator demands signing keys.
    #[error("the operator requires JWTs to be signed by a signing key, not by its identity key {0}")]
    IdentityKeyUsed(String),
    /// An operator JWT that may not take the place of the one in force.
    #[error(transparent)]
    Operator(#[from] OperatorRefusal),
    /// A reason that only activations have.
    #[error(transparent)]
    Activation(#[from] ActivationRefusal),
    /// No operator is configured, so no key can vouch for a change.
    #[error("no operator is configured, so no JWT can be accepted")]
    NoOperator,
    /// The claims violate a blocking rule, or are not valid now. All findings are listed.
    #[error("{}", list(.0))]
    Invalid(Issues),
    /// Issued later than the clock and its tolerance allow.
    #[error("the JWT is dated {} in the future; check the clocks, or sign it again", period(0, *.ahead))]
    FromTheFuture {
        /// Seconds between our clock and `iat`.
        ahead: i64,
    },
    /// A newer version is stored.
    #[error(
        "stale JWT: issued {}, {} older than the stored one of {}. To roll back, re-sign the old claims and push again",
        utc_time(*.offered), period(*.held, *.offered), utc_time(*.held)
    )]
    Older {
        /// `iat` of the stored version, unix seconds.
        held: i64,
        /// `iat` of what was offered, unix seconds.
        offered: i64,
    },
    /// This version was stored before and has been replaced.
    #[error("this JWT was replaced by a later one. To roll back, re-sign its claims and push again")]
    Replaced,
    /// Another version with the same `iat` is stored, and this path may not choose between them.
    #[error("another JWT issued in the same second ({}) is stored", utc_time(*.0))]
    Tie(i64),
    /// Another version with the same `iat` was stored before this server became the primary, which may have replaced this one.
    #[error(
        "another JWT issued in the same second ({}) was stored before this server became the primary, and it is not known which one \
         is later; re-sign the claims and push again",
        utc_time(*.0)
    )]
    TieFromBefore(i64),
    /// As many versions with this `iat` were accepted as there may be.
    #[error(
        "{MOST_IN_ONE_SECOND} versions issued in the same second ({}) were accepted already, which is the limit; sign it \
         again a second later",
        utc_time(*.0)
    )]
    SecondFull(i64),
    /// The account was deleted at or after the time the token was issued.
    #[error(
        "the account was deleted (request of {}), and this JWT was issued {}, {} earlier; to bring the account back, \
         re-sign its JWT (an edit with nsc does) and push it",
        utc_time(*.deleted), utc_time(*.offered), period(*.deleted, *.offered)
    )]
    Deleted {
        /// `iat` of the delete request, unix seconds.
        deleted: i64,
        /// `iat` of what was offered, unix seconds.
        offered: i64,
    },
    /// A delete request that names an account whose JWT is newer than the request.
    #[error(
        "the delete request was issued {}, {} before the JWT of account {account} ({}); nothing was deleted. Sign the \
         request again",
        utc_time(*.request), period(*.held, *.request), utc_time(*.held)
    )]
    DeleteOlder {
        /// The account with the newer JWT.
        account: AccountKey,
        /// `iat` of that JWT, unix seconds.
        held: i64,
        /// `iat` of the request, unix seconds.
        request: i64,
    },
    /// A delete request whose subject is not its issuer.
    #[error("not self signed")]
    DeleteNotSelfSigned,
    /// A delete request that no key of the operator signed.
    #[error("not trusted")]
    DeleteUntrusted,
    /// A delete request without a list of account keys.
    #[error("malformed request")]
    DeleteMalformed,
    /// A delete request that names the system account.
    #[error("not allowed to delete system account")]
    DeleteSystemAccount,
    /// A delete request for other accounts than the one it was addressed to.
    #[error("the delete request does not name account {0}")]
    DeleteElsewhere(AccountKey),
}

impl Refusal {
    /// The label of the refusal in metrics: a small fixed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAJwt(found) if found.is_private() => "private_key",
            Self::Decode(_) | Self::NotAJwt(_) => "undecodable",
            Self::WrongAccount { .. } | Self::DeleteElsewhere(_) => "wrong_account",
            Self::IssuerKind { .. } => "issuer_kind",
            Self::SubjectKind(_) => "subject_kind",
            Self::Untrusted(_) | Self::DeleteUntrusted | Self::DeleteNotSelfSigned => "untrusted",
            Self::IdentityKeyUsed(_) => "identity_key",
            Self::Operator(refusal) => refusal.reason(),
            Self::Activation(refusal) => refusal.reason(),
            Self::NoOperator => "no_operator",
            Self::Invalid(issues) if issues.is_blocking(false) => "invalid",
            Self::Invalid(_) => "time",
            Self::FromTheFuture { .. } => "future",
            Self::Older { .. } | Self::DeleteOlder { .. } => "older",
            Self::Replaced => "replaced",
            Self::Tie(_) | Self::TieFromBefore(_) => "tie",
            Self::SecondFull(_) => "second_full",
            Self::Deleted { .. } => "deleted",
            Self::DeleteMalformed => "malformed",
            Self::DeleteSystemAccount => "system_account",
        }
    }

    /// Whether the token is not a JWT that the operator signed for the account, regardless of its claims.
    pub const fn is_foreign(&self) -> bool {
        matches!(
            self,
            Self::Decode(_)
                | Self::NotAJwt(_)
                | Self::WrongAccount { .. }
                | Self::IssuerKind { .. }
                | Self::SubjectKind(_)
                | Self::Untrusted(_)
                | Self::IdentityKeyUsed(_)
        )
    }

    /// Whether the token is valid, but the stored one stays.
    pub const fn is_conflict(&self) -> bool {
        match self {
            Self::Older { .. }
            | Self::Replaced
            | Self::Tie(_)
            | Self::TieFromBefore(_)
            | Self::SecondFull(_)
            | Self::Deleted { .. }
            | Self::DeleteOlder { .. } => true,
            Self::Operator(refusal) => refusal.is_conflict(),
            _ => false,
        }
    }
}

/// The decoder's text, and where a token of another kind goes.
pub(super) fn told(error: &DecodeError) -> String {
    match error {
        DecodeError::Kind { found, .. } => format!("{error}: {}", jwt::belongs(found)),
        error => error.to_string(),
    }
}

/// The account in a token, if it is one.
fn about(subject: &str, name: &str) -> String {
    match AccountKey::parse(subject) {
        Ok(key) => Called::new(key, name.to_owned()).to_string(),
        Err(_) => excerpt(subject).to_string(),
    }
}

fn list(issues: &Issues) -> String {
    issues.told().collect::<Vec<_>>().join("; ")
}
