//! Changes that clients send to this replica, sent on to its primary: `replica.writes` is `forward`. Questions that only a
//! primary can answer go the same way.
//!
//! The primary decides; its answer goes back as it is. What it took in is taken in here, too, before its answer is passed
//! on, through the gate like all else: who was told that his change is made sees it here.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use tokio::sync::Semaphore;

use super::Replica;
use super::hint::Ruling;
use super::upstream::{MAX_ANSWER, Server};
use crate::clock;
use crate::feed::wire::{MAX_HOPS, NAME_PREFIX};
use crate::gate::{SentFor, Via};
use crate::jwt::given;
use crate::key::AccountKey;
use crate::node::{ForwardError, Relayed, Target, Write};

/// Changes that wait for the primary at the same time.
const PLACES: usize = 64;
/// Questions about digests that do. Their answers are large.
const QUESTIONS: usize = 4;
/// The largest answer to a change that is passed back, in bytes: receipts of many nats-servers.
const MAX_RECEIPTS: usize = 1 << 20;
/// How long the primary has for its answer, besides the time for which it is to wait for receipts: it may have to wait
/// for its disk, or for a signing service.
const MARGIN: Duration = Duration::from_secs(10);

/// What goes back from the primary, beside status and body.
const PASSED_BACK: [header::HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::ALLOW,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    header::HeaderName::from_static("nas-receipts"),
];

/// What it takes to forward.
#[derive(Debug)]
pub(super) struct Forwarding {
    places: Semaphore,
    questions: Semaphore,
    /// By what this replica knows itself in `Via`.
    name: String,
}

impl Replica {
    /// Sends a change on to the primary. When this returns an answer, what the primary took in is taken in here.
    pub async fn forward(self: &Arc<Self>, write: &Write) -> Result<Relayed, ForwardError> {
        let result = self.relay(write).await;
        let outcome = match &result {
            Ok(answer) => match answer.status {
                200..=299 => "taken",
                300..=499 => "refused",
                _ => "failed",
            },
            Err(error) => error.label(),
        };
        self.metrics.replica_writes.with_label_values(&["forward", outcome]).inc();
        // 202 is a promise of the signing service's: nothing has changed yet.
        if result.as_ref().is_ok_and(|answer| answer.status == 200) {
            self.catch_up(write).await;
        }
        result
    }

    pub(super) async fn relay(&self, write: &Write) -> Result<Relayed, ForwardError> {
        // It does not change its mind on the way, whatever becomes of that server meanwhile.
        let server = self.upstream.current();
        let primary = || server.shown().to_owned();
        let via = self.forwarding.via(write).map_err(|hops| ForwardError::Loop { hops, primary: primary() })?;
        let places = if write.target.is_question() { &self.forwarding.questions } else { &self.forwarding.places };
        let Ok(_place) = places.try_acquire() else { return Err(ForwardError::Busy(primary())) };
        let limit = write.wait + MARGIN;
        tokio::time::timeout(limit, self.exchange(server, write, via))
            .await
            .unwrap_or_else(|_| Err(ForwardError::TimedOut { primary: primary(), limit }))
    }

    async fn exchange(&self, server: &Server, write: &Write, via: HeaderValue) -> Result<Relayed, ForwardError> {
        let lost = |reason: String| ForwardError::Lost { primary: server.shown().to_owned(), reason };
        let (method, path) = write.path();
        let mut headers = HeaderMap::new();
        for name in [header::ACCEPT, header::AUTHORIZATION, header::CONTENT_TYPE] {
            for value in write.values(name.as_str()) {
                let mut value = HeaderValue::from_bytes(value).map_err(|error| lost(error.to_string()))?;
                value.set_sensitive(name == header::AUTHORIZATION);
                headers.append(&name, value);
            }
        }
        headers.insert(header::VIA, via);
        let (request, most) = if write.target.is_question() {
            (server.for_others(method, &path), MAX_ANSWER)
        } else {
            (server.change(method, &path), MAX_RECEIPTS)
        };
        // They take the place of ours: who says himself who he is, is judged by that.
        let request = request.headers(headers).body(write.body.clone());
        let mut response = request.send().await.map_err(|error| {
            let reason = server.transport(&error).to_string();
            if error.is_connect() {
                ForwardError::Unreachable { primary: server.shown().to_owned(), reason }
            } else {
                lost(reason)
            }
        })?;
        // Nobody is told that a change was made by a server that makes none.
        if !response.status().is_server_error() && !is_about_login(response.status()) {
            server.vouch(&response).await.map_err(|error| lost(error.to_string()))?;
        }
        let (status, headers) = (response.status().as_u16(), passed_back(&response));
        let body = server.body_up_to(&mut response, most).await.map_err(|error| lost(error.to_string()))?;
        Ok(Relayed { status, headers, body })
    }

