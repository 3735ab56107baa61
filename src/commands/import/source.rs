//! Where accounts come from.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{self, Sender};

use super::FoundToken;
use crate::config::Settings;
use crate::folder::{self, Layout, Unread, nsc};
use crate::jwt::pack::Line;
use crate::jwt::{AnyJwt, Body, given};
use crate::metrics::{Metrics, Profile};
use crate::nats::{self, Pulled, Purpose};
use crate::upstream::Access;
use crate::upstream::pack_lines::{self, PackLines};

/// A source that can be read.
#[derive(Debug)]
pub(super) enum ImportSource {
    /// A folder of `<key>.jwt`, in either layout.
    Folder(PathBuf),
    /// An operator's folder of nsc.
    Nsc(PathBuf),
    /// A file with a pack, or with one JWT.
    Pack(PathBuf),
    /// The standard input, likewise.
    Stdin,
    /// The pack of an account server.
    Url { url: reqwest::Url, access: Access },
    /// Full resolvers on NATS.
    Nats(Box<nats::Setup>),
}

impl ImportSource {
    /// What a text names. `creds`: for NATS.
    pub(super) fn parse(text: &str, settings: &Settings, creds: Option<PathBuf>) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url { url: pack_lines::url(text)?, access: Access::of_command(settings) });
        }
        if text.contains("://") {
            let mut nats = settings.nats.clone();
            nats.servers = text.split(',').map(str::to_owned).collect();
            nats.creds = creds.or(nats.creds);
            return nats::Setup::of(&nats)
                .map(|setup| Self::Nats(Box::new(setup)))
                .ok_or_else(|| format!("{text} names no nats-server"));
        }
        let path = PathBuf::from(text);
        if path.is_file() {
            return Ok(Self::Pack(path));
        }
        if !path.is_dir() {
            return Err(format!("{text} is neither a folder nor a file, nor a URL of http, https, nats or tls"));
        }
        // A folder of tokens may lie in one of nsc's, or hold its files: what is named after an account decides.
        let holds_tokens =
            folder::list(&path, Layout::Flat).is_ok_and(|list| !list.homes.is_empty() || !list.extras.is_empty());
        if holds_tokens {
            return Ok(Self::Folder(path));
        }
        if nsc::check(&path).is_ok() {
            return Ok(Self::Nsc(path));
        }
        nsc::wrong_level(&path).map_or(Ok(Self::Folder(path)), |error| Err(error.to_string()))
    }

    /// The folder, if it is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) | Self::Nsc(path) => Some(path),
            _ => None,
        }
    }

    /// Tells everything that is there. The error is why that was not all.
    pub(super) async fn read(self, found: Sender<FoundToken>) -> Result<(), String> {
        match self {
            Self::Folder(path) => blocking(move || folder(&path, &found)).await,
            Self::Nsc(path) => blocking(move || store(&path, &found)).await,
            Self::Pack(path) => {
                if let Some(one) = single(&path) {
                    return found.send(one).await.map_err(|_| "nothing reads it any more".to_owned());
                }
                let file = std::fs::File::open(&path).map_err(|error| error.to_string())?;
                lines(found, |lines| stream(file, lines)).await
            }
            Self::Stdin => lines(found, |lines| stream(std::io::stdin(), lines)).await,
            Self::Url { url, access } => {
                lines(found, |lines| async move { pack_lines::fetch(url, &access, lines).await }).await
            }
            Self::Nats(setup) => lines(found, |lines| async move { resolver(&setup, lines).await }).await,
        }
    }
}

async fn blocking(read: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
}

fn send(found: &Sender<FoundToken>, what: FoundToken) -> Result<(), String> {
    found.blocking_send(what).map_err(|_| "nothing reads it any more".to_owned())
}

fn folder(root: &Path, found: &Sender<FoundToken>) -> Result<(), String> {
    let list = folder::list(root, Layout::Flat).map_err(|error| error.to_string())?;
    let total = list.homes.len() + list.extras.len() + list.deleted.len() + list.activations.len() + list.others.count;
    send(found, FoundToken::Ahead(u64::try_from(total).unwrap_or(u64::MAX)))?;
    let homes = list.homes.into_iter().map(|key| (Layout::Flat.place(root, &key), key));
    for (path, key) in homes.chain(list.extras.into_iter().map(|file| (file.path, file.key))) {
        file(&path, found, |token, origin| FoundToken::Account { key: Some(key), token, origin })?;
    }
    for (path, _) in list.activations {
        file(&path, found, |token, origin| FoundToken::Activation { token, origin })?;
    }
    for buried in list.deleted {
        // Whatever is in it, the account was deleted.
        let bytes = folder::read(&buried.path).map(|(_, bytes)| bytes).unwrap_or_default();
        let token = given(&bytes).map(|jwt| Bytes::copy_from_slice(jwt.as_bytes())).unwrap_or_default();
        send(found, FoundToken::Deleted { key: buried.key, token })?;
    }
    (0..list.others.count).try_for_each(|_| send(found, FoundToken::Other))?;
    match list.closed.first() {
        Some(closed) => Err(closed.error.to_string()),
        None => Ok(()),
    }
}

