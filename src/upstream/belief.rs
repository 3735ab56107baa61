//! Whether a server is an account server: the one place that decides it.
//!
//! Whatever answers at an address can say 404. Believed of the primary, that would mean that no account exists. So an answer
//! that says what a server lacks counts only with the mark that every server of our kind puts on its answers
//! ([`SERVER_HEADER`]). Older servers have no mark. They show what they are by the probe that nats-server sends at its start,
//! `GET /jwt/v1/accounts/`, which each of them answers with 200 and nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{CONNECTION, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::Instant;

use super::body;
use super::found::{AnswerLook, AnswerWorth};
use super::marks::ServerMark;
use super::{UpstreamError, UpstreamServer};
use crate::feed::wire::SERVER_HEADER;

/// For how long the probe speaks for a server without a mark. It may be a load balancer, which answers by itself as soon as its
/// account servers are down.
const PROVEN: Duration = Duration::from_secs(1);
/// How often a server that turned out to be something else is asked again, at most.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a request is sent that comes back to this process. Behind a load balancer others may get it.
const TRIES: u32 = 5;
/// How many requests in a row may come back however often they are sent, before it is said.
const CHANCE: u32 = 2;
/// The largest answer of a monitoring port that is read, in bytes.
const VARZ: usize = 256 << 10;
/// What shows an older account server.
const PROBE: &str = "/jwt/v1/accounts/";
/// How often the same finding is written to the log.
const REMIND: Duration = Duration::from_secs(600);
/// How often other findings are.
const NEWS: Duration = Duration::from_secs(5);

/// What is known of whether a server is an account server.
#[derive(Debug, Default)]
pub(super) struct Belief {
    /// Whether an answer with the mark came from it. From then on an answer without it is another server's.
    was_marked: AtomicBool,
    /// How many requests in a row came back to this process, however often they were sent.
    returned: AtomicU32,
    /// What the last probe showed. Held while it is sent: all that doubt share one.
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

/// Whether a server of our kind sent an answer.
pub(super) fn is_marked(response: &Response) -> bool {
    response.headers().contains_key(SERVER_HEADER)
}

/// The error that an answer is that has nothing in it where an account server always has something.
pub(super) fn nothing(response: &Response) -> UpstreamError {
    look(response).stranger(response.url().path(), &[], false)
}

impl UpstreamServer {
    /// Sends a request. An answer that says what the server lacks comes from an account server, or is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, UpstreamError> {
        let result = self.send_on(request).await;
        if let Err(error) = &result {
            self.tell(error);
        }
        result
    }

    /// Sends a request, and again while it comes back to this process.
    async fn send_on(&self, mut request: RequestBuilder) -> Result<Response, UpstreamError> {
        for _ in 1..TRIES {
            let again = request.try_clone();
            match (self.send_once(request).await, again) {
                // On another connection, which may lead elsewhere.
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
        if !is_marked(&response) {
            match AnswerWorth::of(response.status()) {
                AnswerWorth::AsItIs => {}
                AnswerWorth::Doubtful => self.vouch(&response).await?,
                AnswerWorth::Useless => return Err(look(&response).useless()),
            }
        }
        self.clock.note(response.headers(), took, self.shown());
        Ok(response)
    }

    /// Notes who sent an answer.
    fn note_sender(&self, response: &Response) -> Result<(), UpstreamError> {
        let Some(mark) = ServerMark::of(response.headers()) else { return Ok(()) };
        if mark.name == self.own_name() {
            return Err(UpstreamError::Ourselves);
        }
        self.belief.returned.store(0, Ordering::Release);
        self.belief.was_marked.store(true, Ordering::Release);
        let circle = self.route.note(mark, self.own_name());
        // What another one has at hand it may give.
        circle.filter(|_| response.status().is_server_error()).map_or(Ok(()), |hops| Err(UpstreamError::Circle(hops)))
    }

    /// Makes sure that an answer, whatever it says, comes from an account server.
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

    /// Asks what only an account server answers as it should. Gives the `Server` header of one that does.
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
        let varz = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        varz.get("server_id").is_some() && varz.get("max_payload").is_some()
    }

    async fn probing(&self, path: &str) -> Result<Response, UpstreamError> {
        self.get_now(path).send().await.map_err(|error| self.transport(&error))
    }

    /// Writes to the log what an operator can do something about, once, and now and then again.
    fn tell(&self, error: &UpstreamError) {
        // Behind a load balancer that may happen now and then.
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
