//! `GET /api/v1/accounts/<key>/versions`, `…/versions/<serial>` and `…/diff`: what an account was, and what changed.
//!
//! The facts are those of `/jwt/v1/accounts/<key>/history`.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::Shared;
use super::ask::Ask;
use super::cursor::Cursor;
use super::refused::{Refused, account};
use super::{expiry, hex, serial, shown, turn};
use crate::excerpt::excerpt;
use crate::jwt::{self, ClaimChange, DecodeError};
use crate::key::AccountKey;
use crate::node::{History, OldText, StoredVersion};

/// The stored versions of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionList {
    /// The account.
    account: String,
    /// Whether it is deleted.
    deleted: bool,
    /// The log of this server begins after this serial; missing if it has everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<u64>,
    /// Newest first.
    versions: Vec<Version>,
    /// The cursor of the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A version of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Version {
    /// Its place in the order of changes; null if it is not known.
    serial: Option<u64>,
    /// Whether it is served now.
    current: bool,
    /// When it was issued, unix seconds.
    iat: i64,
    /// When it expires, unix seconds; missing if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// SHA-256 of what the operator signed, 64 hexadecimal digits.
    identity: String,
    /// SHA-256 of the JWT, 64 hexadecimal digits.
    digest: String,
    /// When this server committed it, unix milliseconds.
    at: i64,
    /// The path on which it came to this server.
    via: &'static str,
    /// The address that sent it to this server; null if it is unknown, or came from another server.
    actor: Option<String>,
}

/// A version of an account with its text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionPage {
    /// The account.
    account: String,
    #[serde(flatten)]
    version: Version,
    /// Its claims.
    #[schema(value_type = Object)]
    claims: Value,
    /// The JWT. Unless it is current, it is shown and never served.
    token: String,
}

/// What differs between two versions of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionDiff {
    /// The account.
    account: String,
    /// The earlier version; null if there is none.
    from: Option<Version>,
    /// The later version.
    to: Version,
    /// The differences in words.
    text: Vec<String>,
    /// The claims that differ, at most 1000.
    changes: Vec<Change>,
    /// How many more there are.
    more: usize,
}

/// A claim that differs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Change {
    /// The way to the claim, such as `nats.limits.conn`. Items of lists are in brackets, by what they are about.
    path: String,
    /// `changed`, `added` or `removed`.
    kind: &'static str,
    /// Its earlier value; missing if it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Value>,
    /// Its later value; missing if it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Value>,
}

pub(super) async fn list(request: &HttpRequest, shared: &Shared, key: &str) -> Result<HttpResponse, Refused> {
    let ask = Ask::of(request, &["limit", "cursor"])?;
    let (limit, after) = (ask.limit()?, ask.cursor(Cursor::Versions)?);
    let key = account(key)?;
    let history = known(shared, &key).await?;
    let newest_first = || history.versions.iter().rev();
    // Versions are forgotten from the oldest on, so after one that is gone there are none.
    let begin = match after {
        None => 0,
        Some(identity) => {
            newest_first().position(|version| version.identity == identity).map_or(usize::MAX, |at| at + 1)
        }
    };
    let page: Vec<_> = newest_first().enumerate().skip(begin).take(limit).collect();
    let last = page.last().filter(|(at, _)| at + 1 < history.versions.len());
    let versions = VersionList {
        account: key.text(),
        deleted: history.is_deleted,
        floor: serial(history.begins_after),
        next: last.map(|(_, version)| Cursor::Versions.after(&version.identity)),
        versions: page.iter().map(|(at, version)| Version::of(version, *at == 0 && history.is_live)).collect(),
    };
    Ok(shown::tagged(request, shared, &versions).await)
}

pub(super) async fn one(
    request: &HttpRequest,
    shared: &Shared,
    key: &str,
    serial: &str,
) -> Result<HttpResponse, Refused> {
    Ask::of(request, &[])?;
    let key = account(key)?;
    let history = known(shared, &key).await?;
    let place = serial.parse().ok().and_then(|serial| place_of(&history, serial));
    let place = place.ok_or_else(|| unknown(&key, &history, serial))?;
    let found = &history.versions[place];
    let token = text(shared, &key, &history, found.serial).await?;
    let page = VersionPage {
        account: key.text(),
        version: version(&history, place),
        claims: jwt::plain(&token).map_err(|error| unreadable(&key, &error))?,
        token,
    };
    Ok(shown::tagged(request, shared, &page).await)
}

