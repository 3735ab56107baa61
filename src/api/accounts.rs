//! Accounts: a page of a list, and one with all that is known of it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{expiry, hex, serial};
use crate::feed::Session;
use crate::gate::Position;
use crate::jwt;
use crate::node::{AccountDetail, HeadState, ListedAccount, Propagation};

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountList {
    /// In the order of their keys' 32 bytes. There may be none, and still more to come.
    pub accounts: Vec<AccountSummary>,
    /// The cursor of the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whatever changed up to here is in the page.
    pub position: JournalPosition,
}

/// A position in the order of changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct JournalPosition {
    /// The session of the journal, 32 hexadecimal digits.
    pub session: String,
    /// The serial of the last change.
    pub serial: u64,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountSummary {
    /// Its public key.
    pub key: String,
    /// The first 256 bytes of its name; null if its JWT is not stored.
    pub name: Option<String>,
    /// `live`, `expired`, `withheld`, `deleted` or `removed`.
    pub state: &'static str,
    /// The operator key that signed its newest JWT; null if it never had one here.
    pub issuer: Option<String>,
    /// When that JWT was issued, unix seconds.
    pub iat: Option<i64>,
    /// When it expires, unix seconds; missing if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// The serial of the change that made the state; null if it is not known.
    pub serial: Option<u64>,
    /// When this server committed that change, unix milliseconds.
    pub changed_at: Option<i64>,
    /// The path on which it came to this server.
    pub via: Option<&'static str>,
}

/// All that is known of an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountPage {
    /// As in a list.
    #[serde(flatten)]
    pub account: AccountSummary,
    /// The entity tag of the JWT at `/jwt/v1/accounts/<key>`; missing if it is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// SHA-256 of what the operator signed, 64 hexadecimal digits: which version it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// SHA-256 of the JWT, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The claims of its newest JWT, also if it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub claims: Option<Value>,
    /// The deletion, if it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<AccountDeletion>,
    /// What is known of the way of the newest change to nats-servers and replicas: on a primary with NATS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Propagation>,
}

/// The request that deleted an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountDeletion {
    /// When it was signed, unix seconds. JWTs that were issued up to then do not come back.
    pub iat: i64,
    /// The operator key that signed it; missing if the request is not stored here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// SHA-256 of what the operator signed, 64 hexadecimal digits; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

impl JournalPosition {
    /// A position as it is shown.
    pub fn of(position: Position) -> Self {
        Self { session: Session(position.session).to_string(), serial: position.serial }
    }
}

impl AccountSummary {
    /// An account of a list as it is shown.
    pub fn of(ListedAccount { head, state, name }: ListedAccount) -> Self {
        let (version, change) = (head.version.as_ref(), head.change);
        Self {
            key: head.key.text(),
            name,
            state: state.label(),
            issuer: version.map(|version| version.issuer.text()),
            iat: version.map(|version| version.iat),
            exp: version.and_then(|version| expiry(version.exp)),
            serial: change.and_then(|change| serial(change.serial)),
            changed_at: change.map(|change| change.at),
            via: change.map(|change| change.via.label()),
        }
    }
}

impl AccountPage {
    /// An account as it is shown.
    pub fn of(AccountDetail { listed, entry, tombstone }: AccountDetail) -> Self {
        let served = entry.as_ref().filter(|_| listed.state.is_served());
        let deleted = match listed.head.state {
            HeadState::Deleted(iat) => Some(AccountDeletion {
                iat,
                issuer: tombstone.as_ref().map(|request| request.issuer().text()),
                identity: tombstone.as_ref().map(|request| hex(request.identity())),
            }),
            HeadState::Live | HeadState::Removed => None,
        };
        Self {
            etag: served.map(|entry| String::from_utf8_lossy(entry.etag()).into_owned()),
            identity: entry.as_ref().map(|entry| hex(entry.identity())),
            digest: entry.as_ref().map(|entry| hex(entry.digest())),
            claims: entry.as_ref().and_then(|entry| jwt::plain(entry.text()).ok()),
            deleted,
            delivery: None,
            account: AccountSummary::of(listed),
        }
    }
}
