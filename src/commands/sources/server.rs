//! Looks accounts up at a running server, over its API.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use serde::de::DeserializeOwned;

use super::{Failure, PIECE, Piece, Wanted};
use crate::api::{AccountList, AccountPage, VersionDiff, VersionList};
use crate::commands::asked::{self, LIST, OFFLINE_HINT, Problem};
use crate::key::AccountKey;
use crate::upstream::remote::{RemoteServer, text};

/// How long a server may take that is of help and not needed.
const AT_HAND: Duration = Duration::from_secs(1);

/// A running server.
pub(in crate::commands) struct AskedServer {
    remote: RemoteServer,
    /// Whether a person named it.
    is_named: bool,
}

impl AskedServer {
    pub(super) const fn new(remote: RemoteServer, is_named: bool) -> Self {
        Self { remote, is_named }
    }

    pub(super) fn place(&self) -> String {
        self.remote.shown()
    }

    /// Whether anything answers there now.
    pub(super) async fn is_at_hand(&self) -> bool {
        matches!(tokio::time::timeout(AT_HAND, self.remote.get_once("healthz")).await, Ok(Ok(_)))
    }

    pub(super) async fn piece(&self, wanted: &Wanted, from: Option<&str>, limit: usize) -> Result<Piece, Failure> {
        let cursor = from.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let list: Option<AccountList> = self.get(&format!("accounts?limit={limit}{}{cursor}", wanted.query)).await?;
        let AccountList { accounts, next, .. } = list.ok_or_else(|| self.unclear("it has no list of accounts"))?;
        // The list would never end.
        if next.is_some() && next.as_deref() == from {
            return Err(self.unclear("it gives the same page of accounts again"));
        }
        Ok(Piece { accounts, next })
    }

    pub(super) async fn account(&self, key: &AccountKey) -> Result<Option<AccountPage>, Failure> {
        self.get(&format!("accounts/{key}")).await
    }

    pub(super) async fn versions(&self, key: &AccountKey) -> Result<Option<VersionList>, Failure> {
        self.get(&format!("accounts/{key}/versions?limit={PIECE}")).await
    }

    pub(super) async fn diff(
        &self,
        key: &AccountKey,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<VersionDiff, Failure> {
        let query = [("from", from), ("to", to)].into_iter();
        let query =
            query.filter_map(|(name, serial)| Some(format!("{name}={}", serial?))).collect::<Vec<_>>().join("&");
        let diff = self.get(&format!("accounts/{key}/diff?{query}")).await?;
        diff.ok_or_else(|| Failure::Absent(format!("nothing is stored of account {key} at {}", self.place())))
    }

    /// A document of the API. `None`: the account is unknown there.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        let path = format!("api/v1/{path}");
        let reply = asked::get(&self.remote, &path).await.map_err(|why| self.hinted(why))?;
        let status = reply.status();
        let body = text(reply, LIST).await.map_err(|why| self.unclear(&why))?;
        if status == StatusCode::OK {
            let document = serde_json::from_str(&body);
            return document
                .map(Some)
                .map_err(|error| self.unclear(&format!("it answers with something else: {error}")));
        }
        // Anything may be behind that URL.
        let Ok(Problem { code, detail }) = serde_json::from_str(&body) else {
            return Err(self.unclear(&format!("it answers {status}, and no account server with an API does that")));
        };
        match &*code {
            "unknown_account" => Ok(None),
            "unknown_version" => Err(Failure::Absent(detail)),
            _ => Err(Failure::Unclear(self.hinted(format!("{} says {status}: {detail}", self.place())))),
        }
    }

    /// It gives no usable answer.
    fn unclear(&self, why: &str) -> Failure {
        Failure::Unclear(self.hinted(format!("cannot use the answer of {}: {why}; is the URL right?", self.place())))
    }

    fn hinted(&self, why: String) -> String {
        if self.is_named { why } else { format!("{why}; {OFFLINE_HINT}") }
    }
}

impl fmt::Debug for AskedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AskedServer({})", self.place())
    }
}
