//! Describes a server that is not an account server, and says what to do.

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, SERVER};
use reqwest::{StatusCode, Url};

use super::UpstreamError;
use crate::excerpt::excerpt_of;

/// The number of bytes of a header that are quoted.
const LONGEST_WORD: usize = 64;

/// The path that only an account server answers with 200 and nothing.
pub(super) const PROBE: &str = "/jwt/v1/accounts/";
/// The largest answer of a monitoring port that is read, in bytes.
pub(super) const VARZ: usize = 256 << 10;

/// An answer without the mark of an account server, and what it says about its sender.
#[derive(Debug)]
pub(super) struct AnswerLook {
    pub(super) status: StatusCode,
    /// The `Server` header, safe to quote.
    pub(super) server: Option<String>,
    is_page: bool,
    /// The scheme, host and port that it redirects to.
    leads_to: Option<String>,
}

/// What an answer without the mark of an account server is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerWorth {
    /// The status says nothing about what was requested, or the body proves itself.
    AsItIs,
    /// The answer counts only if it comes from an account server.
    Doubtful,
    /// An account server never answers so.
    Useless,
}

impl AnswerWorth {
    pub(super) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_MODIFIED => Self::Doubtful,
            // The server is overloaded, whatever it is. That passes.
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Self::AsItIs,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Self::Useless
            }
            status if status.is_redirection() => Self::Useless,
            status if status.is_client_error() => Self::Doubtful,
            _ => Self::AsItIs,
        }
    }
}

impl AnswerLook {
    pub(super) fn at(status: StatusCode, headers: &HeaderMap, asked: &Url) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let target = text(LOCATION).and_then(|location| asked.join(location).ok());
        Self {
            status,
            server: text(SERVER).map(|server| excerpt_of(server, LONGEST_WORD).to_string()),
            is_page: text(CONTENT_TYPE).is_some_and(|kind| kind.trim_start().starts_with("text/html")),
            // The path, the query and the user may be secret.
            leads_to: target.map(|target| target.origin().ascii_serialization()),
        }
    }

    /// Whether it is a web page. Old account servers send plain texts.
    pub(super) const fn is_page(&self) -> bool {
        self.is_page
    }

    /// The error for an answer that no account server gives.
    pub(super) fn useless(&self) -> UpstreamError {
        let status = self.status;
        match status {
            StatusCode::FORBIDDEN => UpstreamError::Denied(
                status,
                "the credentials of this replica do not suffice: they need the scopes read and list there; check \
                 replica.token, the user and password in primary, and the client certificate in replica.tls.cert",
            ),
            StatusCode::UNAUTHORIZED => UpstreamError::Denied(
                status,
                "it rejects the credentials of this replica: check replica.token, the user and password in \
                 primary, and the client certificate in replica.tls.cert",
            ),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => UpstreamError::Denied(
                status,
                "a proxy answered and wants credentials: set primary to the URL of the account server itself",
            ),
            _ => {
                let to = self.leads_to.as_deref().unwrap_or("another place");
                UpstreamError::Useless(format!(
                    "it answered with status {status} and redirects to {to}; replicas follow no redirection: set primary \
                     to the URL of the account server itself"
                ))
            }
        }
    }

    /// The error for an answer of a server that does not behave like an account server. `asked`: the path of the
    /// request. `words`: the lines of the body. `is_monitoring`: whether it looks like a nats-server's monitoring port.
    pub(super) fn stranger(&self, asked: &str, words: &[String], is_monitoring: bool) -> UpstreamError {
        let words = words.join("\n").to_lowercase();
        if speaks_https(&words) {
            return UpstreamError::Useless(
                "it speaks HTTPS, and primary says http://: write https:// in primary".to_owned(),
            );
        }
        UpstreamError::Useless(format!(
            "{}; set primary to the URL of an account server",
            self.seen(asked, &words, is_monitoring)
        ))
    }

    /// What the server is, for people, as far as can be told. The arguments are those of [`Self::stranger`], in lower case.
    pub(super) fn seen(&self, asked: &str, words: &str, is_monitoring: bool) -> String {
        let mut text = format!("it answers, but it is not an account server: GET {asked} gave {}", self.status);
        if let Some(server) = &self.server {
            text.push_str(&format!(" with `Server: {server}`"));
        }
        let guess = if is_monitoring {
            "; it is the monitoring port of a nats-server"
        } else if words.contains("default backend") {
            "; it looks like the default backend of an ingress, whose account servers may be down"
        } else if self.is_page || words.starts_with("<!doctype") || words.starts_with("<html") {
            "; it is a web page"
        } else if speaks_https(words) {
            "; it speaks HTTPS: write https://"
        } else {
            ""
        };
        text.push_str(guess);
        text
    }

    /// The error for a server that was an account server before, and whose answers have lost the mark.
    pub(super) fn lost(&self, asked: &str) -> UpstreamError {
        let server = self.server.as_ref().map_or_else(String::new, |server| format!(" with `Server: {server}`"));
        let page = if self.is_page { " and a web page" } else { "" };
        UpstreamError::Useless(format!(
            "an account server answered there before, and now something else does: GET {asked} gave {}{server}{page}; is \
             it a load balancer whose account servers are down?",
            self.status
        ))
    }
}

