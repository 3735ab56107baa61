//! Reading what a server answers, and never more than is expected of it.
//!
//! Nothing else reads a body: a server that lies, or anybody on the way to it, could send without end. `clippy.toml` forbids
//! the methods that read to the end.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::timeout;

/// The largest answer with one JWT, in bytes: a token and some white space.
pub(crate) const TOKEN: usize = (1 << 20) + 4096;
/// How much is read of the text of an error, in bytes.
const WORDS: usize = 4096;
/// How long the text of an error may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is larger than was expected.
    #[error("the answer has more than the {0} bytes that are expected")]
    TooLarge(usize),
    /// It broke off.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

/// The next piece of a body that has no bound of its own. Its reader bounds what it keeps.
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

/// What a server says about an error, as far as it comes soon and is short. Lines without what cannot be printed.
pub(crate) async fn words(response: &mut Response) -> Vec<String> {
    let mut body = Vec::new();
    let read = async {
        while body.len() < WORDS
            && let Ok(Some(piece)) = piece(response).await
        {
            body.extend_from_slice(&piece[..piece.len().min(WORDS - body.len())]);
        }
    };
    // What came in time is what there is to say.
    let _ = timeout(PATIENCE, read).await;
    let text = String::from_utf8_lossy(&body);
    let lines = text.lines().map(|line| line.chars().filter(|symbol| !symbol.is_control()).collect::<String>());
    lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}
