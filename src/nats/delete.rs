//! Deletes accounts in full and cache resolvers: sends the operator's delete request itself, on their subject.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::subjects;
use crate::gate::Tombstone;

/// How long answers are waited for.
const ANSWERS: Duration = Duration::from_secs(1);

/// Characters of an answer that are shown.
const SHOWN: usize = 500;

/// What of an answer matters.
#[derive(Deserialize)]
struct DeleteReply {
    error: Option<DeleteError>,
}

#[derive(Deserialize)]
struct DeleteError {
    #[serde(default)]
    description: String,
}

/// Sends a request, and logs how many nats-servers do not follow it. Returns whether it was sent. Every account that the
/// request names must be deleted here: a full resolver deletes them all, however new they are.
pub(super) async fn send(client: &Client, request: &Arc<Tombstone>) -> bool {
    let inbox = client.new_inbox();
    let Ok(mut answers) = client.subscribe(inbox.clone()).await else { return false };
    if let Err(error) = client.publish_with_reply(subjects::DELETE, inbox, request.request().clone()).await {
        tracing::error!("a delete request cannot be sent over NATS: {error}; raise max_payload of the nats-servers");
        return false;
    }
    tokio::spawn(async move {
        let until = Instant::now() + ANSWERS;
        let (mut count, mut first) = (0, None);
        while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
            if let Ok(DeleteReply { error: Some(failure) }) = serde_json::from_slice(&answer.payload) {
                count += 1;
                first.get_or_insert(failure.description);
            }
        }
        if let Some(first) = first {
            let first: String = first.chars().take(SHOWN).collect();
            tracing::warn!("{count} nats-servers do not delete accounts; the first says: {}", first.escape_debug());
        }
    });
    true
}
