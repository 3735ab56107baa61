//! `explain`: its verdict is what real nats-servers do with the same user.

mod nats_servers;
mod places;
mod reasons;

use std::path::Path;

use serde_json::Value;

use crate::support::command::{Ran, run};
use crate::support::mint::User;

/// Releases whose rules the verdicts are compared with.
const VERSIONS: [&str; 2] = ["2.12.8", "2.15.1"];

/// Runs `explain` about a user. `args`: where to ask.
async fn explain(folder: &Path, user: &User, args: &[&str]) -> Ran {
    let file = folder.join(format!("{}.creds", user.key()));
    std::fs::write(&file, user.creds()).unwrap();
    let ran =
        run(["explain"].iter().chain(args).map(|arg| (*arg).to_owned()).chain([file.display().to_string()])).await;
    let seed = user.creds().lines().find(|line| line.starts_with("SU")).unwrap().to_owned();
    assert!(!ran.stdout.contains(&seed) && !ran.stderr.contains(&seed), "{}{}", ran.stdout, ran.stderr);
    ran
}

/// The document of `explain --json`, and the exit status.
async fn document(folder: &Path, user: &User, args: &[&str]) -> (Value, i32) {
    let ran = explain(folder, user, &[&["--json"], args].concat()).await;
    let document = serde_json::from_str(&ran.stdout);
    (document.unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr)), ran.status)
}

/// The codes of the checks that have this status.
fn codes<'d>(document: &'d Value, status: &str) -> Vec<&'d str> {
    let checks = document["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["status"] == status).map(|check| check["code"].as_str().unwrap()).collect()
}
