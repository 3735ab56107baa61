//! The versions of an account, and what differs between two of them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{expiry, hex, serial};
use crate::jwt::ClaimChange;
use crate::node::StoredVersion;

/// The stored versions of an account.
#[derive(Debug, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
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
    pub via: &'static str,
    /// The address that sent it to this server; null if it is unknown, or came from another server.
    pub actor: Option<String>,
}

/// A version of an account with its text.
#[derive(Debug, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
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
#[derive(Debug, Serialize, ToSchema)]
pub struct Change {
    /// The way to the claim, such as `nats.limits.conn`. Items of lists are in brackets, by what they are about.
    pub path: String,
    /// `changed`, `added` or `removed`.
    pub kind: &'static str,
    /// Its earlier value; missing if it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// Its later value; missing if it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

impl Version {
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
            via: version.via.label(),
            actor: version.actor.clone(),
        }
    }
}

impl Change {
    /// A difference as it is shown.
    pub fn of(ClaimChange { path, kind, from, to }: ClaimChange) -> Self {
        Self { path, kind: kind.label(), from, to }
    }
}
