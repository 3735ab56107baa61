//! DELETE: an operator-signed request to forget accounts.

use std::sync::Arc;

use async_nats::Message;

use super::super::queue::Queued;
use super::Resolver;
use crate::gate::Via;
use crate::jwt::GenericJwt;
use crate::key::{Kind, PublicKey};
use crate::node::CUTTING_OFF;

/// Deletes for as long as requests come, one after another.
pub(super) async fn serve(resolver: Arc<Resolver>, mut messages: Queued) {
    while let Some((message, _room)) = messages.next().await {
        delete(&resolver, message).await;
    }
}

async fn delete(resolver: &Resolver, message: Message) {
    let outcome = resolver.node.delete(&message.payload, None, Via::Update).await;
    match outcome {
        Ok((tombstone, changed)) => {
            resolver.count("delete", if changed { "deleted" } else { "unchanged" });
            let text = format!("deleted {} accounts; {CUTTING_OFF}", tombstone.keys().len());
            resolver.answer(message.reply, |envelope| envelope.success(None, &text)).await;
        }
        Err(error) => {
            let who = signer(&message.payload);
            resolver.refused("delete", format_args!("by {who}: {error}"));
            let text = format!("delete accounts request by {who} failed - {}", error.for_clients());
            resolver.answer(message.reply, |envelope| envelope.failure(None, &text)).await;
        }
    }
}

/// The client that a request says it is from.
fn signer(request: &[u8]) -> String {
    let claimed = std::str::from_utf8(request).ok().and_then(|text| GenericJwt::decode(text.trim_end()).ok());
    claimed
        .and_then(|request| PublicKey::parse_kind(&request.claims.sub, Kind::Operator).ok())
        .map_or_else(|| "n/a".into(), |key| key.text())
}
