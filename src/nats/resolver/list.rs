//! LIST: which accounts there are, in one message.

use std::sync::Arc;

use super::super::queue::Queued;
use super::Resolver;
use crate::key::AccountKey;
use crate::node::StoreError;

/// Accounts that are read in one go.
const PIECE: usize = 10_000;
/// Bytes that one account takes in the answer: its key, quotes and a comma.
const ENTRY: usize = 59;
/// Bytes for the rest of the answer.
const REST: usize = 1024;

/// Answers for as long as requests come, one after another.
pub(super) async fn serve(resolver: Arc<Resolver>, mut messages: Queued) {
    while let Some((message, _room)) = messages.next().await {
        let reply = Resolver::reply_subject(message.reply);
        let Some(reply) = reply else {
            resolver.count("list", "silent");
            continue;
        };
        if !resolver.policy.settled().await.lists {
            resolver.count("list", "silent");
            continue;
        }
        let most = resolver.client().max_payload().saturating_sub(REST) / ENTRY;
        let (answer, outcome) = match collect(&resolver, most).await {
            Ok(List::Whole(keys)) => (resolver.envelope.list(&keys), "answered"),
            // Half a list would be taken for a whole one, and a message that is too large ends the connection.
            Ok(List::TooLong) => {
                let bytes = resolver.client().max_payload();
                let why = format!(
                    "list failed - there are more than the {most} accounts that fit into one message (max_payload of the \
                     nats-servers is {bytes} bytes); raise it, or ask for a pack"
                );
                (resolver.envelope.failure(None, &why), "too_long")
            }
            // The primary answers, and an error of ours could be taken for the answer of all.
            Ok(List::Early) if !resolver.node.is_primary() => {
                resolver.count("list", "early");
                continue;
            }
            Ok(List::Early) => {
                let why = "list failed - the folder is being imported, ask again";
                (resolver.envelope.failure(None, why), "early")
            }
            Err(error) => {
                resolver.failed("list", format_args!("cannot answer LIST: {error}"));
                let why = format!("list failed - {}", error.for_clients());
                (resolver.envelope.failure(None, &why), "failed")
            }
        };
        resolver.count("list", outcome);
        resolver.send(reply, answer).await;
    }
}

/// What there is to list.
enum List {
    /// All accounts, in the order of their keys.
    Whole(Vec<AccountKey>),
    /// More than fit into a message.
    TooLong,
    /// Not all of them are known yet.
    Early,
}

async fn collect(resolver: &Resolver, most: usize) -> Result<List, StoreError> {
    if !resolver.node.is_in_sync() {
        return Ok(List::Early);
    }
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let Some(piece) = resolver.node.served_keys(after, PIECE).await? else { return Ok(List::Early) };
        keys.extend(piece.keys);
        if keys.len() > most {
            return Ok(List::TooLong);
        }
        match piece.next {
            Some(next) => after = Some(next),
            None => return Ok(List::Whole(keys)),
        }
    }
}