/// Whether an answer, in lower case, is that of a server which expects TLS.
fn speaks_https(words: &str) -> bool {
    words.contains("http request to an https server") || words.contains("plain http request was sent to https port")
}

/// Whether an answer to `GET /varz` is that of the monitoring port of a nats-server.
pub(super) fn is_varz(body: &[u8]) -> bool {
    let varz = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    varz.get("server_id").is_some() && varz.get("max_payload").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(status: u16, headers: &[(&'static str, &str)]) -> AnswerLook {
        let headers = headers
            .iter()
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().expect("a value")));
        let asked = Url::parse("http://a.example:80/jwt/v1/accounts/").expect("a URL");
        AnswerLook::at(StatusCode::from_u16(status).expect("a status"), &headers.collect(), &asked)
    }

    #[test]
    fn statuses_are_believed_of_account_servers_alone() {
        let table = [
            (AnswerWorth::Doubtful, &[304u16, 400, 404, 405, 410, 413, 418, 421, 451][..]),
            (AnswerWorth::Useless, &[300, 301, 302, 303, 307, 308, 401, 403, 407][..]),
            (AnswerWorth::AsItIs, &[200, 204, 408, 429, 500, 501, 502, 503, 504, 507, 508][..]),
        ];
        for (worth, statuses) in table {
            for status in statuses {
                assert_eq!(AnswerWorth::of(StatusCode::from_u16(*status).expect("a status")), worth, "{status}");
            }
        }
    }

    #[test]
    fn what_was_found_is_said_with_what_to_do() {
        let long = "x".repeat(1_000);
        let table: [(AnswerLook, &[&str], bool, &[&str]); 6] = [
            (look(404, &[]), &["404 page not found"], true, &["gave 404 Not Found; it is the monitoring port"]),
            (look(404, &[]), &["default backend - 404"], false, &["default backend of an ingress"]),
            (
                look(404, &[("server", "nginx"), ("content-type", "text/html")]),
                &[],
                false,
                &["with `Server: nginx`; it is a web page; set primary"],
            ),
            (look(200, &[]), &["<!DOCTYPE html>"], false, &["200 OK; it is a web page"]),
            (look(400, &[]), &["The plain HTTP request was sent to HTTPS port"], false, &["write https://"]),
            (look(418, &[("server", &long)]), &[], false, &["… (1000 bytes)`"]),
        ];
        for (look, words, is_monitoring, said) in table {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            let text = look.stranger("/x", &words, is_monitoring).to_string();
            assert!(said.iter().all(|said| text.contains(said)) && text.len() < 400, "{text}");
        }
    }

    #[test]
    fn of_a_redirection_only_the_host_is_repeated() {
        let table = [
            ("https://user:pw@b.example:8443/p?secret", "redirects to https://b.example:8443;"),
            ("/elsewhere?secret", "redirects to http://a.example;"),
            ("//b.example/secret", "redirects to http://b.example;"),
            ("http://", "redirects to another place;"),
        ];
        for (location, said) in table {
            let text = look(302, &[("location", location)]).useless().to_string();
            assert!(text.contains(said) && !text.contains("secret") && !text.contains("pw@"), "{text}");
        }
    }
}
