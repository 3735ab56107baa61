//! Reads the bodies of answers, each up to a bound.
//!
//! No other code reads a body, because a server could send without end. `clippy.toml` forbids the methods that read to
//! the end.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::timeout;

/// The largest answer with one JWT, in bytes: a token and some white space.
pub(crate) const TOKEN: usize = (1 << 20) + 4096;
/// The number of bytes of an error text that are read.
const WORDS: usize = 4096;
/// The time limit for reading an error text.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The body is larger than expected.
    #[error("the answer has more than the {0} bytes that are expected")]
    TooLarge(usize),
    /// The body broke off.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

/// The next piece of a body that has no bound. The caller bounds what it stores.
#[expect(clippy::disallowed_methods, reason = "everything else reads through this")]
pub(crate) async fn piece(response: &mut Response) -> reqwest::Result<Option<Bytes>> {
    response.chunk().await
}

/// A body of at most `most` bytes.
pub(crate) async fn read(response: &mut Response, most: usize) -> Result<Bytes, BodyError> {
    let expected = response.content_length().unwrap_or(0);
    if expected > most as u64 {
        return Err(BodyError::TooLarge(most));
    }
    let mut body = Vec::new();
    while let Some(piece) = piece(response).await? {
        if body.len() + piece.len() > most {
            return Err(BodyError::TooLarge(most));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}

/// A body of at most `most` bytes, as text.
pub(crate) async fn text(response: &mut Response, most: usize) -> Result<String, BodyError> {
    let body = read(response, most).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The text that a server sends with an error, cut off if it is slow or long: its lines, without control
/// characters.
pub(crate) async fn words(response: &mut Response) -> Vec<String> {
    let mut body = Vec::new();
    let read = async {
        while body.len() < WORDS
            && let Ok(Some(piece)) = piece(response).await
        {
            body.extend_from_slice(&piece[..piece.len().min(WORDS - body.len())]);
        }
    };
    // The part that came in time is enough.
    let _ = timeout(PATIENCE, read).await;
    let text = String::from_utf8_lossy(&body);
    let lines = text.lines().map(|line| line.chars().filter(|symbol| !symbol.is_control()).collect::<String>());
    lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}
