//! `GET /api/v1/accounts/<key>/versions`, `…/versions/<serial>` and `…/diff`: what an account was, and what changed.
//!
//! The facts are those of `/jwt/v1/accounts/<key>/history`.

use actix_web::{HttpRequest, HttpResponse};

use super::super::Shared;
use super::ask::Ask;
use super::refused::{Refused, account};
use super::{shown, turn};
use crate::api::{Change, Cursor, Version, VersionDiff, VersionList, VersionPage, serial};
use crate::excerpt::excerpt;
use crate::jwt::{self, DecodeError};
use crate::key::AccountKey;
use crate::node::{History, OldText};

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
