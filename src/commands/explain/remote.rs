//! Asks a running server over HTTP.

use std::sync::Arc;

use reqwest::StatusCode;
use serde::Deserialize;

use super::fleet;
use super::judge::AccountState;
use super::knowledge::Knowledge;
use crate::clock;
use crate::commands::asked::{AskedListeners, get, json, unexpected};
use crate::feed::wire::SERVER_HEADER;
use crate::gate::Trust;
use crate::key::AccountKey;
use crate::upstream::body;
use crate::upstream::remote::{RemoteServer, text, words};

/// What a running server serves of an account. The error says why it cannot be asked.
pub(super) async fn ask(asked: &AskedListeners, key: &AccountKey) -> Result<Knowledge, String> {
    let remote = &asked.accounts;
    let operator = operator(remote).await?;
    let history = history(remote, key).await?;
    let account = account(remote, key, &history).await?;
    let fleet = fleet::ask(asked, key, &history).await?;
    Ok(Knowledge { place: remote.shown(), account, operator, fleet })
}

/// The versions that the account had.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PastVersions {
    deleted: bool,
    versions: Vec<PastVersion>,
}

/// One of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PastVersion {
    serial: Option<u64>,
    identity: String,
}

impl PastVersions {
    /// The text of the version with this identity, if the server still has it.
    pub(super) async fn text_of(
        &self,
        remote: &RemoteServer,
        key: &AccountKey,
        identity: &str,
    ) -> Result<Option<String>, String> {
        let Some(serial) = self.versions.iter().find(|version| version.identity == identity).and_then(|it| it.serial)
        else {
            return Ok(None);
        };
        let reply = get(remote, &format!("jwt/v1/accounts/{key}/history?serial={serial}")).await?;
        if reply.status() == StatusCode::OK { text(reply, body::TOKEN).await.map(Some) } else { Ok(None) }
    }
}

async fn operator(remote: &RemoteServer) -> Result<Option<Arc<Trust>>, String> {
    let reply = get(remote, "jwt/v1/operator").await?;
    match reply.status() {
        StatusCode::OK => {
            let jwt = text(reply, body::TOKEN).await?;
            let trust = Trust::from_operator_jwt(&jwt, clock::unix_seconds());
            trust.map(|trust| Some(Arc::new(trust))).map_err(|error| format!("{} serves {error}", remote.shown()))
        }
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(unexpected(remote, reply).await),
    }
}

/// A cache has no history, and neither has an account that never was.
async fn history(remote: &RemoteServer, key: &AccountKey) -> Result<PastVersions, String> {
    Ok(json(remote, &format!("jwt/v1/accounts/{key}/history")).await?.unwrap_or_default())
}

async fn account(remote: &RemoteServer, key: &AccountKey, history: &PastVersions) -> Result<AccountState, String> {
    let reply = get(remote, &format!("jwt/v1/accounts/{key}")).await?;
    match reply.status() {
        StatusCode::OK => {
            text(reply, body::TOKEN).await.map(|jwt| AccountState::Stored(jwt.trim_ascii_end().to_owned()))
        }
        // Anything behind that URL answers so.
        StatusCode::NOT_FOUND if !reply.headers().contains_key(SERVER_HEADER) => Err(format!(
            "{} answers 404 and is no account server that this command knows: is the URL right?",
            remote.shown()
        )),
        StatusCode::NOT_FOUND => {
            let why = words(reply).await;
            Ok(match why.split_once("; ") {
                Some((_, withheld)) if withheld.contains("is withheld") => AccountState::Withheld(withheld.to_owned()),
                _ if history.deleted => AccountState::Deleted(None),
                _ => AccountState::Absent,
            })
        }
        _ => Err(unexpected(remote, reply).await),
    }
}
