//! Claims updates that a replica hears over NATS.
//!
//! Each is genuine or rejected, and it is a hint, because it may be old
//! ([`Upstream::hint`](crate::node::Upstream::hint)). A replica never answers one: the nats-servers do, and a tool that
//! counts answers would count this server as one of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::queue::queue_up;
use super::{Connected, subjects};
use crate::gate::{Refusal, Via};
use crate::jwt::Called;
use crate::node::Node;
use crate::throttle::Throttle;

/// Bytes of each subject that may wait. The primary's feed brings what has no room.
const WAITING: usize = 64 << 20;
/// A line about what is refused or dropped comes at most this often.
const SELDOM: Duration = Duration::from_secs(10);

/// Passes claims updates to a replica, for as long as the connection lives.
pub(super) async fn hear(connected: Arc<Connected>, node: Arc<Node>) {
    let Some(upstream) = node.upstream() else { return };
    let mut queues = Vec::new();
    for subject in [subjects::ACCOUNT_UPDATE, subjects::OLD_UPDATE] {
        match connected.client().subscribe(subject).await {
            Ok(messages) => {
                let dropped = Throttle::every(SELDOM);
                let queue = queue_up(messages, WAITING, move |_| {
                    if let Some(held_back) = dropped.turn(Instant::now()) {
                        tracing::warn!("dropped an update heard over NATS: they arrive too fast{held_back}");
                    }
                });
                queues.push(Box::pin(stream::unfold(queue, |mut queue| async { Some((queue.next().await?, queue)) })));
            }
            Err(error) => tracing::error!("cannot subscribe to {subject}: {error}"),
        }
    }
    let (mut messages, refused) = (stream::select_all(queues), Throttle::every(SELDOM));
    while let Some((message, _room)) = messages.next().await {
        let Ok(Some(key)) = subjects::updated(&message.subject) else { continue };
        if let Err(refusal) = upstream.hint(&message.payload, &key).await {
            node.metrics().refused(Via::Hint, &refusal);
            // The name in a JWT that is refused is not known to be the account's.
            report(&refused, &node.called(&key), &refusal);
        }
    }
}

fn report(refused: &Throttle, account: &Called, refusal: &Refusal) {
    let key = account.key();
    if refusal.is_conflict() {
        // What comes late or twice is no attack.
        tracing::debug!(account = %key, "ignored an update of {account} heard over NATS: {refusal}");
    } else if let Some(held_back) = refused.turn(Instant::now()) {
        tracing::warn!(account = %key, "rejected an update of {account} heard over NATS: {refusal}{held_back}");
    }
}
