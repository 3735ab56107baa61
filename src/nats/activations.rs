//! Activations that other account servers announce. A primary stores them; to a replica they are hints.
//!
//! As with the Go server, the message is the bare token, and its subject names the key that signed and the activation's
//! hash. It is not answered. An activation that comes back to its announcer is no change, so it goes no further.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Message;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Connected;
use super::queue::queue_up;
use crate::gate::SentFor;
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::node::{Node, WriteError};
use crate::throttle::Throttle;

const SUBJECT: &str = "$SYS.ACCOUNT.*.CLAIMS.ACTIVATE.*";
/// Activations that are stored at the same time. Those of one hash stay in order.
const LANES: usize = 8;
/// Activations that wait in each lane, besides those without a lane yet.
const WAITING: usize = 64;
/// Bytes of activations that may wait, over all lanes.
const QUEUED: usize = 64 << 20;
/// How often a line about rejected activations may be logged.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// Applies activations, for as long as the connection lives.
pub(super) async fn hear_activations(connected: Arc<Connected>, node: Arc<Node>) {
    let messages = match connected.client().subscribe(SUBJECT).await {
        Ok(messages) => messages,
        Err(error) => return tracing::error!("cannot subscribe to {SUBJECT}: {error}"),
    };
    let dropped = Throttle::every(LINES_EVERY);
    let mut messages = queue_up(messages, QUEUED, move |_| {
        if let Some(held_back) = dropped.turn(Instant::now()) {
            tracing::warn!("dropped an activation heard over NATS: they arrive too fast{held_back}");
        }
    });
    let hearing = Arc::new(Hearing::new(node));
    let lanes: Vec<_> = (0..LANES).map(|_| hearing.clone().lane()).collect();
    while let Some((Message { subject, payload, .. }, room)) = messages.next().await {
        let Some((issuer, id)) = named(&subject) else {
            hearing.take(&payload, None).await;
            continue;
        };
        // It ends with the process.
        let _ =
            lanes[usize::from(id.raw()[0]) % LANES].send(HeardActivation { issuer, id, payload, _room: room }).await;
    }
}

/// An activation, as it was announced.
struct HeardActivation {
    issuer: AccountKey,
    id: HashId,
    payload: Bytes,
    _room: OwnedSemaphorePermit,
}

/// What happens to each.
#[derive(Debug)]
struct Hearing {
    node: Arc<Node>,
    refused: Throttle,
    failed: Throttle,
}

impl Hearing {
    const fn new(node: Arc<Node>) -> Self {
        Self { node, refused: Throttle::every(LINES_EVERY), failed: Throttle::every(LINES_EVERY) }
    }

    /// Takes in one after another.
    fn lane(self: Arc<Self>) -> mpsc::Sender<HeardActivation> {
        let (sender, mut heard) = mpsc::channel::<HeardActivation>(WAITING);
        tokio::spawn(async move {
            while let Some(HeardActivation { issuer, id, payload, _room }) = heard.recv().await {
                self.take(&payload, Some(SentFor { id: Some(&id), issuer: Some(&issuer) })).await;
            }
        });
        sender
    }

    async fn take(&self, token: &[u8], sent_for: Option<SentFor<'_>>) {
        let now = Instant::now();
        match self.node.hear_activation(token, sent_for).await {
            Ok(()) => {}
            // What comes late or twice is no attack.
            Err(WriteError::Refused(refusal)) if refusal.is_conflict() => {
                tracing::debug!("ignored an activation heard over NATS: {refusal}");
            }
            Err(WriteError::Refused(refusal)) => {
                if let Some(held_back) = self.refused.turn(now) {
                    tracing::warn!("rejected an activation heard over NATS: {refusal}{held_back}");
                }
            }
            Err(error) => {
                if let Some(held_back) = self.failed.turn(now) {
                    tracing::error!("cannot store an activation heard over NATS: {error}{held_back}");
                }
            }
        }
    }
}

/// The key that signed, and the hash, as a subject names them.
fn named(subject: &str) -> Option<(AccountKey, HashId)> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let ["$SYS", "ACCOUNT", issuer, "CLAIMS", "ACTIVATE", hash] = tokens[..] else { return None };
    Some((AccountKey::parse(issuer).ok()?, HashId::parse(hash)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_an_account_key_and_a_hash() {
        let (issuer, id) = (AccountKey::from_raw([1; 32]), HashId::from_raw([2; 32]));
        let (key, hash) = (issuer.to_string(), id.text());
        let name = |key: &str, hash: &str| named(&format!("$SYS.ACCOUNT.{key}.CLAIMS.ACTIVATE.{hash}"));
        assert_eq!(name(&key, &hash), Some((issuer, id)));
        let (lower, padded) = (key.to_lowercase(), format!("{hash}===="));
        for (key, hash) in [
            ("", &*hash),
            ("*", &hash),
            (&lower, &hash),
            (&key[1..], &hash),
            (&key, ""),
            (&key, ">"),
            (&key, "*"),
            (&key, "a\r\nb"),
            (&key, &padded),
            (&key, &hash[1..]),
            (&key, &key),
        ] {
            assert_eq!(name(key, hash), None, "{key} {hash}");
        }
        assert_eq!(named(&format!("$SYS.ACCOUNT.{key}.CLAIMS.UPDATE")), None);
    }
}
