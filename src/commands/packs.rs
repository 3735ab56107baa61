//! The lines of a pack, from wherever they come, and packs over HTTP.

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::jwt::pack;
use crate::key::AccountKey;
use crate::replica::{self, Access};

/// A line: an account and its JWT, or its number if it is none.
pub(super) type Line = Result<Found, u64>;

/// An account of a pack.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: AccountKey,
    pub(super) token: Bytes,
    /// The number of its line.
    pub(super) number: u64,
}

/// What a line that is none lacks.
pub(super) const NO_LINE: &str = "is no line of a pack, as in ACCOUNT|JWT";

/// A line that is longer than this is none, in bytes: the largest token, its key, and some white space.
const LONGEST: usize = (1 << 20) + 8192;

/// Cuts bytes that come in pieces into lines, and tells what is in them.
pub(super) struct Lines {
    rest: BytesMut,
    number: u64,
    found: mpsc::Sender<Line>,
}

impl Lines {
    pub(super) fn to(found: mpsc::Sender<Line>) -> Self {
        Self { rest: BytesMut::new(), number: 0, found }
    }

    /// The next bytes. `Err`: nobody listens any more, or this is no pack.
    pub(super) async fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.rest.extend_from_slice(piece);
            let line = self.rest.split().freeze();
            self.line(line).await?;
        }
        self.rest.extend_from_slice(last);
        if self.rest.len() > LONGEST {
            return Err(format!("line {} is longer than any line of a pack", self.number + 1));
        }
        Ok(())
    }

    /// All was read.
    pub(super) async fn end(mut self) -> Result<(), String> {
        let line = self.rest.split().freeze();
        self.line(line).await
    }

    async fn line(&mut self, line: Bytes) -> Result<(), String> {
        self.number += 1;
        let found = match pack::line(&line) {
            _ if line.trim_ascii().is_empty() => return Ok(()),
            Some((key, token)) => Ok(Found { key, token: line.slice_ref(token), number: self.number }),
            None => Err(self.number),
        };
        self.found.send(found).await.map_err(|_| "nobody takes it in any more".to_owned())
    }
}

/// Where an account server has its pack.
pub(super) fn url(text: &str) -> Result<reqwest::Url, String> {
    let mut url = reqwest::Url::parse(text).map_err(|error| format!("the URL cannot be used: {error}"))?;
    let path = url.path().trim_end_matches('/').to_owned();
    let path = match path.strip_suffix("/pack") {
        Some(base) => format!("{base}/pack"),
        None => format!("{}/jwt/v1/pack", path.trim_end_matches("/jwt/v1")),
    };
    url.set_path(&path);
    Ok(url)
}

/// Reads the pack of an account server to its end.
pub(super) async fn fetch(url: reqwest::Url, access: &Access, found: mpsc::Sender<Line>) -> Result<(), String> {
    let mut lines = Lines::to(found);
    let client = replica::client(access).map_err(|error| error.to_string())?;
    let mut reply = client.get(url).send().await.map_err(|error| chain(&error))?;
    if !reply.status().is_success() {
        let status = reply.status();
        let text = reply.text().await.unwrap_or_default();
        return Err(format!("the server says {status}: {}", text.trim_end()));
    }
    while let Some(piece) = reply.chunk().await.map_err(|error| format!("the pack broke off: {}", chain(&error)))? {
        lines.push(&piece).await?;
    }
    lines.end().await
}

/// An error of the HTTP client with all its causes, and without the URL, in which a password may stand.
pub(super) fn chain(error: &reqwest::Error) -> String {
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
            ("http://h:9090", "http://h:9090/jwt/v1/pack"),
            ("http://h/", "http://h/jwt/v1/pack"),
            ("https://u:p@h/jwt/v1/", "https://u:p@h/jwt/v1/pack"),
            ("http://h/behind/jwt/v1/pack", "http://h/behind/jwt/v1/pack"),
            ("http://h/behind", "http://h/behind/jwt/v1/pack"),
        ] {
            assert_eq!(url(text).map(String::from).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_pieces_end() {
        let keys = [1, 2].map(|byte| AccountKey::from_raw([byte; 32]));
        let text = format!("{}|a.b.c\n\nnonsense\n{}|d.e.f", keys[0], keys[1]);
        for size in [1, 7, 1000] {
            let (sender, mut lines) = mpsc::channel(10);
            let mut cut = Lines::to(sender);
            for piece in text.as_bytes().chunks(size) {
                cut.push(piece).await.expect("listened to");
            }
            cut.end().await.expect("listened to");
            let mut seen = Vec::new();
            while let Some(line) = lines.recv().await {
                seen.push(line.map(|line| (line.key, line.number)));
            }
            assert_eq!(seen, [Ok((keys[0], 1)), Err(3), Ok((keys[1], 4))], "{size}");
        }
    }
}
