//! Files that are named like an account's JWT and hold none, or not one for this server: many of them, and of every kind;
//! there at start, and dropped while the server runs.
mod kinds;
mod many;
mod places;

use std::path::{Path, PathBuf};

use crate::support::Account;

/// Where an account's file is in a flat folder.
fn file(dir: &Path, account: &Account) -> PathBuf {
    dir.join(format!("{}.jwt", account.key()))
}
