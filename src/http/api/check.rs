//! `POST /api/v1/check`: what would become of a JWT if it were pushed, and what that would mean for other accounts.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::super::peer::Client;
use super::super::{Shared, activations, push};
use super::ask::Ask;
use super::refused::Refused;
use super::shown;
use crate::api::{Change, hex, serial};
use crate::gate::Refusal;
use crate::jwt::NotAJwt;
use crate::key::seed;
use crate::node::{Checked, CheckedKind, CheckedOutcome, NotChecked, SharingEffect, WeighedAgainst};

/// How long a check waits for its turn: longer than one takes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// What would become of a JWT.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckReport {
    /// `account`, `activation` or `delete_request`. What cannot be read is judged as an account JWT.
    kind: &'static str,
    /// The account's key, the activation's hash, or the only account that would be deleted; null if there are several, or
    /// it cannot be read.
    key: Option<String>,
    /// The first 256 bytes of the name in the JWT; null if it has none, or cannot be read.
    name: Option<String>,
    /// `accepted` or `rejected`; `undecided`: the account itself signed it, and the signing service would be asked.
    verdict: &'static str,
    /// Why it would be rejected, as in metrics and in the audit log, or `signing_service`; null if it would be accepted.
    code: Option<&'static str>,
    /// The same in words, line by line: those of the answer to a push.
    text: Vec<String>,
    /// What does not prevent it, and deserves a look.
    warnings: Vec<String>,
    /// How it relates to what is stored; null if it would be rejected whatever is stored.
    order: Option<CheckOrder>,
    /// What differs from the newest version that is stored; null if there is none to compare with.
    diff: Option<CheckDiff>,
    /// What it would mean for imports, at most 1000 of them. There are none if it would be rejected.
    effects: Vec<CheckEffect>,
    /// How many more effects there are.
    more: usize,
    /// Whether all stored accounts were looked at for effects. It takes two seconds at most.
    complete: bool,
}

/// How a JWT relates to what is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckOrder {
    /// `new`, `newer` or `same`; or why it may not replace what is stored: `older`, `replaced`, `tie`, `second_full` or
    /// `deleted`.
    decision: &'static str,
    /// The newest version that is stored, also if it was deleted; null if there is none, and for a delete request.
    stored: Option<CheckStored>,
}

/// A version that is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckStored {
    /// Its place in the order of changes; null if it is not known.
    serial: Option<u64>,
    /// When it was issued, unix seconds.
    iat: i64,
    /// SHA-256 of what was signed, 64 hexadecimal digits.
    identity: String,
}

/// What differs from what is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckDiff {
    /// The differences in words.
    text: Vec<String>,
    /// The claims that differ, at most 1000.
    changes: Vec<Change>,
    /// How many more there are.
    more: usize,
}

/// What would happen to an import.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckEffect {
    /// `export_vanishes`, `import_unmatched`, `activation_missing`, `activation_expired`, `activation_revoked`,
    /// `activation_invalid` or `activation_expiring`.
    code: &'static str,
    /// Whether the import would not work. `activation_expiring` is only a warning.
    breaks: bool,
    /// The other account: the importer if an export vanishes, else the exporter.
    account: CheckAccount,
    /// The subject as the exporter knows it; its first 256 bytes.
    subject: String,
    /// `stream` or `service`.
    #[serde(rename = "type")]
    kind: String,
    /// The same in words.
    text: String,
}

/// An account of an effect.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckAccount {
    /// Its key, as the import has it.
    key: String,
    /// The first 256 bytes of its name; null if it has none, or is not stored.
    name: Option<String>,
}

