//! The names of the accounts that an account mentions.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::shown::called;
use crate::commands::sources::Source;
use crate::jwt::Account;
use crate::key::AccountKey;

/// Accounts whose names are asked for, at most.
const MOST: usize = 100;

/// Names by keys.
pub(super) struct Names<'n>(pub(super) &'n BTreeMap<String, String>);

impl Names<'_> {
    /// An account, with its name if that is known.
    pub(super) fn called(&self, key: &str) -> String {
        called(self.0.get(key).map(String::as_str).unwrap_or_default(), key)
    }
}

/// The accounts that an account imports from, and those that its authorization service assigns.
pub(super) fn mentioned(account: &Account) -> BTreeSet<AccountKey> {
    let imports = account.imports.iter().flatten().map(|import| &import.account);
    let assigned = &account.authorization.allowed_accounts;
    imports.chain(assigned).filter_map(|key| AccountKey::parse(key).ok()).take(MOST_READ).collect()
}

/// Imports that are looked at.
const MOST_READ: usize = 10_000;

/// Asks for their names. One that cannot be told ends that: it is the same for the others.
pub(super) async fn ask(source: &Source, account: &Account) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for key in mentioned(account).into_iter().take(MOST) {
        match source.name(&key).await {
            Ok(name) => names.extend(name.filter(|name| !name.is_empty()).map(|name| (key.text(), name))),
            Err(_) => break,
        }
    }
    names
}
