//! Whom a request comes from, and what it may do.

use std::fmt;
use std::sync::Arc;

use super::{Scopes, Stated};

/// Whom a request comes from, as far as it has shown that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// It has shown nothing that counts.
    Anonymous,
    /// An address of this network.
    Network(Arc<str>),
    /// A client with a certificate for this subject alternative name.
    Certificate(Arc<str>),
    /// A user, by password.
    User(Arc<str>),
    /// The holder of a token.
    Token(Arc<str>),
    /// One of the others, which speaks for somebody else, as it says.
    OnBehalf(Arc<Self>, Arc<str>),
}

impl Principal {
    /// Whether it is anybody.
    pub const fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// The principal that has shown something, without what it says.
    pub fn shown(&self) -> &Self {
        match self {
            Self::OnBehalf(shown, _) => shown,
            shown => shown,
        }
    }
}

/// As `user nsc`, or `token eu-1 for user nsc`.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Network(network) => write!(f, "network {network}"),
            Self::Certificate(san) => write!(f, "certificate {san}"),
            Self::User(name) => write!(f, "user {name}"),
            Self::Token(name) => write!(f, "token {name}"),
            Self::OnBehalf(shown, stated) => write!(f, "{shown} for {stated}"),
        }
    }
}

/// A principal, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whom the request comes from.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Scopes,
}

impl Verdict {
    /// The same for a request on behalf of somebody: it may do what both may do.
    #[must_use]
    pub fn on_behalf(self, stated: &Stated) -> Self {
        let principal = Principal::OnBehalf(Arc::new(self.principal), stated.name().into());
        Self { principal, scopes: self.scopes.both(stated.scopes()) }
    }
}
