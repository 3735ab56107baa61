//! Making the nats-servers with a full resolver store the current JWT of an account.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::peers::Peers;
use crate::key::AccountKey;
use crate::node::{Again, Node, PackVerdict};

/// What the nats-servers with a full resolver were found to store of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nats) enum StoredElsewhere {
    /// Nothing but the current JWT.
    Equal,
    /// Something else; the current JWT was announced, or theirs was newer and is the current one now.
    Sent,
    /// Something else, and one of them stores nothing, perhaps because it was told to delete the account.
    Unsettled,
    /// That cannot be told.
    Unknown,
}

/// Asks all nats-servers for the JWT of an account by LOOKUP, for so long, and announces the current one if a full resolver
/// stores another one.
///
/// An announcement reaches every nats-server. So nothing is sent if one of them stores nothing; and nothing is sent on
/// the word of a pack alone, which is what anybody on the system account may say.
pub(in crate::nats) async fn settle(
    node: &Arc<Node>,
    peers: &Peers,
    key: &AccountKey,
    window: Duration,
) -> StoredElsewhere {
    let Some(own) = node.lookup(key).await else { return StoredElsewhere::Unknown };
    let Some(heard) = peers.look_up(key, window).await else { return StoredElsewhere::Unknown };
    let others: Vec<_> = heard.tokens().filter(|token| **token != own).collect();
    if others.is_empty() {
        return StoredElsewhere::Equal;
    }
    if heard.is_missing_somewhere() {
        return StoredElsewhere::Unsettled;
    }
    if take(node, key, others).await {
        return StoredElsewhere::Sent;
    }
    match node.announcer() {
        Some(announcer) if announcer.announce(Again::Account(*key)).is_ok() => StoredElsewhere::Sent,
        _ => StoredElsewhere::Unknown,
    }
}

/// Passes what nats-servers said they store through the gate. Returns whether some of it was news.
pub(in crate::nats) async fn take(node: &Arc<Node>, key: &AccountKey, heard: Vec<&Bytes>) -> bool {
    let offers = heard.into_iter().map(|token| (*key, token.clone())).collect();
    let verdicts = node.merge(offers).await.unwrap_or_default();
    verdicts.iter().any(|verdict| matches!(verdict, PackVerdict::Taken))
}
