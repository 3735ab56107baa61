//! `GET /api/v1/accounts` and `/api/v1/accounts/<key>`.

use actix_web::{HttpRequest, HttpResponse};

use super::super::Shared;
use super::ask::{Ask, Direction};
use super::refused::{Refused, account};
use super::{shown, turn};
use crate::api::{AccountList, AccountPage, AccountSummary, Cursor, JournalPosition};
use crate::clock;
use crate::key::AccountKey;
use crate::node::{AccountFilter, AccountState, Glob, LONGEST_PATTERN};

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
