//! The form of the answers to UPDATE, LIST and DELETE: as that of nats-server, whose clients read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

use crate::calendar::rfc3339_nanos;
use crate::key::{AccountKey, seed};

/// The name by which the Go server introduced itself, too.
const NAME: &str = "nats-account-server";

/// Writes answers in this server's name.
#[derive(Debug)]
pub(super) struct Envelope {
    host: String,
    id: String,
    number: AtomicU64,
}

/// The object `server`, with the members that nats-server always has.
#[derive(Serialize)]
struct EnvelopeServer<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
    ver: &'a str,
    jetstream: bool,
    seq: u64,
    time: String,
}

#[derive(Serialize)]
struct EnvelopeBody<'a, T> {
    server: EnvelopeServer<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<EnvelopeError<'a>>,
}

#[derive(Serialize)]
struct Success<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    code: u16,
    message: &'a str,
}

#[derive(Serialize)]
struct EnvelopeError<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    code: u16,
    description: &'a str,
}

impl Envelope {
    /// With an identity of its own for each process, as nats-servers have.
    pub(super) fn new() -> Self {
        Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            id: nkeys::KeyPair::new_server().public_key(),
            number: AtomicU64::new(0),
        }
    }

    /// It is done.
    pub(super) fn success(&self, account: Option<&str>, message: &str) -> Bytes {
        self.write(Some(Success { account, code: 200, message }), None)
    }

    /// It is not done.
    pub(super) fn failure(&self, account: Option<&str>, description: &str) -> Bytes {
        let description = &*seed::redact(description);
        self.write(None::<()>, Some(EnvelopeError { account, code: 500, description }))
    }

    /// The accounts that are there.
    pub(super) fn list(&self, keys: &[AccountKey]) -> Bytes {
        self.write(Some(keys.iter().map(AccountKey::text).collect::<Vec<_>>()), None)
    }

    fn write<T: Serialize>(&self, data: Option<T>, error: Option<EnvelopeError<'_>>) -> Bytes {
        let server = EnvelopeServer {
            name: NAME,
            host: &self.host,
            id: &self.id,
            ver: env!("CARGO_PKG_VERSION"),
            jetstream: false,
            seq: self.number.fetch_add(1, Ordering::Relaxed) + 1,
            time: rfc3339_nanos(SystemTime::now()),
        };
        // Strings and numbers always have a JSON form.
        serde_json::to_vec(&EnvelopeBody { server, data, error }).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn answers_have_what_clients_demand() {
        let envelope = Envelope::new();
        let read = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).expect("JSON");
        let success = read(envelope.success(Some("A"), "jwt updated"));
        assert_eq!(success["data"], json!({ "account": "A", "code": 200, "message": "jwt updated" }));
        assert!(success.get("error").is_none());
        assert_eq!(success["server"]["name"], NAME);
        assert!(success["server"]["id"].as_str().is_some_and(|id| id.len() == 56 && id.starts_with('N')));
        assert_eq!(success["server"]["seq"], 1);
        let failure = read(envelope.failure(None, "no"));
        assert_eq!(failure["error"], json!({ "code": 500, "description": "no" }));
        assert!(failure.get("data").is_none());
        assert_eq!(failure["server"]["seq"], 2);
        assert_eq!(read(envelope.list(&[]))["data"], json!([]));
        let key = AccountKey::from_raw([1; 32]);
        assert_eq!(read(envelope.list(&[key]))["data"], json!([key.text()]));
    }
}
