//! The operator's own JWT: which one may take the place of the one in force.
//!
//! Trust is pinned to the operator's identity key. Of the operator JWTs that this key signed itself, the newest counts,
//! whichever way it came. One that a mere signing key signed counts where somebody configured it, and goes no further:
//! whoever stole that key could otherwise list himself for ever.

use std::fmt;

use super::{Gate, Refusal, Standing, Trust, TrustError, Via};
use crate::key::PublicKey;

/// Why an operator JWT may not take the place of the one in force.
#[derive(Debug, thiserror::Error)]
pub enum OperatorRefusal {
    /// Another operator's.
    #[error(
        "it is of the operator {offered}, but this server is {ours}'s, and there is one operator per server; to change \
         the operator, restart the server with the other one configured"
    )]
    Other {
        /// The identity key that is trusted.
        ours: PublicKey,
        /// The identity key that was offered.
        offered: PublicKey,
    },
    /// It was issued before the one in force.
    #[error("the operator JWT in force is newer: it was issued at {held}, this one at {offered}")]
    Older {
        /// `iat` of the one in force, unix seconds.
        held: i64,
        /// `iat` of what was offered, unix seconds.
        offered: i64,
    },
    /// It cannot be trusted at all.
    #[error(transparent)]
    Invalid(TrustError),
    /// A signing key signed it, on a path that only the identity key's signature opens.
    #[error("it is signed by {0}, not by the operator's identity key")]
    NotSelfSigned(String),
    /// A key signed it that the one in force does not list.
    #[error(
        "it is signed by {0}, which the operator JWT in force does not list; sign it with the operator's identity key"
    )]
    Unlisted(String),
}

impl Gate {
    /// Whether an operator JWT may take the place of the one in force. `Ok(false)`: it is the one in force.
    ///
    /// From a file ([`Via::EditedFile`]) it wins at an equal `iat`, and may be signed by a signing key that is listed
    /// now. On every other path the identity key itself must have signed it.
    pub fn admit_operator(&self, offered: &Trust, via: Via) -> Result<bool, Refusal> {
        let configured = via == Via::EditedFile;
        let Some(current) = self.trust() else {
            return if configured || offered.is_self_signed() { Ok(true) } else { Err(not_self_signed(offered)) };
        };
        if offered.identity() != current.identity() {
            return Err(OperatorRefusal::Other { ours: *current.identity(), offered: *offered.identity() }.into());
        }
        if offered.version() == current.version() {
            return Ok(false);
        }
        if !offered.is_self_signed() {
            if !configured {
                return Err(not_self_signed(offered));
            }
            if !current.vouches(offered.issuer()) {
                return Err(OperatorRefusal::Unlisted(offered.issuer().to_owned()).into());
            }
        }
        if offered.iat() < current.iat() {
            return Err(OperatorRefusal::Older { held: current.iat(), offered: offered.iat() }.into());
        }
        Ok(true)
    }
}

fn not_self_signed(offered: &Trust) -> Refusal {
    OperatorRefusal::NotSelfSigned(offered.issuer().to_owned()).into()
}

/// What another operator JWT in force changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorChange {
    /// The operator's identity key.
    pub identity: PublicKey,
    /// Whether anything changes at all: `false` if exactly this one is in force.
    pub changed: bool,
    /// Keys that it lists, and the one before did not.
    pub listed: Vec<PublicKey>,
    /// Keys that it no longer lists.
    pub withdrawn: Vec<PublicKey>,
    /// How many accounts are no longer served. On a replica: of those that it has cached.
    pub withheld: u64,
    /// How many accounts are served again. Not counted on a replica.
    pub back: u64,
    /// Whether followers learn of it: only of one that the identity key signed.
    pub travels: bool,
}

impl OperatorChange {
    /// What changes when `trust` comes into force, accounts not counted.
    pub fn of(before: &Standing, trust: &Trust) -> Self {
        let old = before.trust().map_or(&[][..], |trust| trust.keys());
        let missing =
            |from: &[PublicKey], in_: &[PublicKey]| from.iter().filter(|key| !in_.contains(key)).copied().collect();
        Self {
            identity: *trust.identity(),
            changed: before.trust().is_none_or(|current| current.version() != trust.version()),
            listed: missing(trust.keys(), old),
            withdrawn: missing(old, trust.keys()),
            withheld: 0,
            back: 0,
            travels: trust.is_self_signed(),
        }
    }
}

impl fmt::Display for OperatorChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.changed {
            return write!(f, "the operator JWT of {} is the one in force", self.identity);
        }
        write!(f, "the operator JWT of {} changes", self.identity)?;
        for (what, keys) in [("lists", &self.listed), ("no longer lists", &self.withdrawn)] {
            let mut separator = format!("; it {what} ");
            for key in keys {
                write!(f, "{separator}{key}")?;
                ", ".clone_into(&mut separator);
            }
        }
        write!(f, "; {} accounts are withheld by that, {} come back", self.withheld, self.back)?;
        if !self.travels {
            f.write_str("; a signing key signed it, so replicas do not learn of it")?;
        }
        Ok(())
    }
}
