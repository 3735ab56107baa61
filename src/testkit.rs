//! Making JWTs, for the demo, the tests and the benchmarks. A hosting server signs nothing: no other room uses this.
//!
//! Claims are JSON until they are signed, so a test can change and spoil them as it likes. Everything here panics on what
//! its caller could not mean, such as claims that are no object, or a key pair without its private key.

use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::jwt::encode;

/// The header of a token of version 2.
pub const HEADER: &str = encode::HEADER;
/// The header of a token of version 1.
pub const HEADER_V1: &str = r#"{"typ":"jwt","alg":"ed25519"}"#;

/// Claims of an operator with these signing keys, issued at `iat` in Unix seconds.
pub fn operator(operator: &KeyPair, iat: i64, signing: &[&KeyPair]) -> Value {
    let signing: Vec<_> = signing.iter().map(|key| key.public_key()).collect();
    let nats = json!({ "type": "operator", "version": 2, "signing_keys": signing });
    json!({ "sub": operator.public_key(), "iat": iat, "nats": nats })
}

/// Claims of an account without limits.
pub fn account(account: &KeyPair, iat: i64) -> Value {
    account_of(&account.public_key(), iat)
}

/// The same, if only the public key is known.
pub fn account_of(account: &str, iat: i64) -> Value {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1
    });
    let permissions = json!({ "pub": {}, "sub": {} });
    let nats = json!({ "type": "account", "version": 2, "limits": limits, "default_permissions": permissions });
    json!({ "sub": account, "iat": iat, "nats": nats })
}

/// Claims of a user without limits.
pub fn user(user: &KeyPair, iat: i64) -> Value {
    let nats = json!({
        "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1
    });
    json!({ "sub": user.public_key(), "iat": iat, "nats": nats })
}

/// Claims of an activation: leave for the account `importer` to import the stream `subject`.
pub fn activation(importer: &str, subject: &str, iat: i64) -> Value {
    let nats = json!({ "type": "activation", "version": 2, "subject": subject, "kind": "stream" });
    json!({ "sub": importer, "iat": iat, "nats": nats })
}

/// Claims of a request of `signer` to delete accounts.
pub fn delete_request(signer: &KeyPair, accounts: &[String], iat: i64) -> Value {
    let nats = json!({ "accounts": accounts, "type": "generic", "version": 2 });
    json!({ "sub": signer.public_key(), "iat": iat, "nats": nats })
}

/// Claims with the members of `more` in them. Where both have an object, they have the members of both.
pub fn with(mut claims: Value, more: Value) -> Value {
    match (&mut claims, more) {
        (Value::Object(members), Value::Object(more)) => {
            for (name, value) in more {
                let member = members.entry(name).or_insert(Value::Null);
                *member = with(member.take(), value);
            }
            claims
        }
        (_, more) => more,
    }
}

/// Signs claims as the Go library does.
pub fn sign(claims: &Value, signer: &KeyPair) -> String {
    encode::sign(claims, signer).unwrap_or_else(|error| panic!("cannot sign {claims}: {error}"))
}

/// Signs a payload as it is, under any header. `bare`: the header is not covered, as in version 1.
pub fn sign_raw(header: &str, payload: &str, signer: &KeyPair, bare: bool) -> String {
    encode::sign_parts(header, payload, signer, bare).unwrap_or_else(|error| panic!("cannot sign: {error}"))
}

/// The private key of a pair, as text.
pub fn seed(pair: &KeyPair) -> String {
    pair.seed().unwrap_or_else(|error| panic!("cannot write a seed: {error}"))
}

/// The content of a credentials file, in the form that every NATS client reads. `note` stands before the seed.
pub fn creds(jwt: &str, user: &KeyPair, note: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n{note}\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        seed(user)
    )
}

/// A runner of so many random cases, the same at each run. With `PLAYS=5000`, there are as many others.
#[cfg(test)]
pub fn runner(cases: u32) -> proptest::test_runner::TestRunner {
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let others = std::env::var("PLAYS").ok().and_then(|plays| plays.parse().ok());
    let config = Config {
        cases: others.unwrap_or(cases),
        max_shrink_iters: 60,
        source_file: None,
        failure_persistence: None,
        ..Config::default()
    };
    match others {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    }
}
