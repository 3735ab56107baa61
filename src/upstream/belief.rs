//! Decides whether a server is an account server. No other place decides that.
//!
//! Any server can answer 404. If a replica believed every 404 of its primary, no account would exist. So an answer that
//! something does not exist counts only with the mark that our servers put on their answers ([`SERVER_HEADER`]). Older
//! servers have no mark. For them, the replica sends the probe that nats-server sends at its start, `GET
//! /jwt/v1/accounts/`. Every account server answers it with 200 and an empty body.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{CONNECTION, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::Instant;

use super::body;
use super::found::{AnswerLook, AnswerWorth, PROBE, VARZ, is_varz};
use super::marks::ServerMark;
use super::{UpstreamError, UpstreamServer};
use crate::feed::wire::SERVER_HEADER;

/// How long a probe counts for a server without a mark. The server may be a load balancer that answers by itself as
/// soon as its account servers are down.
const PROVEN: Duration = Duration::from_secs(1);
/// The shortest time between two probes of a server that is not an account server.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a request is sent that comes back to this process. Behind a load balancer, a repeated request may reach
/// another server.
const TRIES: u32 = 5;
/// How many requests in a row may come back to this process before it logs that.
const CHANCE: u32 = 2;
/// The pause between two log lines with the same finding.
const REMIND: Duration = Duration::from_secs(600);
/// The pause between two log lines with different findings.
const NEWS: Duration = Duration::from_secs(5);

/// What is known of whether a server is an account server.
#[derive(Debug, Default)]
pub(super) struct Belief {
    /// Whether an answer with the mark came from it. From then on, an answer without the mark comes from another
    /// server.
    was_marked: AtomicBool,
    /// How many requests in a row came back to this process, after all repetitions.
    returned: AtomicU32,
    /// The result of the last probe. Locked while a probe is under way, so that all requests share one.
    probed: tokio::sync::Mutex<Option<Probed>>,
    told: Mutex<Option<(Instant, String)>>,
}

#[derive(Debug)]
struct Probed {
    at: Instant,
    /// The `Server` header of a server that passed.
    result: Result<Option<String>, UpstreamError>,
}

impl Belief {
    /// Whether a finding is worth a line in the log.
    fn is_news(&self, text: &str, now: Instant) -> bool {
        let mut told = self.told.lock();
        let pause = |before: &str| if before == text { REMIND } else { NEWS };
        if told.as_ref().is_some_and(|(at, before)| now.duration_since(*at) < pause(before)) {
            return false;
        }
        *told = Some((now, text.to_owned()));
        true
    }
}

/// Whether one of our servers sent an answer.
pub(super) fn is_marked(response: &Response) -> bool {
    response.headers().contains_key(SERVER_HEADER)
}

/// The error for an answer that is empty where an account server's answer never is.
pub(super) fn nothing(response: &Response) -> UpstreamError {
    look(response).stranger(response.url().path(), &[], false)
}

