//! LIST: which accounts there are, in one message.

use std::sync::Arc;

use super::super::intake::Taken;
use super::Resolver;
use crate::key::AccountKey;
use crate::store::StoreError;

/// Accounts that are read in one go.
const PIECE: usize = 10_000;
/// Bytes that one account takes in the answer: its key, quotes and a comma.
const ENTRY: usize = 59;
/// Bytes for the rest of the answer.
const REST: usize = 1024;

/// Answers for as long as requests come, one after another.
pub(super) async fn serve(resolver: Arc<Resolver>, mut messages: Taken) {
    while let Some((message, _room)) = messages.next().await {
        if Resolver::reply_subject(message.reply.clone()).is_none() || !resolver.manners.settled().await.replies {
            resolver.count("list", "silent");
            continue;
        }
        let most = resolver.client().max_payload().saturating_sub(REST) / ENTRY;
        let answer = match collect(&resolver, most).await {
            Ok(Some(keys)) => resolver.envelope.list(&keys),
            // Half a list would be taken for a whole one, and a message that is too large ends the connection.
            Ok(None) => resolver.envelope.failure(
                None,
                &format!(
                    "list failed - there are more than the {most} accounts that fit into one message (max_payload of the \
                     nats-servers is {} bytes); raise it, or ask for a pack",
                    resolver.client().max_payload()
                ),
            ),
            Err(error) => {
                tracing::error!("cannot list the accounts: {error}");
                resolver.count("list", "failed");
                continue;
            }
        };
        resolver.count("list", "answered");
        resolver.answer(message.reply, |_| answer).await;
    }
}

/// All accounts, in the order of their keys. `None`: there are more than `most`.
async fn collect(resolver: &Resolver, most: usize) -> Result<Option<Vec<AccountKey>>, StoreError> {
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        // While the folder is taken in, there is no list to give.
        let Some(piece) = resolver.node.served_keys(after, PIECE).await? else {
            return Err(StoreError::Closed);
        };
        keys.extend(piece.keys);
        if keys.len() > most {
            return Ok(None);
        }
        match piece.next {
            Some(next) => after = Some(next),
            None => return Ok(Some(keys)),
        }
    }
}
