//! Asking one nats-server about what it has loaded.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::answer::{AccountList, Connections, Detail, MonitorError, MonitorReply, Operators};
use crate::key::AccountKey;
use crate::nats::link::Connected;
use crate::node::Loaded;

/// How long an answer may take. A nats-server validates the claims for each, which takes it more than a second for an
/// account with 1,800 exports.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// There is no connection to NATS.
    #[error("there is no connection to NATS")]
    NotConnected,
    /// No server with this id can be reached, or its release does not know the request.
    #[error("no nats-server with this id answers the request")]
    Nobody,
    /// No answer came in time.
    #[error("it did not answer within {} s", TIMEOUT.as_secs())]
    Silent,
    /// Our user may not ask.
    #[error("the NATS user is not permitted to publish to {0}: allow it (docs/nats.md lists what is needed)")]
    Denied(&'static str),
    /// The answer would break the leafnode connection that it comes over.
    #[error(
        "it is a leafnode, and its answer about an account with a JWT of {0} bytes may be larger than max_payload there"
    )]
    TooLarge(usize),
    /// The answer cannot be used.
    #[error("its answer cannot be used: {0}")]
    Unusable(String),
}

impl AskError {
    fn of(error: MonitorError) -> Self {
        Self::Unusable(error.text())
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MonitorRequest {
    Accounts,
    Connections,
    Kick,
    Variables,
}

impl MonitorRequest {
    const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "ACCOUNTZ",
            Self::Connections => "CONNZ",
            Self::Kick => "KICK",
            Self::Variables => "VARZ",
        }
    }

    /// The subject that our user has to be permitted to publish to.
    pub(super) const fn permission(self) -> &'static str {
        match self {
            Self::Accounts => "$SYS.REQ.SERVER.*.ACCOUNTZ",
            Self::Connections => "$SYS.REQ.SERVER.*.CONNZ",
            Self::Kick => "$SYS.REQ.SERVER.*.KICK",
            Self::Variables => "$SYS.REQ.SERVER.*.VARZ",
        }
    }
}

/// Asks nats-servers.
#[derive(Debug, Clone)]
pub(super) struct Asker(Arc<Connected>);

impl Asker {
    pub(super) const fn new(connected: Arc<Connected>) -> Self {
        Self(connected)
    }

    /// Whether our user was found not to be permitted to ask for something.
    pub(super) fn is_denied(&self, what: MonitorRequest) -> bool {
        self.0.denied().iter().any(|denied| denied.strip_prefix("publish to ") == Some(what.permission()))
    }

    /// The accounts that a nats-server has loaded; its own ones, such as `$G`, are left out.
    pub(super) async fn accounts(&self, id: &str) -> Result<Vec<AccountKey>, AskError> {
        let list: AccountList = self.ask(id, MonitorRequest::Accounts, Bytes::new()).await?.map_err(AskError::of)?;
        Ok(list.accounts.iter().filter_map(|key| AccountKey::parse(key).ok()).collect())
    }

    /// What a nats-server has loaded of an account. `None`: nothing.
    pub(super) async fn account(&self, id: &str, key: &AccountKey) -> Result<Option<Loaded>, AskError> {
        let request = serde_json::json!({ "account": key.text() }).to_string();
        match self.ask::<Detail>(id, MonitorRequest::Accounts, request.into()).await? {
            Ok(detail) => Ok(detail.loaded()),
            Err(refusal) if refusal.is_not_loaded() => Ok(None),
            Err(error) => Err(AskError::of(error)),
        }
    }

    /// One page of the connections of an account: `limit` after the first `offset`.
    pub(super) async fn connections(
        &self,
        id: &str,
        key: &AccountKey,
        offset: usize,
        limit: usize,
    ) -> Result<Connections, AskError> {
        let request = serde_json::json!({ "acc": key.text(), "auth": true, "offset": offset, "limit": limit });
        self.ask(id, MonitorRequest::Connections, request.to_string().into()).await?.map_err(AskError::of)
    }

    /// Closes a connection. Its client may connect again, and then has to log in.
    pub(super) async fn kick(&self, id: &str, cid: u64) -> Result<(), AskError> {
        let request = serde_json::json!({ "cid": cid }).to_string();
        // That it is gone by now is what was wanted.
        let _: Result<Option<serde::de::IgnoredAny>, MonitorError> =
            self.ask_for(id, MonitorRequest::Kick, request.into()).await?;
        Ok(())
    }

    /// The operator JWTs that a nats-server runs.
    pub(super) async fn operators(&self, id: &str) -> Result<Vec<String>, AskError> {
        let answer: Operators = self.ask(id, MonitorRequest::Variables, Bytes::new()).await?.map_err(AskError::of)?;
        Ok(answer.trusted_operators_jwt)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        id: &str,
        what: MonitorRequest,
        request: Bytes,
    ) -> Result<Result<T, MonitorError>, AskError> {
        match self.ask_for(id, what, request).await? {
            Ok(Some(data)) => Ok(Ok(data)),
            Ok(None) => Err(AskError::Unusable("it has neither data nor an error".into())),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    async fn ask_for<T: DeserializeOwned>(
        &self,
        id: &str,
        what: MonitorRequest,
        request: Bytes,
    ) -> Result<Result<Option<T>, MonitorError>, AskError> {
        if !self.0.is_connected() {
            return Err(AskError::NotConnected);
        }
        if self.is_denied(what) {
            return Err(AskError::Denied(what.permission()));
        }
        let subject = format!("$SYS.REQ.SERVER.{id}.{}", what.name());
        let asked = async_nats::Request::new().payload(request).timeout(Some(TIMEOUT));
        let answer = self.0.client().send_request(subject, asked).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => AskError::Nobody,
            // A missing permission is an error of the connection, not an answer.
            RequestErrorKind::TimedOut if self.is_denied(what) => AskError::Denied(what.permission()),
            RequestErrorKind::TimedOut if !self.0.is_connected() => AskError::NotConnected,
            RequestErrorKind::TimedOut => AskError::Silent,
            _ => AskError::Unusable(error.to_string()),
        })?;
        let envelope: MonitorReply<T> =
            serde_json::from_slice(&answer.payload).map_err(|error| AskError::Unusable(error.to_string()))?;
        Ok(match envelope.error {
            Some(refusal) => Err(refusal),
            None => Ok(envelope.data),
        })
    }
}
