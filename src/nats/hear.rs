//! What a replica hears: claims updates that others announce.
//!
//! Each carries its own proof, so it is applied at once. It is never answered: the nats-servers do that, and a tool
//! that counts answers would count us as one of them.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::{Connected, subjects};
use crate::gate::Via;
use crate::node::Node;
use crate::replica::Replica;

/// Applies claims updates to a replica, for as long as the connection lives.
pub async fn hear(connected: Arc<Connected>, replica: Arc<Replica>, node: Arc<Node>) {
    let mut subscriptions = Vec::new();
    for subject in [subjects::ACCOUNT_UPDATE, subjects::OLD_UPDATE] {
        match connected.client().subscribe(subject).await {
            Ok(subscription) => subscriptions.push(subscription),
            Err(error) => tracing::error!("cannot subscribe to {subject}: {error}"),
        }
    }
    let mut messages = stream::select_all(subscriptions);
    while let Some(message) = messages.next().await {
        let Ok(Some(key)) = subjects::updated(&message.subject) else { continue };
        if let Err(refusal) = replica.hint(&message.payload, &key) {
            node.refused(Via::Hint, &key, &refusal);
        }
    }
}
