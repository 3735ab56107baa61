//! `GET /api/v1/accounts/<key>/versions`, `…/versions/<serial>` and `…/diff`: what an account was, and what changed.
//!
//! The facts are those of `/jwt/v1/accounts/<key>/history`.

use actix_web::{HttpRequest, HttpResponse};

use super::super::Shared;
use super::ask::Ask;
use super::refused::{Refused, account};
use super::{shown, turn};
use crate::api::{Cursor, NoVersion, Version, VersionDiff, VersionList, VersionPage};
use crate::jwt;
use crate::key::AccountKey;
use crate::node::{History, OldText};

pub(super) async fn list(request: &HttpRequest, shared: &Shared, key: &str) -> Result<HttpResponse, Refused> {
    let ask = Ask::of(request, &["limit", "cursor"])?;
    let (limit, after) = (ask.limit()?, ask.cursor(Cursor::Versions)?);
    let key = account(key)?;
    let history = known(shared, &key).await?;
    let versions = VersionList::of(&key, &history, after, limit);
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
    let place = serial.parse().ok().and_then(|serial| Version::place_of(&history, serial));
    let place = place.ok_or_else(|| unknown(&key, &history, serial))?;
    let found = &history.versions[place];
    let token = text(shared, &key, &history, found.serial).await?;
    let page = VersionPage {
        account: key.text(),
        version: Version::at(&history, place),
        claims: jwt::plain(&token).map_err(|error| Refused::no_version(&NoVersion::Damaged(key, error)))?,
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
    let places = VersionDiff::places(&key, &history, from, to).map_err(|none| Refused::no_version(&none))?;
    let texts = match places {
        (None, _) => None,
        (Some(from), to) => {
            let earlier = text(shared, &key, &history, history.versions[from].serial).await?;
            Some((earlier, text(shared, &key, &history, history.versions[to].serial).await?))
        }
    };
    let compare = move || {
        let texts = texts.as_ref().map(|(earlier, later)| (&**earlier, &**later));
        VersionDiff::of(&key, &history, places, texts)
    };
    let diff = tokio::task::spawn_blocking(compare).await.map_err(|_| Refused::lost(shared))?;
    Ok(shown::tagged(request, shared, &diff.map_err(|none| Refused::no_version(&none))?).await)
}

/// The history of an account of which something is stored.
async fn known(shared: &Shared, key: &AccountKey) -> Result<History, Refused> {
    let history = shared.node.history(key).await.map_err(|error| Refused::lookup(shared, &error))?;
    let history = history.ok_or_else(|| Refused::cache(shared))?;
    if history.versions.is_empty() && !history.is_deleted {
        return Err(Refused::unknown_account(key));
    }
    Ok(history)
}

async fn text(shared: &Shared, key: &AccountKey, history: &History, serial: u64) -> Result<String, Refused> {
    let found = shared.node.text_of(key, serial).await.map_err(|error| Refused::lookup(shared, &error))?;
    match found {
        Some(OldText::Kept(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
        // It was forgotten a moment ago, or has no serial yet.
        Some(OldText::Unknown { .. }) => Err(unknown(key, history, &serial.to_string())),
        None => Err(Refused::cache(shared)),
    }
}

fn unknown(key: &AccountKey, history: &History, serial: &str) -> Refused {
    Refused::no_version(&NoVersion::unknown(*key, history, serial))
}
