//! The versions of an account, and what differs between two of them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Cursor, expiry, hex, serial};
use crate::excerpt::excerpt;
use crate::jwt::{self, ClaimChange, DecodeError};
use crate::key::AccountKey;
use crate::node::{History, StoredVersion};

/// The stored versions of an account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionList {
    /// The account.
    pub account: String,
    /// Whether it is deleted.
    pub deleted: bool,
    /// The log of this server begins after this serial; missing if it has everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<u64>,
    /// Newest first.
    pub versions: Vec<Version>,
    /// The cursor of the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A version of an account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Its place in the order of changes; null if it is not known.
    pub serial: Option<u64>,
    /// Whether it is served now.
    pub current: bool,
    /// When it was issued, unix seconds.
    pub iat: i64,
    /// When it expires, unix seconds; missing if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// SHA-256 of what the operator signed, 64 hexadecimal digits.
    pub identity: String,
    /// SHA-256 of the JWT, 64 hexadecimal digits.
    pub digest: String,
    /// When this server committed it, unix milliseconds.
    pub at: i64,
    /// The path on which it came to this server.
    pub via: Cow<'static, str>,
    /// The address that sent it to this server; null if it is unknown, or came from another server.
    pub actor: Option<String>,
    /// The certificate that it showed: its SHA-256, and the names in its subject; missing if it showed none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Who it was by its credentials, as in `user nsc`; missing if it showed none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// A version of an account with its text.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionPage {
    /// The account.
    pub account: String,
    /// The version.
    #[serde(flatten)]
    pub version: Version,
    /// Its claims.
    #[schema(value_type = Object)]
    pub claims: Value,
    /// The JWT. Unless it is current, it is shown and never served.
    pub token: String,
}

/// What differs between two versions of an account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionDiff {
    /// The account.
    pub account: String,
    /// The earlier version; null if there is none.
    pub from: Option<Version>,
    /// The later version.
    pub to: Version,
    /// The differences in words.
    pub text: Vec<String>,
    /// The claims that differ, at most 1000.
    pub changes: Vec<Change>,
    /// How many more there are.
    pub more: usize,
}

/// A claim that differs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The way to the claim, such as `nats.limits.conn`. Items of lists are in brackets, by what they are about.
    pub path: String,
    /// `changed`, `added` or `removed`.
    pub kind: Cow<'static, str>,
    /// Its earlier value; missing if it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// Its later value; missing if it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// Why a version is not shown. It is told in lines.
#[derive(Debug, thiserror::Error)]
pub enum NoVersion {
    /// The history does not hold it.
    #[error("the history of {account} does not hold serial {}{}", excerpt(.serial), begins(*.begins_after))]
    Unknown {
        /// The account.
        account: AccountKey,
        /// What was asked for.
        serial: String,
        /// The log begins after this serial.
        begins_after: u64,
    },
    /// There is none at all.
    #[error("no version of account {0} is stored")]
    None(AccountKey),
    /// What is stored was decoded before, so this is damage.
    #[error("a stored version of {0} cannot be read\n{1}")]
    Damaged(AccountKey, DecodeError),
}

fn begins(after: u64) -> String {
    if after == 0 { String::new() } else { format!("\nthe log of this server begins after serial {after}") }
}

impl NoVersion {
    /// A history does not hold this serial.
    pub fn unknown(account: AccountKey, history: &History, serial: &str) -> Self {
        Self::Unknown { account, serial: serial.to_owned(), begins_after: history.begins_after }
    }
}

impl VersionList {
    /// A page of a history, after the version with this identity.
    pub fn of(account: &AccountKey, history: &History, after: Option<[u8; 32]>, limit: usize) -> Self {
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
        Self {
            account: account.text(),
            deleted: history.is_deleted,
            floor: serial(history.begins_after),
            next: last.map(|(_, version)| Cursor::Versions.after(&version.identity)),
            versions: page.iter().map(|(at, version)| Version::of(version, *at == 0 && history.is_live)).collect(),
        }
    }
}

impl VersionDiff {
    /// The places in a history of the two versions with these serials. Without `to`, the later one is the newest; without
    /// `from`, the earlier one is that before it, if it is stored.
    pub fn places(
        account: &AccountKey,
        history: &History,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<(Option<usize>, usize), NoVersion> {
        let find = |serial: u64| {
            let place = Version::place_of(history, serial);
            place.ok_or_else(|| NoVersion::unknown(*account, history, &serial.to_string()))
        };
        let to = match to {
            Some(to) => find(to)?,
            None => history.versions.len().checked_sub(1).ok_or(NoVersion::None(*account))?,
        };
        Ok((from.map(find).transpose()?.or_else(|| to.checked_sub(1)), to))
    }

    /// What differs between the versions at two places of a history. `texts`: theirs, if there is an earlier one.
    pub fn of(
        account: &AccountKey,
        history: &History,
        (from, to): (Option<usize>, usize),
        texts: Option<(&str, &str)>,
    ) -> Result<Self, NoVersion> {
        let mut diff = Self {
            account: account.text(),
            from: from.map(|from| Version::at(history, from)),
            to: Version::at(history, to),
            text: vec!["no earlier version is stored".to_owned()],
            changes: Vec::new(),
            more: 0,
        };
        if let Some((earlier, later)) = texts {
            let claims = |text| jwt::plain(text).map_err(|error| NoVersion::Damaged(*account, error));
            let found = jwt::diff(&claims(earlier)?, &claims(later)?);
            diff.text = found.text;
            diff.changes = found.changes.into_iter().map(Change::of).collect();
            diff.more = found.more;
        }
        Ok(diff)
    }
}

impl Version {
    /// The place of the version with this serial. One of an earlier session may have the same.
    pub fn place_of(history: &History, serial: u64) -> Option<usize> {
        history.versions.iter().rposition(|version| version.serial == serial && serial != 0)
    }

    /// The version at a place of a history as it is shown.
    pub fn at(history: &History, place: usize) -> Self {
        Self::of(&history.versions[place], place + 1 == history.versions.len() && history.is_live)
    }

    /// A version as it is shown. `current`: whether it is served.
    pub fn of(version: &StoredVersion, current: bool) -> Self {
        Self {
            serial: serial(version.serial),
            current,
            iat: version.iat,
            exp: expiry(version.exp),
            identity: hex(&version.identity),
            digest: hex(&version.digest),
            at: version.at,
            via: version.via.label().into(),
            actor: version.actor.as_ref().map(|client| client.address.to_string()),
            tls: version.actor.as_ref().and_then(|client| client.tls.as_deref().map(str::to_owned)),
            principal: version.actor.as_ref().and_then(|client| client.principal.as_deref().map(str::to_owned)),
        }
    }
}

impl Change {
    /// A difference as it is shown.
    pub fn of(ClaimChange { path, kind, from, to }: ClaimChange) -> Self {
        Self { path, kind: kind.label().into(), from, to }
    }
}
