//! How the user and its account are called in commands to copy.

use crate::commands::shown::word;
use crate::jwt::{AccountJwt, UserJwt};

/// The names, each as one word for a shell.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) user: String,
    pub(super) account: String,
    /// The scoped signing key that issued the user, by its role or its key.
    pub(super) role: Option<String>,
}

impl Names {
    /// nsc calls both by their names. `account`: its JWT, if there is one.
    pub(super) fn of(user: &UserJwt, account: Option<&AccountJwt>) -> Self {
        let name = |name: &str, key: &str| word(if name.is_empty() { key } else { name });
        let scope = account.and_then(|account| account.body.signing_keys.scope(&user.claims.iss));
        Self {
            user: name(&user.claims.name, &user.claims.sub),
            account: account
                .map_or_else(|| word(account_key(user)), |account| name(&account.claims.name, &account.claims.sub)),
            role: scope.map(|scope| name(&scope.role, &scope.key)),
        }
    }

    /// A command that changes the account, and the push that must follow.
    pub(super) fn pushed(&self, command: &str) -> String {
        format!("{command} && {}", self.push())
    }

    pub(super) fn push(&self) -> String {
        format!("nsc push -a {}", self.account)
    }

    /// A command that changes the user, and what gives its client the new JWT.
    pub(super) fn reissued(&self, command: &str) -> String {
        format!("{command} && nsc generate creds -a {} -n {}", self.account, self.user)
    }
}

/// The account of a user, which nats-server asks its resolver for.
pub(super) fn account_key(user: &UserJwt) -> &str {
    if user.body.issuer_account.is_empty() { &user.claims.iss } else { &user.body.issuer_account }
}
