//! What commands ask a running server, or a folder on which none runs.

use std::path::Path;

use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::local::LocalServer;
use crate::config::Settings;
use crate::folder::FolderLock;
use crate::primary::Setup;
use crate::upstream::Access;
use crate::upstream::remote::{RemoteServer, text, words};

/// The largest answer with a list, in bytes: 1000 accounts of each kind for each of many nats-servers.
pub(super) const LIST: usize = 64 << 20;

/// What follows an error of a server that was not named, because the folder could be read instead.
pub(super) const OFFLINE_HINT: &str = "with --offline, the folder is read instead";

/// What is wrong if there is neither a server nor a folder.
pub(super) const NOTHING_TO_READ: &str =
    "there is nothing to read: give the folder of JWTs, as in -dir FOLDER, or the URL of a server, with --url";

/// The server to ask: the one of `--url`, or else the one that runs on the folder of the settings, or at their address.
/// `None`: the folder itself is to be read, because that is wanted (`offline`), or because no server runs on it.
pub(super) fn server(settings: &Settings, url: Option<&str>, offline: bool) -> Result<Option<AskedListeners>, String> {
    match url {
        Some(url) => {
            let accounts = RemoteServer::new(url, "--url", &Access::of_command(settings))?;
            Ok(Some(AskedListeners { api: accounts.clone(), accounts }))
        }
        None if offline || is_idle(settings) => Ok(None),
        None => {
            let accounts = LocalServer::of(settings)?.remote;
            Ok(Some(AskedListeners { accounts, api: LocalServer::of_api(settings)?.remote }))
        }
    }
}

/// A server, which may have its API on a listener of its own.
pub(super) struct AskedListeners {
    /// Where it serves accounts.
    pub(super) accounts: RemoteServer,
    /// Where its API is.
    pub(super) api: RemoteServer,
}

/// Whether there is a folder, and no server runs on it.
fn is_idle(settings: &Settings) -> bool {
    let has_folder = settings.store.dir.is_some() || settings.store.state_dir.is_some();
    let state = Setup::of(settings).journal().and_then(|journal| journal.parent().map(Path::to_owned));
    has_folder && !state.is_some_and(|state| FolderLock::is_held(&state))
}

/// A problem document of the API, as far as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) detail: String,
}

/// A document, if there is one at this path.
pub(super) async fn json<T: DeserializeOwned>(remote: &RemoteServer, path: &str) -> Result<Option<T>, String> {
    let reply = get(remote, path).await?;
    match reply.status() {
        StatusCode::OK => {
            let text = text(reply, LIST).await?;
            serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| format!("{} answers /{path} with something else: {error}", remote.shown()))
        }
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(unexpected(remote, reply).await),
    }
}

/// Asks for a path, until the server answers.
pub(super) async fn get(remote: &RemoteServer, path: &str) -> Result<Response, String> {
    remote.send(|client| client.get(remote.root(path))).await
}

/// What an answer says that was not expected, for people.
pub(super) async fn unexpected(remote: &RemoteServer, reply: Response) -> String {
    let status = reply.status();
    format!("{} says {status}: {}", remote.shown(), words(reply).await)
}
