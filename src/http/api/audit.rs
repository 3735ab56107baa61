//! `GET /api/v1/audit`: the last lines of the audit log.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::Shared;
use super::ask::Ask;
use super::refused::Refused;
use super::{shown, turn};
use crate::api::{Cursor, Direction, hex};
use crate::clock;
use crate::key::AccountKey;
use crate::node::{TailAsk, TailPlace};

/// What a line can be about.
pub(super) const OUTCOMES: [&str; 3] = ["committed", "rejected", "note"];

/// The last lines of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditTail {
    /// The lines as they are in the file, newest first. There may be none, and still more to come.
    #[schema(value_type = Vec<Object>)]
    lines: Vec<Value>,
    /// The cursor of the next page; missing on the last one of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The last line that is known to be on disk.
    head: AuditHead,
    /// Whether this server found, since it started, that the log was not as it had written it.
    broken: bool,
    /// Whether the log cannot be written now.
    failing: bool,
}

/// The last line of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditHead {
    /// Its number; 0 if there is none.
    seq: u64,
    /// SHA-256 of it, 64 hexadecimal digits. It stands for all lines before.
    hash: String,
}

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    let ask = Ask::of(request, &["limit", "cursor", "account", "outcome", "since"])?;
    let account = ask.get("account").map(|account| {
        AccountKey::parse(account)
            .map(|key| key.text())
            .map_err(|_| Refused::parameter("account", account, "the key of an account"))
    });
    let outcome = ask.get("outcome").map(|outcome| {
        let known = OUTCOMES.into_iter().find(|known| *known == outcome);
        known.ok_or_else(|| Refused::parameter("outcome", outcome, "committed, rejected or note"))
    });
    let wanted = TailAsk {
        after: ask.cursor(Cursor::Audit)?.map(place),
        limit: ask.limit()?,
        account: account.transpose()?,
        outcome: outcome.transpose()?,
        since: ask.moment("since", Direction::Ago, clock::unix_seconds())?,
    };
    if let Some(upstream) = shared.node.upstream() {
        return Err(Refused::not_the_primary(upstream, "has an audit log"));
    }
    let _turn = turn(request, shared).await?;
    let read = shared.node.audit_tail(wanted).await.ok_or_else(Refused::no_audit)?;
    let (tail, state) = read.map_err(|error| Refused::audit(shared, &error))?;
    let answer = AuditTail {
        lines: tail.lines,
        next: tail.next.map(|place| Cursor::Audit.after(&item(place))),
        head: AuditHead { seq: state.seq, hash: hex(&state.hash) },
        broken: state.is_broken,
        failing: state.failing.is_some(),
    };
    Ok(shown::momentary(request, shared, &answer).await)
}

/// A place as the item of a cursor.
fn item(place: TailPlace) -> [u8; 32] {
    let mut item = [0; 32];
    for (to, number) in item.as_chunks_mut::<8>().0.iter_mut().zip([place.offset, place.seq, place.inode]) {
        *to = number.to_be_bytes();
    }
    item
}

fn place(item: [u8; 32]) -> TailPlace {
    let [offset, seq, inode, _] = *item.as_chunks::<8>().0 else { return TailPlace { offset: 0, seq: 0, inode: 0 } };
    let [offset, seq, inode] = [offset, seq, inode].map(u64::from_be_bytes);
    TailPlace { offset, seq, inode }
}
