//! The folder of tokens and the journal: one follows the other, whoever moves first.
mod activations;
mod closed;
mod edits;
mod first_start;
mod given;
mod mirror;
mod modes;
mod nsc;
mod read_only;

use std::path::{Path, PathBuf};

use crate::support::{Account, Server, until};

/// Where an account's file is in a flat folder.
fn file(dir: &Path, account: &Account) -> PathBuf {
    dir.join(format!("{}.jwt", account.key()))
}

/// Waits until an account's file holds exactly this.
async fn holds(path: &Path, text: &str) {
    until(&format!("{} follows", path.display()), || async {
        // A pipe that is about to be moved away would be waited for.
        let is_file = path.symlink_metadata().is_ok_and(|meta| meta.is_file());
        is_file && std::fs::read_to_string(path).is_ok_and(|is| is == text)
    })
    .await;
}

/// Waits until a JWT is served.
async fn serves(server: &Server, account: &Account, jwt: &str) {
    until("the JWT is served", || async { server.http.get(&account.path()).await.body == jwt }).await;
}

/// Waits until an account is not served.
async fn is_gone(server: &Server, account: &Account) {
    until("the account is gone", || async { server.http.get(&account.path()).await.status == 404 }).await;
}

/// What lies in the folder of refused things: names and texts.
fn refused(dir: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(dir.join(".nats-account-server/refused")) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            // A pipe that was moved here would be waited for.
            let is_file = entry.file_type().unwrap().is_file();
            let text = if is_file { std::fs::read_to_string(entry.path()).unwrap_or_default() } else { String::new() };
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect()
}
