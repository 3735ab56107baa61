//! The effect of another operator JWT in force, for people.

use std::fmt;

use super::chain::{MANY_LINKS, MOST_LINKS, OperatorChain};
use super::{Standing, Trust};
use crate::key::PublicKey;

/// The effect of another operator JWT in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorChange {
    /// The operator's identity key.
    pub identity: PublicKey,
    /// Whether anything changes at all: `false` if exactly this one is in force.
    pub changed: bool,
    /// The signing key that signed it; `None`: the identity key did.
    pub by_signing_key: Option<String>,
    /// Keys that it lists, and the one before did not.
    pub listed: Vec<PublicKey>,
    /// Keys that it no longer lists.
    pub withdrawn: Vec<PublicKey>,
    /// How many accounts are no longer served. On a replica: of those that it has cached.
    pub withheld: u64,
    /// How many accounts are served again. Not counted on a replica.
    pub back: u64,
    /// Links of the chain from now on.
    pub links: usize,
}

impl OperatorChange {
    /// The effect of `chain`, without the number of accounts.
    pub fn to(before: &Standing, chain: &OperatorChain) -> Self {
        let changed = before.trust().is_none_or(|current| current.version() != chain.in_force().version());
        Self { changed, links: chain.len(), ..Self::none(before, chain.in_force()) }
    }

    /// The text if `trust` is in force already.
    pub fn none(before: &Standing, trust: &Trust) -> Self {
        let old = before.trust().map_or(&[][..], |trust| trust.keys());
        let missing =
            |from: &[PublicKey], in_: &[PublicKey]| from.iter().filter(|key| !in_.contains(key)).copied().collect();
        Self {
            identity: *trust.identity(),
            changed: false,
            by_signing_key: (!trust.is_self_signed()).then(|| trust.issuer().to_owned()),
            listed: missing(trust.keys(), old),
            withdrawn: missing(old, trust.keys()),
            withheld: 0,
            back: 0,
            links: before.chain().map_or(1, |chain| chain.len()),
        }
    }

    /// Writes it into the log. A change that a signing key signed is one to look at.
    pub fn log(&self) {
        if !self.changed {
            return;
        }
        tracing::warn!(operator = %self.identity, signer = self.by_signing_key.as_deref(), "{self}");
        if self.links >= MANY_LINKS {
            tracing::warn!(
                "{} operator JWTs in a row are in force, and {MOST_LINKS} is the limit; sign the next one with the identity \
                 key (nsc edit operator … -K {})",
                self.links,
                self.identity
            );
        }
    }
}

impl fmt::Display for OperatorChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.changed {
            return write!(f, "the operator JWT of {} is in force already", self.identity);
        }
        write!(f, "the operator JWT of {} changes", self.identity)?;
        match &self.by_signing_key {
            Some(signer) => write!(f, "; the signing key {signer} signed the new one")?,
            None => f.write_str("; the identity key signed the new one")?,
        }
        for (what, keys) in [("lists", &self.listed), ("no longer lists", &self.withdrawn)] {
            let mut separator = format!("; it {what} ");
            for key in keys {
                write!(f, "{separator}{key}")?;
                ", ".clone_into(&mut separator);
            }
        }
        write!(f, "; {} accounts are withheld by that, {} come back", self.withheld, self.back)
    }
}
