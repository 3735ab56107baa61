//! Kills at random moments, and a full disk, while many write: what was acknowledged stays, nothing torn is seen, and
//! the folder comes to hold what the journal does.
//!
//! `ROUNDS=50` makes the storm longer, as one wants it after a change of the store.
mod checker;
mod editors;
mod emptied;
mod full;
mod posters;
mod scans;
mod storm;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Account;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// Where an account's file is in a flat folder.
fn file(dir: &Path, account: &Account) -> PathBuf {
    dir.join(format!("{}.jwt", account.key()))
}

/// SHA-256 of a text, as the feed writes it.
fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

/// The texts that were moved out of the way, without their reasons.
fn refused(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(dir.join(".nats-account-server/refused")) else { return Vec::new() };
    let files = entries.map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| !path.to_string_lossy().ends_with(".reason.txt"));
    texts.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())).collect()
}

/// Runs the command `flush` on a folder, which must succeed.
async fn flush(dir: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nats-account-server"));
    command.args(["flush", "--timeout", "20", "-dir"]).arg(dir);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
