//! A primary that runs: everything is sent to it, as if somebody pushed it.

use bytes::Bytes;
use reqwest::StatusCode;

use super::super::gate_of;
use super::ImportFate;
use crate::clock;
use crate::config::Settings;
use crate::gate::{Gate, Via};
use crate::jwt::AccountJwt;
use crate::key::AccountKey;
use crate::upstream::remote::{RemoteServer, text, words};
use crate::upstream::{Access, body};

/// The primary, as a client sees it.
pub(super) struct Online {
    remote: RemoteServer,
    /// What a dry run judges by, if an operator is configured; its primary is not asked.
    gate: Option<Gate>,
    dry_run: bool,
}

impl Online {
    pub(super) fn new(url: &str, settings: &Settings, dry_run: bool) -> Result<Self, String> {
        let remote = RemoteServer::new(url, "--to", &Access::of_command(settings))?;
        let gate = settings.operator.as_ref().filter(|_| dry_run).map(|_| gate_of(settings)).transpose()?;
        Ok(Self { remote, gate, dry_run })
    }

    pub(super) async fn account(&self, key: Option<&AccountKey>, token: &Bytes) -> Result<ImportFate, String> {
        let text = String::from_utf8_lossy(token);
        let offered = match AccountJwt::decode(text.trim_ascii_end()) {
            Ok(offered) => offered.claims,
            Err(error) => return Ok(ImportFate::Refused(error.to_string())),
        };
        if let Some(key) = key.filter(|key| key.text() != offered.sub) {
            return Ok(ImportFate::Refused(format!("the JWT is about {}, but was found as {key}", offered.sub)));
        }
        let Ok(key) = AccountKey::parse(&offered.sub) else {
            return Ok(ImportFate::Refused(format!("the subject {:?} is not an account key", offered.sub)));
        };
        if let Some(held) = self.get(&key).await? {
            if held.trim_ascii_end() == text.trim_ascii_end() {
                return Ok(ImportFate::Same);
            }
            let held = AccountJwt::decode(held.trim_ascii_end()).map_or(i64::MIN, |held| held.claims.iat);
            // At one of the same second a push would win; an import is not to choose.
            if held >= offered.iat {
                return Ok(ImportFate::Older(format!(
                    "the stored JWT was issued at {held}, this one at {}",
                    offered.iat
                )));
            }
        }
        if offered.exp > 0 && clock::unix_seconds() > offered.exp {
            return Ok(ImportFate::Refused("it has expired; a stopped primary would store it".to_owned()));
        }
        if let Some(gate) = &self.gate
            && let Err(refusal) = gate.admit(token, Some(&key), Via::Post, clock::unix_seconds())
        {
            return Ok(ImportFate::of(&refusal));
        }
        self.post(&format!("accounts/{key}"), token).await
    }

    pub(super) async fn activation(&self, token: &Bytes) -> Result<ImportFate, String> {
        self.post("activations", token).await
    }

    pub(super) async fn held(&self, key: &AccountKey) -> Result<Option<i64>, String> {
        let held = self.get(key).await?;
        Ok(held.and_then(|held| AccountJwt::decode(held.trim_ascii_end()).ok()).map(|held| held.claims.iat))
    }

    async fn get(&self, key: &AccountKey) -> Result<Option<String>, String> {
        let reply = self.remote.send(|client| client.get(self.remote.url(&format!("accounts/{key}")))).await?;
        match reply.status() {
            StatusCode::OK => text(reply, body::TOKEN).await.map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(format!("{} says {status}: {}", self.remote.shown(), words(reply).await)),
        }
    }

    async fn post(&self, path: &str, token: &Bytes) -> Result<ImportFate, String> {
        if self.dry_run {
            return Ok(ImportFate::Taken);
        }
        let body = Bytes::copy_from_slice(token.trim_ascii_end());
        let reply = self.remote.send(|client| client.post(self.remote.url(path)).body(body.clone())).await?;
        let status = reply.status();
        if status == StatusCode::OK {
            return Ok(ImportFate::Taken);
        }
        let why = words(reply).await;
        match status {
            StatusCode::CONFLICT if why.starts_with("the account was deleted") => Ok(ImportFate::Deleted(why)),
            StatusCode::CONFLICT => Ok(ImportFate::Older(why)),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::PAYLOAD_TOO_LARGE => {
                Ok(ImportFate::Refused(why))
            }
            // What it says of this one it would say of every other.
            status => Err(format!("{} says {status}: {why}", self.remote.shown())),
        }
    }
}