    /// Takes in what the primary took in.
    async fn catch_up(self: &Arc<Self>, write: &Write) {
        let now = clock::unix_seconds();
        // The primary accepted it. If it is nothing to us, there is only something to ask for.
        let body = given(&write.body).unwrap_or_default();
        let bare = body.as_bytes();
        match write.target {
            Target::Push(key) => {
                // What is under way may be answered with what was true before the change.
                if let Some(before) = self.under_way(&key) {
                    let _ = tokio::time::timeout(self.setup.timeout, before).await;
                }
                let admitted = self.gate.admit(bare, Some(&key), Via::Hint, now);
                match admitted.and_then(|entry| self.judge(&Arc::new(entry), true)) {
                    Ok(Ruling::Apply | Ruling::Nothing) => {}
                    // Only the primary knows which of two of one second is later, or what its signing service signed.
                    Ok(Ruling::Ask) | Err(_) => self.ask_anew(&key).await,
                }
            }
            Target::Delete(key) => match self.gate.admit_delete(bare, Via::Hint, now) {
                Ok(tombstone) => _ = self.bury(&tombstone, None),
                Err(refusal) => {
                    tracing::warn!(account = %key, "the primary took in a delete request that is refused here: {refusal}");
                }
            },
            // It is asked for when it is next wanted. What the gate refuses is not served here anyway.
            Target::Activation => {
                if let Ok(unproven) = self.gate.read_activation(bare, SentFor::ANY, Via::Hint, now) {
                    self.activations.forget(unproven.id());
                }
            }
            Target::Operator if body.is_empty() => {}
            Target::Operator => _ = self.take_operator(&[&*body], Via::Upstream),
            Target::Digests | Target::Comparison => {}
        }
    }

    /// Waits for an answer of the primary about an account that was asked for from now on. If there is none in time, the
    /// next one who wants the account asks.
    async fn ask_anew(self: &Arc<Self>, key: &AccountKey) {
        self.doubt([*key]);
        self.unknown.forget(key);
        let asked = self.flight_after(self.under_way(key), *key);
        if !matches!(tokio::time::timeout(self.setup.timeout * 2, asked).await, Ok(Ok(_))) {
            self.doubt([*key]);
        }
    }
}

impl Forwarding {
    /// `name`: of this process.
    pub(super) fn new(name: String) -> Self {
        Self { places: Semaphore::new(PLACES), questions: Semaphore::new(QUESTIONS), name }
    }

    /// By what this replica knows itself.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Who has passed a change on, this replica included. The error is the number of replicas among them, if there are
    /// too many or this one is among them.
    fn via(&self, write: &Write) -> Result<HeaderValue, usize> {
        let mut via = write.values("via").collect::<Vec<_>>().join(&b", "[..]);
        // Other proxies stand there as well, and do not count.
        let words = || via.split(|byte| b" \t,".contains(byte)).filter(|word| word.starts_with(NAME_PREFIX.as_bytes()));
        let hops = words().count();
        if hops >= MAX_HOPS || words().any(|word| word == self.name.as_bytes()) {
            return Err(hops);
        }
        if !via.is_empty() {
            via.extend_from_slice(b", ");
        }
        via.extend_from_slice(format!("1.1 {}", self.name).as_bytes());
        // It is made of what came as header values.
        HeaderValue::from_bytes(&via).map_err(|_| hops)
    }
}

/// Whether an answer is about who the client is, which something before the primary may decide.
const fn is_about_login(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
}

fn passed_back(response: &Response) -> Vec<(String, Vec<u8>)> {
    let mut headers = Vec::new();
    for name in PASSED_BACK {
        let values = response.headers().get_all(&name).iter();
        headers.extend(values.map(|value| (name.as_str().to_owned(), value.as_bytes().to_owned())));
    }
    // A redirection is not followed: who could send us anywhere could make us ask inside the network that we stand in.
    // What it means here would mean something else to the client, so it gets the whole address.
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    if let Some(url) = location.and_then(|text| response.url().join(text).ok()) {
        headers.push((header::LOCATION.as_str().to_owned(), url.as_str().as_bytes().to_owned()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::feed::wire::new_name;

    fn write(via: &[&str]) -> Write {
        Write {
            target: Target::Activation,
            query: None,
            headers: via.iter().map(|value| ("via", value.as_bytes().to_owned())).collect(),
            body: Bytes::new(),
            wait: Duration::ZERO,
        }
    }

    #[test]
    fn a_change_passes_a_few_replicas_and_each_of_them_once() {
        let forwarding = Forwarding::new(new_name());
        let name = &forwarding.name;
        assert_eq!(forwarding.via(&write(&[])).expect("the first"), format!("1.1 {name}"));
        let four = (0..4).map(|hop| format!("1.1 {NAME_PREFIX}{hop}")).collect::<Vec<_>>().join(",");
        let others = ["1.1 varnish (cache, old), 2 envoy", &*four];
        assert_eq!(
            forwarding.via(&write(&others)).expect("four before"),
            format!("{}, {}, 1.1 {name}", others[0], others[1])
        );
        assert_eq!(forwarding.via(&write(&[others[1], others[1]])), Err(8));
        assert_eq!(forwarding.via(&write(&["1.1 x", &format!("1.1 a,1.1\t{name}")])), Err(1));
    }

    #[test]
    fn who_the_client_is_is_not_shown() {
        let mut write = write(&[]);
        write.headers.push(("authorization", b"Bearer hush".to_vec()));
        assert_eq!(format!("{write:?}"), "Write { target: Activation, .. }");
    }
}