pub(super) async fn post(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Shared,
) -> Result<HttpResponse, CheckRefused> {
    Ask::of(request, &[])?;
    let body = push::body(request, payload, shared).await.map_err(CheckRefused::Body)?;
    let turn = timeout(PATIENCE, shared.scarce.checks.take(Client::of(request, shared), 1)).await;
    let Ok(Ok(_turn)) = turn else { return Err(Refused::busy().into()) };
    let checked = shared.node.check(body.bytes.clone()).await.map_err(|why| match why {
        NotChecked::NotAJwt(found) => not_a_jwt(&found),
        NotChecked::Kind(_) => Refused::body("bad_kind", format!("this JWT cannot be checked\n{why}")),
        NotChecked::Lookup(error) => Refused::lookup(shared, &error),
    })?;
    let checked = checked.ok_or_else(|| Refused::cache(shared))?;
    Ok(shown::momentary(request, shared, &CheckReport::of(checked)).await)
}

/// Why a body is not checked: a refusal of the API, or what any route says of a body that cannot be read.
pub(super) enum CheckRefused {
    /// One of the API.
    Refused(Refused),
    /// The answer to a body that cannot be read.
    Body(HttpResponse),
}

impl From<Refused> for CheckRefused {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl CheckRefused {
    pub(super) fn respond(self, request: &HttpRequest) -> HttpResponse {
        match self {
            Self::Refused(refused) => refused.respond(request),
            Self::Body(response) => response,
        }
    }
}

fn not_a_jwt(found: &NotAJwt) -> Refused {
    let code = if found.is_private() { "private_key" } else { "no_jwt" };
    Refused::body(code, format!("the body is no JWT\n{found}"))
}

impl CheckReport {
    fn of(checked: Checked) -> Self {
        let Checked { kind, key, name, outcome, stored, warnings, diff, effects } = checked;
        let (verdict, code, text) = match &outcome {
            CheckedOutcome::Accepted(_) => ("accepted", None, Vec::new()),
            CheckedOutcome::Rejected(refusal) => ("rejected", Some(refusal.reason()), worded(kind, refusal)),
            CheckedOutcome::Signed => {
                let text =
                    "the account itself signed the JWT: the signing service would be asked to sign it".to_owned();
                ("undecided", Some("signing_service"), vec![text])
            }
        };
        Self {
            kind: kind.label(),
            key,
            name: name.map(|name| seed::redact(&name).into_owned()),
            verdict,
            code,
            text,
            warnings: warnings.iter().map(|warning| seed::redact(warning).into_owned()).collect(),
            order: CheckOrder::of(kind, &outcome, stored),
            diff: diff.map(|diff| CheckDiff {
                text: diff.text,
                changes: diff.changes.into_iter().map(Change::of).collect(),
                more: diff.more,
            }),
            effects: effects.listed.into_iter().map(CheckEffect::of).collect(),
            more: effects.more,
            complete: effects.complete,
        }
    }
}

/// The lines of the answer to a push.
fn worded(kind: CheckedKind, refusal: &Refusal) -> Vec<String> {
    let (_, text) = match kind {
        CheckedKind::Account | CheckedKind::DeleteRequest => push::worded(refusal),
        CheckedKind::Activation => activations::worded(refusal),
    };
    let text = seed::redact(&text);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

impl CheckOrder {
    fn of(kind: CheckedKind, outcome: &CheckedOutcome, stored: Option<WeighedAgainst>) -> Option<Self> {
        let decision = match outcome {
            // A deletion is later than what it deletes.
            CheckedOutcome::Accepted(true) if stored.is_none() && kind != CheckedKind::DeleteRequest => "new",
            CheckedOutcome::Accepted(true) => "newer",
            CheckedOutcome::Accepted(false) => "same",
            CheckedOutcome::Rejected(refusal) if refusal.is_conflict() => refusal.reason(),
            CheckedOutcome::Rejected(_) | CheckedOutcome::Signed => return None,
        };
        let stored = stored.map(|stored| CheckStored {
            serial: serial(stored.serial),
            iat: stored.iat,
            identity: hex(&stored.identity),
        });
        Some(Self { decision, stored })
    }
}

impl CheckEffect {
    fn of(effect: SharingEffect) -> Self {
        Self {
            code: effect.code.label(),
            breaks: effect.code.breaks(),
            account: CheckAccount { key: effect.account, name: effect.name },
            subject: effect.subject,
            kind: effect.kind,
            text: effect.text,
        }
    }
}
