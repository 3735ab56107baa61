//! Folders that other programs wrote, and what other programs make of ours: nats-server's full resolver, and the Go
//! account servers.
mod full_resolver;
mod go_servers;

use std::path::{Path, PathBuf};

use crate::support::Account;

/// Where an account's file is in a flat folder.
fn file(dir: &Path, account: &Account) -> PathBuf {
    dir.join(format!("{}.jwt", account.key()))
}

/// Where a sharded folder has it.
fn sharded(dir: &Path, account: &Account) -> PathBuf {
    let key = account.key();
    dir.join(&key[54..]).join(format!("{key}.jwt"))
}