impl UpstreamServer {
    /// Sends a request. An answer that something does not exist comes from an account server, or is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, UpstreamError> {
        let result = self.send_on(request).await;
        if let Err(error) = &result {
            self.tell(error);
        }
        result
    }

    /// Sends a request, and sends it again while it comes back to this process.
    async fn send_on(&self, mut request: RequestBuilder) -> Result<Response, UpstreamError> {
        for _ in 1..TRIES {
            let again = request.try_clone();
            match (self.send_once(request).await, again) {
                // Another connection may lead to another server.
                (Err(UpstreamError::Ourselves), Some(again)) => {
                    request = again.header(CONNECTION, HeaderValue::from_static("close"));
                }
                (result, _) => return result,
            }
        }
        self.send_once(request).await
    }

    async fn send_once(&self, request: RequestBuilder) -> Result<Response, UpstreamError> {
        let sent = Instant::now();
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        let took = sent.elapsed();
        self.note_sender(&response)?;
        if is_marked(&response) {
            if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Err(look(&response).useless());
            }
        } else {
            match AnswerWorth::of(response.status()) {
                AnswerWorth::AsItIs => {}
                AnswerWorth::Doubtful => self.vouch(&response).await?,
                AnswerWorth::Useless => return Err(look(&response).useless()),
            }
        }
        self.clock.note(response.headers(), took, self.shown());
        Ok(response)
    }

    /// Notes the sender of an answer.
    fn note_sender(&self, response: &Response) -> Result<(), UpstreamError> {
        let Some(mark) = ServerMark::of(response.headers()) else { return Ok(()) };
        if mark.name == self.own_name() {
            return Err(UpstreamError::Ourselves);
        }
        self.belief.returned.store(0, Ordering::Release);
        self.belief.was_marked.store(true, Ordering::Release);
        let circle = self.route.note(mark, self.own_name());
        // A replica in a circle may still answer from its cache.
        circle.filter(|_| response.status().is_server_error()).map_or(Ok(()), |hops| Err(UpstreamError::Circle(hops)))
    }

    /// Makes sure that an answer comes from an account server, whatever it says.
    pub(crate) async fn vouch(&self, response: &Response) -> Result<(), UpstreamError> {
        if is_marked(response) {
            return Ok(());
        }
        let look = look(response);
        if self.belief.was_marked.load(Ordering::Acquire) {
            return Err(look.lost(response.url().path()));
        }
        let mut probed = self.belief.probed.lock().await;
        if let Some(Probed { at, result }) = &*probed {
            match result {
                Ok(server) if at.elapsed() < PROVEN && *server == look.server && !look.is_page() => return Ok(()),
                Err(error) if at.elapsed() < AGAIN => return Err(error.clone()),
                _ => {}
            }
        }
        let result = self.probe().await;
        let answer = result.as_ref().map(drop).map_err(Clone::clone);
        *probed = Some(Probed { at: Instant::now(), result });
        answer
    }

    /// Sends the probe. Returns the `Server` header of a server that passes.
    async fn probe(&self) -> Result<Option<String>, UpstreamError> {
        let mut response = self.probing(PROBE).await?;
        self.note_sender(&response)?;
        let look = look(&response);
        if is_marked(&response) {
            return Ok(look.server);
        }
        if AnswerWorth::of(look.status) == AnswerWorth::Useless {
            return Err(look.useless());
        }
        if look.status.is_server_error() || look.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(UpstreamError::Status(look.status));
        }
        let words = body::words(&mut response).await;
        if look.status == StatusCode::OK && words.is_empty() && !look.is_page() {
            return Ok(look.server);
        }
        Err(look.stranger(PROBE, &words, self.is_monitoring().await))
    }

    /// Whether it is the monitoring port of a nats-server.
    async fn is_monitoring(&self) -> bool {
        let Ok(mut response) = self.probing("/varz").await else { return false };
        let Ok(body) = body::read(&mut response, VARZ).await else { return false };
        is_varz(&body)
    }

    async fn probing(&self, path: &str) -> Result<Response, UpstreamError> {
        self.get_now(path).send().await.map_err(|error| self.transport(&error))
    }

    /// Logs an error that an operator must act on, and repeats the line now and then.
    fn tell(&self, error: &UpstreamError) {
        // Behind a load balancer, a request may come back by chance.
        let is_chance =
            matches!(error, UpstreamError::Ourselves) && self.belief.returned.fetch_add(1, Ordering::AcqRel) < CHANCE;
        if error.is_told() && !is_chance {
            let text = error.to_string();
            if self.belief.is_news(&text, Instant::now()) {
                tracing::warn!("the primary {} cannot be used: {text}", self.shown());
            }
        }
    }
}

fn look(response: &Response) -> AnswerLook {
    AnswerLook::at(response.status(), response.headers(), response.url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_said_once_and_now_and_then_again() {
        let (belief, start) = (Belief::default(), Instant::now());
        let table =
            [(0, "a", true), (1, "a", false), (4, "b", false), (5, "b", true), (9, "b", false), (605, "b", true)];
        for (seconds, text, is_said) in table {
            assert_eq!(belief.is_news(text, start + Duration::from_secs(seconds)), is_said, "{seconds} {text}");
        }
    }
}
