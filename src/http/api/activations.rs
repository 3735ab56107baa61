//! `GET /api/v1/activations`.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Shared;
use super::ask::Ask;
use super::refused::Refused;
use super::{shown, turn};
use crate::api::{Cursor, expiry, serial};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::node::ListedActivation;

/// A page of the activations of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActivationList {
    /// The account that issued them.
    account: String,
    /// In the order of their hashes' 32 bytes. There may be none, and still more to come.
    activations: Vec<ActivationSummary>,
    /// The cursor of the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// An activation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActivationSummary {
    /// Its hash: it is at `/jwt/v1/activations/<hash>`.
    hash: String,
    /// The account that may import.
    importer: String,
    /// What it may import.
    subject: String,
    /// The key that signed it: the account's own, or a signing key.
    issuer: String,
    /// `served` or `refused`.
    state: &'static str,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it was issued, unix seconds.
    iat: i64,
    /// When it expires, unix seconds; missing if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// Its place in the order of changes; null if it is not known.
    serial: Option<u64>,
    /// When this server committed it, unix milliseconds.
    changed_at: i64,
    /// The path on which it came to this server.
    via: &'static str,
}

pub(super) async fn list(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    let ask = Ask::of(request, &["account", "limit", "cursor"])?;
    let account = ask.get("account").ok_or_else(|| {
        Refused::parameters("the parameter account is missing\nthe key of the account that issued them is expected")
    })?;
    let account = AccountKey::parse(account)
        .map_err(|_| Refused::parameter("account", account, "the key of the account that issued them"))?;
    let (after, limit) = (ask.cursor(Cursor::Activations)?.map(HashId::from_raw), ask.limit()?);
    let _turn = turn(request, shared).await?;
    let found =
        shared.node.activations(account, after, limit).await.map_err(|error| Refused::lookup(shared, &error))?;
    let page = found.ok_or_else(|| Refused::cache(shared))?;
    let list = ActivationList {
        account: account.text(),
        activations: page.activations.into_iter().map(ActivationSummary::of).collect(),
        next: page.next.map(|id| Cursor::Activations.after(id.raw())),
    };
    Ok(shown::momentary(request, shared, &list).await)
}

impl ActivationSummary {
    fn of(ListedActivation { activation, change, fault }: ListedActivation) -> Self {
        Self {
            hash: activation.id().text(),
            importer: activation.importer().to_owned(),
            subject: activation.subject().to_owned(),
            issuer: activation.issuer().text(),
            state: if fault.is_none() { "served" } else { "refused" },
            reason: fault,
            iat: activation.iat(),
            exp: expiry(activation.exp()),
            serial: serial(change.serial),
            changed_at: change.at,
            via: change.via.label(),
        }
    }
}
