//! `GET /api/v1/accounts` and `/api/v1/accounts/<key>`.

use actix_web::{HttpRequest, HttpResponse};

use super::super::Shared;
use super::ask::Ask;
use super::refused::{Refused, account};
use super::{shown, turn};
use crate::api::{self, AccountList, AccountPage, Cursor, Direction};
use crate::clock;
use crate::key::AccountKey;
use crate::node::AccountFilter;

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
            api::want_name(&mut filter, text).map_err(|expected| Refused::parameter("name", text, &expected))?;
        }
        if let Some(text) = ask.get("state") {
            let read = |one| api::state(one).map_err(|expected| Refused::parameter("state", one, &expected));
            filter.states = text.split(',').map(read).collect::<Result<_, _>>()?;
        }
        filter.expires_before = ask.moment("expires_before", Direction::Ahead, now)?;
        let since = ask.moment("changed_since", Direction::Ago, now)?;
        filter.changed_since = since.map(|since| since.saturating_mul(1000));
        let after = ask.cursor(Cursor::Accounts)?.map(AccountKey::from_raw);
        Ok(Self { filter, after, limit: ask.limit()? })
    }
}

pub(super) async fn list(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    let ListAsk { filter, after, limit } = ListAsk::of(request)?;
    let _turn = turn(request, shared).await?;
    let found = shared.node.accounts(filter, after, limit).await;
    let page = found.map_err(|error| Refused::lookup(shared, &error))?.ok_or_else(|| Refused::cache(shared))?;
    Ok(shown::momentary(request, shared, &AccountList::of(page)).await)
}

pub(super) async fn one(request: &HttpRequest, shared: &Shared, key: &str) -> Result<HttpResponse, Refused> {
    Ask::of(request, &[])?;
    let key = account(key)?;
    let found = shared.node.account(key).await.map_err(|error| Refused::lookup(shared, &error))?;
    let detail = found.ok_or_else(|| Refused::cache(shared))?.ok_or_else(|| Refused::unknown_account(&key))?;
    let mut page = AccountPage::of(detail);
    if shared.node.is_primary() && shared.node.nats().is_some() {
        page.delivery =
            shared.node.known_propagation(key, None).await.map_err(|error| Refused::store(shared, error))?;
    }
    Ok(shown::tagged(request, shared, &page).await)
}
