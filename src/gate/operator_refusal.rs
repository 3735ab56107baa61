//! Why an operator JWT may not take the place of the one in force.

use super::{MOST_IN_ONE_SECOND, TrustError};
use crate::calendar::{period, utc_time};
use crate::key::PublicKey;

/// The reason, for the holder of the JWT.
#[derive(Debug, thiserror::Error)]
pub enum OperatorRefusal {
    /// Another operator's.
    #[error(
        "it is the JWT of the operator {offered}, but this server belongs to {ours}; to change the operator, restart the \
         server with --change-operator {offered}"
    )]
    Other {
        /// The identity key that is trusted.
        ours: PublicKey,
        /// The identity key that was offered.
        offered: PublicKey,
    },
    /// It was issued before something that it does not cut off.
    #[error(
        "the operator JWT in force is newer: it was issued {}, this one {}, {} earlier",
        utc_time(*.held), utc_time(*.offered), period(*.held, *.offered)
    )]
    Older {
        /// `iat` that it must exceed, unix seconds.
        held: i64,
        /// `iat` of what was offered, unix seconds.
        offered: i64,
    },
    /// The identity key signed it, but long before the one in force.
    #[error(
        "it was issued {}, but the operator JWT in force {}. That is {} later, more than store.max_iat_ahead; sign \
         it again with the identity key",
        utc_time(*.offered), utc_time(*.held), period(*.held, *.offered)
    )]
    FarOlder {
        /// `iat` of the one in force, unix seconds.
        held: i64,
        /// `iat` of what was offered, unix seconds.
        offered: i64,
    },
    /// It was in force and was replaced.
    #[error(
        "this operator JWT was replaced by a later one; to roll back, re-sign its claims (nsc edit operator … -K \
         {identity})"
    )]
    Replaced {
        /// The operator's identity key.
        identity: PublicKey,
    },
    /// Another one of the same second is in force, and only upstream can choose.
    #[error("another operator JWT issued in the same second ({}) is in force", utc_time(*.0))]
    Tie(i64),
    /// As many with this `iat` were in force as there may be.
    #[error(
        "{MOST_IN_ONE_SECOND} operator JWTs issued in the same second ({}) were accepted already, which is the limit; \
         sign it again a second later",
        utc_time(*.0)
    )]
    SecondFull(i64),
    /// Its `iat` is ahead of the clock by more than is tolerated.
    #[error("the operator JWT is dated {} in the future; check the clocks, or sign it again", period(0, *.ahead))]
    FromTheFuture {
        /// Seconds between our clock and `iat`.
        ahead: i64,
    },
    /// It cannot be trusted at all.
    #[error(transparent)]
    Invalid(#[from] TrustError),
    /// A signing key signed it, on a way that only the identity key's signature opens.
    #[error(
        "it is signed by the signing key {signer}, and only a JWT that the identity key signed is accepted here; sign it \
         with that key (nsc edit operator … -K {identity}), or put it into the server's operator file and reload, or push it \
         with credentials that have the scope admin"
    )]
    NotByIdentity {
        /// The key that signed it.
        signer: String,
        /// The operator's identity key.
        identity: PublicKey,
    },
    /// A key signed it that the one in force does not list.
    #[error(
        "it is signed by {signer}, which the operator JWT in force does not list; sign it with the identity key (nsc edit \
         operator … -K {identity}), or, if it is genuine, stop the server and run `nats-account-server operator trust FILE`"
    )]
    Unlisted {
        /// The key that signed it.
        signer: String,
        /// The operator's identity key.
        identity: PublicKey,
    },
    /// The chain has as many links as it can have.
    #[error(
        "{links} operator JWTs in a row were accepted, all but the first signed by signing keys, and that is the limit; \
         sign one with the identity key (nsc edit operator … -K {identity})"
    )]
    TooLong {
        /// Links of the chain in force.
        links: usize,
        /// The operator's identity key.
        identity: PublicKey,
    },
}

impl OperatorRefusal {
    /// The label in metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Older { .. } | Self::FarOlder { .. } => "older",
            Self::Replaced { .. } => "replaced",
            Self::Tie(_) => "tie",
            Self::SecondFull(_) => "second_full",
            Self::FromTheFuture { .. } => "future",
            Self::Other { .. } | Self::Unlisted { .. } => "untrusted",
            Self::NotByIdentity { .. } => "issuer_kind",
            Self::Invalid(_) | Self::TooLong { .. } => "invalid",
        }
    }

    /// Whether the JWT is valid, but the one in force stays.
    pub const fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Older { .. } | Self::FarOlder { .. } | Self::Replaced { .. } | Self::Tie(_) | Self::SecondFull(_)
        )
    }
}