pub(super) async fn diff(request: &HttpRequest, shared: &Shared, key: &str) -> Result<HttpResponse, Refused> {
    let ask = Ask::of(request, &["from", "to"])?;
    let (from, to) = (ask.serial("from")?, ask.serial("to")?);
    let key = account(key)?;
    let _turn = turn(request, shared).await?;
    let history = known(shared, &key).await?;
    let find = |serial: u64| place_of(&history, serial).ok_or_else(|| unknown(&key, &history, &serial.to_string()));
    let newest = || {
        let newest = history.versions.len().checked_sub(1);
        newest.ok_or_else(|| Refused::unknown_version(format!("no version of account {key} is stored")))
    };
    let to = to.map_or_else(newest, find)?;
    let from = match from {
        Some(from) => Some(find(from)?),
        None => to.checked_sub(1),
    };
    let mut answer = VersionDiff {
        account: key.text(),
        from: from.map(|from| version(&history, from)),
        to: version(&history, to),
        text: vec!["no earlier version is stored".to_owned()],
        changes: Vec::new(),
        more: 0,
    };
    if let Some(from) = from {
        let earlier = text(shared, &key, &history, history.versions[from].serial).await?;
        let later = text(shared, &key, &history, history.versions[to].serial).await?;
        let compared =
            move || -> Result<_, DecodeError> { Ok(jwt::diff(&jwt::plain(&earlier)?, &jwt::plain(&later)?)) };
        let found = tokio::task::spawn_blocking(compared).await.map_err(|_| Refused::lost())?;
        let found = found.map_err(|error| unreadable(&key, &error))?;
        answer.text = found.text;
        answer.changes = found.changes.into_iter().map(Change::of).collect();
        answer.more = found.more;
    }
    Ok(shown::tagged(request, shared, &answer).await)
}

/// The history of an account of which something is stored.
async fn known(shared: &Shared, key: &AccountKey) -> Result<History, Refused> {
    let history = shared.node.history(key).await.map_err(|error| Refused::lookup(&error))?;
    let history = history.ok_or_else(|| Refused::cache(shared))?;
    if history.versions.is_empty() && !history.is_deleted {
        return Err(Refused::unknown_account(key));
    }
    Ok(history)
}

/// Which version has a serial. One of an earlier session may have the same.
fn place_of(history: &History, serial: u64) -> Option<usize> {
    history.versions.iter().rposition(|version| version.serial == serial && serial != 0)
}

fn version(history: &History, place: usize) -> Version {
    Version::of(&history.versions[place], place + 1 == history.versions.len() && history.is_live)
}

async fn text(shared: &Shared, key: &AccountKey, history: &History, serial: u64) -> Result<String, Refused> {
    let found = shared.node.text_of(key, serial).await.map_err(|error| Refused::lookup(&error))?;
    match found {
        Some(OldText::Kept(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
        // It was forgotten a moment ago, or has no serial yet.
        Some(OldText::Unknown { .. }) => Err(unknown(key, history, &serial.to_string())),
        None => Err(Refused::cache(shared)),
    }
}

fn unknown(key: &AccountKey, history: &History, serial: &str) -> Refused {
    let mut message = format!("the history of {key} does not hold serial {}", excerpt(serial));
    if history.begins_after > 0 {
        message.push_str(&format!("\nthe log of this server begins after serial {}", history.begins_after));
    }
    Refused::unknown_version(message)
}

/// What is stored was decoded before, so this is damage.
fn unreadable(key: &AccountKey, error: &DecodeError) -> Refused {
    Refused::unknown_version(format!("a stored version of {key} cannot be read\n{error}"))
}

impl Version {
    fn of(version: &StoredVersion, current: bool) -> Self {
        Self {
            serial: serial(version.serial),
            current,
            iat: version.iat,
            exp: expiry(version.exp),
            identity: hex(&version.identity),
            digest: hex(&version.digest),
            at: version.at,
            via: version.via.label(),
            actor: version.actor.clone(),
        }
    }
}

impl Change {
    pub(super) fn of(ClaimChange { path, kind, from, to }: ClaimChange) -> Self {
        Self { path, kind: kind.label(), from, to }
    }
}
