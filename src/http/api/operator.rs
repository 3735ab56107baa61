//! `GET /api/v1/operator`: the operator JWT in force, what it follows from, and the keys that it no longer lists.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Shared;
use super::ask::Ask;
use super::refused::Refused;
use super::shown;
use crate::api::{expiry, hex};
use crate::gate::Trust;
use crate::key::AccountKey;

/// The operator.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperatorStatus {
    /// Its identity key.
    key: String,
    /// Its name.
    name: String,
    /// The JWT in force.
    in_force: OperatorLink,
    /// Whether the identity key may sign accounts.
    identity_key_signs: bool,
    /// The signing keys that the JWT in force lists.
    signing_keys: Vec<String>,
    /// The system account.
    system_account: Option<String>,
    /// Why the first link of the chain is trusted: `identity`, `configured` or `trusted`.
    origin: &'static str,
    /// The operator JWTs from the anchor to the one in force.
    chain: Vec<OperatorLink>,
    /// Keys that this server knew and that the JWT in force does not list. What they signed is withheld.
    withdrawn: Vec<WithdrawnKey>,
}

/// An operator JWT.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperatorLink {
    /// SHA-256 of what was signed, 64 hexadecimal digits.
    identity: String,
    /// The key that signed it.
    issuer: String,
    /// When it was issued, unix seconds.
    iat: i64,
    /// When it expires, unix seconds; missing if it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

/// A key that was withdrawn.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WithdrawnKey {
    /// The key.
    key: String,
    /// When the operator JWT was issued that left it out, unix seconds.
    iat: i64,
}

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    Ask::of(request, &[])?;
    let chain = shared.node.operator_chain().ok_or_else(Refused::no_operator)?;
    let trust = chain.in_force();
    let withdrawn = shared.node.withdrawn_keys().into_iter();
    let status = OperatorStatus {
        key: trust.identity().text(),
        name: trust.name().to_owned(),
        in_force: OperatorLink::of(trust),
        identity_key_signs: trust.keys().contains(trust.identity()),
        signing_keys: trust.keys().iter().filter(|key| *key != trust.identity()).map(|key| key.text()).collect(),
        system_account: shared.node.system_account().as_ref().map(AccountKey::text),
        origin: chain.origin().label(),
        chain: chain.links().map(|link| OperatorLink::of(link)).collect(),
        withdrawn: withdrawn.map(|(key, iat)| WithdrawnKey { key: key.text(), iat }).collect(),
    };
    Ok(shown::tagged(request, shared, &status).await)
}

impl OperatorLink {
    fn of(trust: &Trust) -> Self {
        Self {
            identity: hex(trust.version()),
            issuer: trust.issuer().to_owned(),
            iat: trust.iat(),
            exp: expiry(trust.exp()),
        }
    }
}
