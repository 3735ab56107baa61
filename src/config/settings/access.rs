//! The settings of access: `access`.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::secret::Secret;

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// What clients may do that show nothing. Default: `read`, `list` and `push`.
    pub anonymous: Vec<Scope>,
    /// Users with a password. Default: none.
    pub users: Vec<AccessUser>,
    /// Bearer tokens. Default: none.
    pub tokens: Vec<AccessToken>,
    /// Clients with a certificate. Default: none.
    pub certificates: Vec<AccessCertificate>,
    /// What an address may do without credentials, in place of `anonymous`. Default: none.
    pub networks: Vec<AccessNetwork>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            anonymous: vec![Scope::Read, Scope::List, Scope::Push],
            users: Vec::new(),
            tokens: Vec::new(),
            certificates: Vec::new(),
            networks: Vec::new(),
        }
    }
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One JWT by its key.
    Read,
    /// What shows several accounts, or the past.
    List,
    /// Changes that an operator or account signed.
    Push,
    /// What else changes this server.
    Admin,
}

impl Scope {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Read, Self::List, Self::Push, Self::Admin];

    /// Its name in settings and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Push => "push",
            Self::Admin => "admin",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// A user with a password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessUser {
    /// The name.
    pub name: String,
    /// The hash of the password: bcrypt or argon2id.
    pub password: Secret,
    /// What the user may do.
    pub scopes: Vec<Scope>,
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessToken {
    /// What people call it.
    pub name: String,
    /// The SHA-256 of the token, 64 hexadecimal digits.
    pub sha256: Secret,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
}

/// Clients with a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessCertificate {
    /// A subject alternative name of the certificate; the first label of a DNS name may be `*`.
    pub san: String,
    /// What such a client may do.
    pub scopes: Vec<Scope>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessNetwork {
    /// The addresses.
    pub cidr: IpNet,
    /// What they may do without credentials.
    pub scopes: Vec<Scope>,
}
