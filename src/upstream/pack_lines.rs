//! The lines of packs, from files and over HTTP.

use tokio::sync::mpsc;

use super::explain::chain;
use super::pack::SILENCE;
use super::{Access, body, client};
use crate::jwt::pack::{self, Line};

/// This many bytes without a line are not a pack: lines are shorter, and no server sends that many empty ones.
const EMPTY: usize = 4 << 20;

/// What is wrong with a line that is not one of a pack.
pub(crate) const NO_LINE: &str = "is no line of a pack, as in ACCOUNT|JWT";

/// Cuts bytes that come in pieces into lines, and sends their content to a channel.
pub(crate) struct PackLines {
    cut: pack::Lines,
    found: mpsc::Sender<Line>,
    /// The number of bytes since the last line.
    empty: usize,
}

impl PackLines {
    pub(crate) fn to(found: mpsc::Sender<Line>) -> Self {
        Self { cut: pack::Lines::default(), found, empty: 0 }
    }

    /// Adds bytes. The error says that the reader has ended, or that this is not a pack.
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

    /// Ends the pack.
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

/// The URL of the pack of an account server, from any of its URLs.
pub(crate) fn url(text: &str) -> Result<reqwest::Url, String> {
    let mut url = reqwest::Url::parse(text).map_err(|error| format!("cannot use the URL: {error}"))?;
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

/// Reads the pack of an account server to its end. The error says what failed, without the URL.
pub(crate) async fn fetch(url: reqwest::Url, access: &Access, found: mpsc::Sender<Line>) -> Result<(), String> {
    let mut lines = PackLines::to(found);
    let client = client(access).map_err(|error| error.to_string())?;
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

/// Waits for the server for [`SILENCE`] at most.
async fn soon<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let waited = tokio::time::timeout(SILENCE, future).await;
    waited.map_err(|_| format!("the server sent nothing for {} seconds", SILENCE.as_secs()))
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
