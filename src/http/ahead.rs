//! `GET /jwt/v1/ahead`: what a replica holds newer than its primary, with what it takes to hand it back. Specified in
//! `docs/replication.md`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::timeout;

use super::digests::TURN;
use super::peer::Client;
use super::query::Params;
use super::{Shared, outgoing, reply};
use crate::feed::wire;
use crate::key::AccountKey;
use crate::node::{Ahead, AheadPage};

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let after = match Params::of(request).get("after").filter(|after| !after.is_empty()).map(AccountKey::parse) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(error)) => {
            return reply::error(request, StatusCode::BAD_REQUEST, &format!("bad after parameter\n{error}"));
        }
    };
    let client = Client::of(request, shared);
    let Ok(Ok(_turn)) = timeout(TURN, shared.scarce.comparisons.take(client, 1)).await else {
        return outgoing::busy(request);
    };
    match shared.node.ahead(after).await {
        Ok(Some((page, primary))) => outgoing::json(request, shared, client, &shown(&page, primary)).await,
        Ok(None) => reply::error(request, StatusCode::NOT_FOUND, "this server is a primary\nask a replica of it"),
        Err(error) => {
            tracing::error!("cannot list the accounts that are newer here: {error}");
            let message = format!("cannot look\n{}", error.for_clients());
            reply::error(request, StatusCode::INTERNAL_SERVER_ERROR, &message)
        }
    }
}

fn shown(page: &AheadPage, primary: String) -> wire::AheadPage {
    let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
    let account = |account: &Ahead| {
        let (jwt, request) = match account {
            Ahead::Held(_, jwt) => (text(jwt), None),
            Ahead::Deleted(_, request) => (None, text(request)),
            Ahead::Missing(_) => (None, None),
        };
        wire::Ahead { key: account.key().text(), jwt, request }
    };
    wire::AheadPage {
        primary,
        accounts: page.accounts.iter().map(account).collect(),
        next: page.next.as_ref().map(AccountKey::text),
    }
}
