//! The API that reads: `/api/v1/`, as `docs/api.md` and its own OpenAPI document describe it.

mod account;
mod accounts;
mod bad_input;
mod others;
mod pages;
mod reference;
mod schema;

use serde_json::Value;

use crate::support::{Account, Http, Launch, Operator, Server, until};

/// The API's path of an account.
fn path_of(account: &Account) -> String {
    format!("/api/v1/accounts/{}", account.key())
}

/// What a path answers.
async fn get(http: &Http, path: &str) -> Value {
    http.get(&format!("/api/v1/{path}")).await.expect(200).json()
}

/// The keys of a list.
fn keys(list: &Value) -> Vec<String> {
    list["accounts"].as_array().unwrap().iter().map(|account| account["key"].as_str().unwrap().to_owned()).collect()
}

/// A mirror that has everything.
async fn mirror(operator: &Operator, primary: &Server) -> Server {
    let mirror = Launch::replica(operator, &primary.url).env("NAS_REPLICA__MODE", "mirror").start().await;
    until("the mirror is in sync", || async { get(&mirror.http, "status").await["in_sync"] == true }).await;
    mirror
}