fn store(root: &Path, found: &Sender<FoundToken>) -> Result<(), String> {
    let (_, files) = nsc::list(root).map_err(|error| error.to_string())?;
    send(found, FoundToken::Ahead(u64::try_from(files.len()).unwrap_or(u64::MAX)))?;
    files
        .iter()
        .try_for_each(|path| file(path, found, |token, origin| FoundToken::Account { key: None, token, origin }))
}

fn file(path: &Path, found: &Sender<FoundToken>, make: impl FnOnce(Bytes, String) -> FoundToken) -> Result<(), String> {
    let origin = path.display().to_string();
    match folder::read(path) {
        Ok((_, bytes)) => match given(&bytes) {
            Ok(jwt) => send(found, make(Bytes::copy_from_slice(jwt.as_bytes()), origin)),
            Err(why) => send(found, FoundToken::Unread { origin, why: why.to_string() }),
        },
        // A deleted account's.
        Err(Unread::Missing) => Ok(()),
        Err(unread) => send(found, FoundToken::Unread { origin, why: unread.to_string() }),
    }
}

/// What is in a file that has one JWT, and not the lines of a pack.
fn single(path: &Path) -> Option<FoundToken> {
    let origin = path.display().to_string();
    let (_, bytes) = folder::read(path).ok()?;
    match given(&bytes) {
        Ok(jwt) => {
            let token = Bytes::copy_from_slice(jwt.as_bytes());
            let is_activation = AnyJwt::decode(&jwt).is_ok_and(|jwt| matches!(jwt.body, Body::Activation(_)));
            Some(if is_activation {
                FoundToken::Activation { token, origin }
            } else {
                FoundToken::Account { key: None, token, origin }
            })
        }
        Err(found) if found.is_private() => Some(FoundToken::Unread { origin, why: found.to_string() }),
        Err(_) => None,
    }
}

/// Passes on the lines of a pack while they are read.
async fn lines<R: Future<Output = Result<(), String>>>(
    found: Sender<FoundToken>,
    read: impl FnOnce(Sender<Line>) -> R,
) -> Result<(), String> {
    let (sender, mut lines) = mpsc::channel::<Line>(64);
    let pass_on = async move {
        while let Some(line) = lines.recv().await {
            let found_line = match line {
                Ok(line) => FoundToken::Account {
                    key: Some(line.key),
                    token: line.token,
                    origin: format!("line {}", line.number),
                },
                Err(number) => {
                    FoundToken::Unread { origin: format!("line {number}"), why: pack_lines::NO_LINE.to_owned() }
                }
            };
            if found.send(found_line).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read(sender), pass_on).0
}

/// Reads a pack to its end, on a thread that may wait for it.
async fn stream(mut from: impl Read + Send + 'static, found: Sender<Line>) -> Result<(), String> {
    let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(16);
    let reading = tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; 1 << 16];
            match from.read(&mut piece).map_err(|error| error.to_string())? {
                0 => return Ok(()),
                read => piece.truncate(read),
            }
            if sender.blocking_send(piece).is_err() {
                return Ok(());
            }
        }
    });
    let mut lines = PackLines::to(found);
    while let Some(piece) = pieces.recv().await {
        lines.push(&piece).await?;
    }
    lines.end().await?;
    reading.await.map_err(|error| error.to_string())?
}

async fn resolver(setup: &nats::Setup, found: Sender<Line>) -> Result<(), String> {
    let metrics = Arc::new(Metrics::new(Profile::primary()).map_err(|error| error.to_string())?);
    let link = nats::Link::new(setup.clone(), metrics).map_err(|error| error.to_string())?;
    link.check_creds().await.map_err(|error| error.to_string())?;
    let connected = nats::connect(&link, Purpose::Packs).await.map_err(|error| error.to_string())?;
    let (sender, mut messages) = mpsc::channel::<Bytes>(64);
    let pulling = tokio::spawn(async move { nats::pull(&connected, &sender).await });
    let mut lines = PackLines::to(found);
    while let Some(message) = messages.recv().await {
        lines.push(&message).await?;
        lines.push(b"\n").await?;
    }
    match pulling.await.map_err(|error| error.to_string())? {
        Pulled::Whole => Ok(()),
        Pulled::Broken(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_not_there_is_named() {
        let error = ImportSource::parse("/no/such/place", &Settings::default(), None).expect_err("nothing there");
        assert!(error.contains("/no/such/place"), "{error}");
    }
}
