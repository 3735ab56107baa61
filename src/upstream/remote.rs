//! A running server, as the client of a command.

use std::time::Duration;

use reqwest::{Response, StatusCode, header};

use super::body::{self, BodyError};
use super::explain::chain;
use super::found::{AnswerLook, PROBE, VARZ, is_varz};
use super::{Access, client};

/// The time limit of one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request is sent while the server is busy or away.
const TRIES: u32 = 5;

/// The server.
#[derive(Clone)]
pub(crate) struct RemoteServer {
    client: reqwest::Client,
    base: String,
}

impl RemoteServer {
    /// The server at `url`, which the flag `flag` gave. The error says what is wrong with the URL or a TLS file.
    pub(crate) fn new(url: &str, flag: &str, access: &Access) -> Result<Self, String> {
        let unusable = |why: &dyn std::fmt::Display| format!("cannot use the URL of {flag}: {why}");
        let parsed = reqwest::Url::parse(url).map_err(|error| unusable(&error))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(unusable(&"it must begin with http:// or https://"));
        }
        Ok(Self::with(client(access).map_err(|error| error.to_string())?, url))
    }

    /// The server at `url`, asked by this client.
    pub(crate) fn with(client: reqwest::Client, url: &str) -> Self {
        let base = url.trim_end_matches('/').trim_end_matches("/jwt/v1").trim_end_matches('/').to_owned();
        Self { client, base }
    }

    /// Sends a GET of a path once, for as long as the caller waits. The error says what failed.
    pub(crate) async fn get_once(&self, path: &str) -> Result<Response, String> {
        self.client.get(self.root(path)).send().await.map_err(|error| chain(&error))
    }

    /// Sends a request until the server answers and is not busy. The error names the server and the last failure.
    pub(crate) async fn send(
        &self,
        make: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<Response, String> {
        let mut tried = 0;
        loop {
            tried += 1;
            let why = match make(&self.client).timeout(TIMEOUT).send().await {
                Ok(reply) if !is_busy(reply.status()) => return Ok(reply),
                Ok(reply) => format!("{}: {}", reply.status(), words(reply).await),
                Err(error) => chain(&error),
            };
            if tried == TRIES {
                return Err(format!("{} does not answer: {why}", self.shown()));
            }
            tokio::time::sleep(Duration::from_millis(200) * 2_u32.pow(tried)).await;
        }
    }

    /// Whether it is an account server, also one of earlier kinds, which has no mark.
    pub(crate) async fn is_account_server(&self) -> bool {
        let Ok(mut reply) = self.get_once(PROBE.trim_start_matches('/')).await else { return false };
        let is_page = look(&reply).is_page();
        reply.status() == StatusCode::OK && !is_page && body::words(&mut reply).await.is_empty()
    }

    /// What gave an answer without the mark of an account server, for people. The server may be asked once more.
    pub(crate) async fn stranger(&self, mut reply: Response) -> String {
        let (look, asked) = (look(&reply), reply.url().path().to_owned());
        let words = body::words(&mut reply).await.join("\n").to_lowercase();
        look.seen(&asked, &words, self.is_monitoring().await)
    }

    /// Whether it is the monitoring port of a nats-server.
    async fn is_monitoring(&self) -> bool {
        let Ok(mut reply) = self.get_once("varz").await else { return false };
        body::read(&mut reply, VARZ).await.is_ok_and(|body| is_varz(&body))
    }

    /// The URL of a path after `/jwt/v1/`.
    pub(crate) fn url(&self, path: &str) -> String {
        self.root(&format!("jwt/v1/{path}"))
    }

    /// The URL of any path.
    pub(crate) fn root(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// The server: scheme, host and port, without the password that its URL may have.
    pub(crate) fn shown(&self) -> String {
        let url = reqwest::Url::parse(&self.base).ok();
        let shown = url
            .and_then(|url| Some(format!("{}://{}:{}", url.scheme(), url.host_str()?, url.port_or_known_default()?)));
        shown.unwrap_or_else(|| "the server".to_owned())
    }
}

fn look(reply: &Response) -> AnswerLook {
    AnswerLook::at(reply.status(), reply.headers(), reply.url())
}

fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY)
}

/// A body of at most `most` bytes, as text.
pub(crate) async fn text(mut reply: Response, most: usize) -> Result<String, String> {
    body::text(&mut reply, most).await.map_err(|error| match error {
        BodyError::Http(error) => chain(&error),
        too_large @ BodyError::TooLarge(_) => too_large.to_string(),
    })
}

/// The text of the answer, in one line.
pub(crate) async fn words(mut reply: Response) -> String {
    let location = reply.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let lines = body::words(&mut reply).await;
    location.map(|location| format!("see {location}")).into_iter().chain(lines).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_server_is_shown_with_scheme_and_port_and_without_a_password() {
        for (url, shown) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("http://127.0.0.1:9091/jwt/v1/", "http://127.0.0.1:9091"),
            ("https://name:secret@accounts.example.com/below", "https://accounts.example.com:443"),
            ("http://[::1]:9090/", "http://[::1]:9090"),
        ] {
            let remote = RemoteServer::new(url, "--to", &Access::of(&Settings::default().replica)).expect("a server");
            assert_eq!(remote.shown(), shown, "{url}");
        }
    }
}
