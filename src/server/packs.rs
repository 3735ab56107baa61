//! The lines of a pack, from wherever they come, and packs over HTTP.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::jwt::pack::{self, Line};
use crate::replica::{self, Access};
use crate::upstream::body;

/// How long the next piece may take. The Go server reads every file before it sends the first byte.
const SILENCE: Duration = Duration::from_secs(120);

/// Bytes without a line after which an answer is no pack: a line is shorter, and no server sends that many empty ones.
const EMPTY: usize = 4 << 20;

/// What a line that is none lacks.
pub(crate) const NO_LINE: &str = "is no line of a pack, as in ACCOUNT|JWT";

/// Cuts bytes that come in pieces into lines, and tells what is in them.
pub(crate) struct PackLines {
    cut: pack::Lines,
    found: mpsc::Sender<Line>,
    /// Bytes since the last line.
    empty: usize,
}

impl PackLines {
    pub(crate) fn to(found: mpsc::Sender<Line>) -> Self {
        Self { cut: pack::Lines::default(), found, empty: 0 }
    }

    /// The next bytes. `Err`: the reader is gone, or this is no pack.
    pub(crate) async fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.empty += bytes.len();
        for line in self.cut.push(bytes).map_err(|error| error.to_string())? {
            self.empty = 0;
            self.send(line).await?;
        }
        if self.empty > EMPTY {
            return Err(format!("it sent {EMPTY} bytes without a line"));
        }
        Ok(())
    }

    /// All was read.
    pub(crate) async fn end(mut self) -> Result<(), String> {
        match self.cut.end() {
            Some(line) => self.send(line).await,
            None => Ok(()),
        }
    }

    async fn send(&self, line: Line) -> Result<(), String> {
        self.found.send(line).await.map_err(|_| "nothing reads it any more".to_owned())
    }
}

/// Where an account server has its pack.
pub(crate) fn url(text: &str) -> Result<reqwest::Url, String> {
    let mut url = reqwest::Url::parse(text).map_err(|error| format!("the URL cannot be used: {error}"))?;
    let path = url.path().trim_end_matches('/').to_owned();
    let path = match path.strip_suffix("/pack") {
        Some(base) => format!("{base}/pack"),
        None => format!("{}/jwt/v1/pack", path.trim_end_matches("/jwt/v1")),
    };
    url.set_path(&path);
    if url.query().is_none() {
        // Without a limit: v1.0.3 stops at 10 000 accounts unless one is named.
        url.set_query(Some("max=-1"));
    }
    Ok(url)
}

/// Reads the pack of an account server to its end.
pub(crate) async fn fetch(url: reqwest::Url, access: &Access, found: mpsc::Sender<Line>) -> Result<(), String> {
    let mut lines = PackLines::to(found);
    let client = replica::client(access).map_err(|error| error.to_string())?;
    let mut reply = soon(client.get(url).send()).await?.map_err(|error| chain(&error))?;
    if !reply.status().is_success() {
        let status = reply.status();
        return Err(format!("the server says {status}: {}", body::words(&mut reply).await.join("; ")));
    }
    while let Some(piece) =
        soon(body::piece(&mut reply)).await?.map_err(|error| format!("the pack broke off: {}", chain(&error)))?
    {
        lines.push(&piece).await?;
    }
    lines.end().await
}

/// Waits for the server as long as it may be silent.
async fn soon<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let waited = tokio::time::timeout(SILENCE, future).await;
    waited.map_err(|_| format!("the server says nothing for {} seconds", SILENCE.as_secs()))
}

/// An error of the HTTP client with all its causes, and without the URL, in which a password may stand.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = String::from("the request failed");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_of_a_server_is_found_from_any_of_its_urls() {
        for (text, wanted) in [
            ("http://h:9090", "http://h:9090/jwt/v1/pack?max=-1"),
            ("http://h/", "http://h/jwt/v1/pack?max=-1"),
            ("https://u:p@h/jwt/v1/", "https://u:p@h/jwt/v1/pack?max=-1"),
            ("http://h/behind/jwt/v1/pack?max=7", "http://h/behind/jwt/v1/pack?max=7"),
            ("http://h/behind", "http://h/behind/jwt/v1/pack?max=-1"),
        ] {
            assert_eq!(url(text).map(String::from).as_deref(), Ok(wanted), "{text}");
        }
    }
}
