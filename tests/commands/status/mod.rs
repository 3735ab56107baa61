//! `status`: what it says of real servers, and what it makes of others.

mod belonging;
mod expired;
mod fleet;
mod hostile;
mod strangers;
mod watch;

use serde_json::Value;

use crate::support::command::{Ran, run};

async fn status(args: &[&str]) -> Ran {
    run(["status"].iter().chain(args)).await
}

/// The document of `status --json`, and the exit status.
async fn document(args: &[&str]) -> (Value, i32) {
    let ran = status(&[&["--json"], args].concat()).await;
    let document = serde_json::from_str(&ran.stdout);
    (document.unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr)), ran.status)
}

/// The codes of the reasons of a document or of one of its servers.
fn codes(of: &Value) -> Vec<&str> {
    of["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}
