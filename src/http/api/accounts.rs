//! `GET /api/v1/accounts` and `/api/v1/accounts/<key>`.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::Shared;
use super::ask::{Ask, Direction};
use super::cursor::Cursor;
use super::refused::{Refused, account};
use super::{expiry, hex, serial, shown, turn};
use crate::clock;
use crate::feed::Session;
use crate::gate::Position;
use crate::jwt;
use crate::key::AccountKey;
use crate::node::{
    AccountDetail, AccountFilter, AccountState, Glob, HeadState, LONGEST_PATTERN, ListedAccount, Propagation,
};

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountList {
    /// In the order of their keys' 32 bytes. There may be none, and still more to come.
    accounts: Vec<AccountSummary>,
    /// The cursor of the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Whatever changed up to here is in the page.
    position: JournalPosition,
}

/// A position in the order of changes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JournalPosition {
    /// The session of the journal, 32 hexadecimal digits.
    session: String,
    /// The serial of the last change.
    serial: u64,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountSummary {
    /// Its public key.
    key: String,
    /// The first 256 bytes of its name; null if its JWT is not stored.
    name: Option<String>,
    /// `live`, `expired`, `withheld`, `deleted` or `removed`.
    state: &'static str,
    /// The operator key that signed its newest JWT; null if it never had one here.
    issuer: Option<String>,
    /// When that JWT was issued, unix seconds.
    iat: Option<i64>,
    /// When it expires, unix seconds; missing if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// The serial of the change that made the state; null if it is not known.
    serial: Option<u64>,
    /// When this server committed that change, unix milliseconds.
    changed_at: Option<i64>,
    /// The path on which it came to this server.
    via: Option<&'static str>,
}

/// All that is known of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountPage {
    #[serde(flatten)]
    account: AccountSummary,
    /// The entity tag of the JWT at `/jwt/v1/accounts/<key>`; missing if it is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// SHA-256 of what the operator signed, 64 hexadecimal digits: which version it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// SHA-256 of the JWT, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The claims of its newest JWT, also if it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    claims: Option<Value>,
    /// The deletion, if it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<AccountDeletion>,
    /// What is known of the way of the newest change to nats-servers and replicas: on a primary with NATS.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Propagation>,
}

/// The request that deleted an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountDeletion {
    /// When it was signed, unix seconds. JWTs that were issued up to then do not come back.
    iat: i64,
    /// The operator key that signed it; missing if the request is not stored here.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// SHA-256 of what the operator signed, 64 hexadecimal digits; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

/// What a list is asked for.
struct ListAsk {
    filter: AccountFilter,
    after: Option<AccountKey>,
    limit: usize,
}

impl ListAsk {
    fn of(request: &HttpRequest) -> Result<Self, Refused> {
        let ask = Ask::of(request, &["limit", "cursor", "name", "state", "expires_before", "changed_since"])?;
        let now = clock::unix_seconds();
        let mut filter = AccountFilter::default();
        if let Some(text) = ask.get("name") {
            // A key is no pattern.
            match AccountKey::parse(text) {
                Ok(key) => filter.key = Some(key),
                Err(_) => filter.name = Some(pattern(text)?),
            }
        }
        if let Some(text) = ask.get("state") {
            filter.states = states(text)?;
        }
        filter.expires_before = ask.moment("expires_before", Direction::Ahead, now)?;
        let since = ask.moment("changed_since", Direction::Ago, now)?;
        filter.changed_since = since.map(|since| since.saturating_mul(1000));
        let after = ask.cursor(Cursor::Accounts)?.map(AccountKey::from_raw);
        Ok(Self { filter, after, limit: ask.limit()? })
    }
}

fn pattern(text: &str) -> Result<Glob, Refused> {
    let expected = format!("a pattern of 1 to {LONGEST_PATTERN} characters, or the key of an account,");
    let pattern = Glob::parse(text).filter(|_| !text.is_empty());
    pattern.ok_or_else(|| Refused::parameter("name", text, &expected))
}

fn states(text: &str) -> Result<Vec<AccountState>, Refused> {
    let all = AccountState::ALL.map(AccountState::label).join(", ");
    let read = |one: &str| {
        AccountState::from_label(one)
            .ok_or_else(|| Refused::parameter("state", one, &format!("one or several of {all}")))
    };
    text.split(',').map(read).collect()
}

pub(super) async fn list(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    let ListAsk { filter, after, limit } = ListAsk::of(request)?;
    let _turn = turn(request, shared).await?;
    let found = shared.node.accounts(filter, after, limit).await;
    let page = found.map_err(|error| Refused::lookup(&error))?.ok_or_else(|| Refused::cache(shared))?;
    let list = AccountList {
        accounts: page.accounts.into_iter().map(AccountSummary::of).collect(),
        next: page.next.map(|key| Cursor::Accounts.after(key.raw())),
        position: JournalPosition::of(page.position),
    };
    Ok(shown::momentary(request, shared, &list).await)
}

pub(super) async fn one(request: &HttpRequest, shared: &Shared, key: &str) -> Result<HttpResponse, Refused> {
    Ask::of(request, &[])?;
    let key = account(key)?;
    let found = shared.node.account(key).await.map_err(|error| Refused::lookup(&error))?;
    let detail = found.ok_or_else(|| Refused::cache(shared))?.ok_or_else(|| Refused::unknown_account(&key))?;
    let mut page = AccountPage::of(detail);
    if shared.node.is_primary() && shared.node.nats().is_some() {
        page.delivery = shared.node.known_propagation(key, None).await.map_err(Refused::store)?;
    }
    Ok(shown::tagged(request, shared, &page).await)
}

impl JournalPosition {
    pub(super) fn of(position: Position) -> Self {
        Self { session: Session(position.session).to_string(), serial: position.serial }
    }
}

impl AccountSummary {
    fn of(ListedAccount { head, state, name }: ListedAccount) -> Self {
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
    fn of(AccountDetail { listed, entry, tombstone }: AccountDetail) -> Self {
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
