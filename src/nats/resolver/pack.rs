//! PACK, answered: every JWT that is served, one in a message, and an empty message at the end.
//!
//! One member of the group `responder` gets each request, and the asker gets only what that member has. So this server
//! joins the group only when it has everything, and a mirror leaves it while it is not in sync.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subject, Subscriber};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::super::{Connected, subjects};
use super::Resolver;
use crate::node::{StoreError, Stored};

/// Accounts that are read in one go.
const PIECE: usize = 500;
/// Packs that are sent at the same time.
const AT_ONCE: usize = 4;
/// Requests that wait for their turn; more are left to ask again.
const WAITING: usize = 64;
/// How often is looked whether this server is in sync.
const LOOK: Duration = Duration::from_millis(200);
/// How long the connection may take to send a piece.
const FLUSH: Duration = Duration::from_secs(30);

/// Why a pack ends early.
#[derive(Debug, thiserror::Error)]
enum PackBroken {
    #[error("the connection to NATS broke")]
    Connection,
    #[error("{0} accounts are left out, because their JWTs are damaged or too large for a message")]
    LeftOut(usize),
    #[error("this server does not store every account now")]
    Early,
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Answers whenever it is our place to, for as long as the process lives.
pub(super) async fn serve(resolver: Arc<Resolver>, packs: Arc<Connected>) {
    let (turns, room) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(WAITING)));
    loop {
        resolver.policy.packs(true).await;
        if resolver.node.draining().is_cancelled() {
            return;
        }
        while !resolver.node.is_in_sync() {
            sleep(LOOK).await;
        }
        let group = subjects::RESPONDERS.to_owned();
        let Ok(mut requests) = packs.client().queue_subscribe(subjects::PACK, group).await else { return };
        let mut is_leaving = false;
        loop {
            tokio::select! {
                request = requests.next() => match request {
                    Some(request) => {
                        notice(&resolver, &request);
                        match room.clone().try_acquire_owned() {
                            Ok(place) => {
                                let (resolver, packs, turns) = (resolver.clone(), packs.clone(), turns.clone());
                                tokio::spawn(async move {
                                    // It is never closed.
                                    let _turn = turns.acquire().await;
                                    answer(&resolver, &packs, request).await;
                                    drop(place);
                                });
                            }
                            Err(_) => {
                                resolver.count("pack", "dropped");
                                resolver.overrun("pack");
                            }
                        }
                    }
                    None => break,
                },
                () = falls_behind(&resolver), if !is_leaving => is_leaving = leave(&mut requests).await,
                () = resolver.policy.packs(false), if !is_leaving => is_leaving = leave(&mut requests).await,
                () = resolver.node.draining().cancelled(), if !is_leaving => is_leaving = leave(&mut requests).await,
            }
        }
    }
}

/// Waits until this server is a mirror that is not in sync.
async fn falls_behind(resolver: &Resolver) {
    // A primary that has everything once has it for good.
    if resolver.node.is_primary() {
        return std::future::pending().await;
    }
    while resolver.node.is_in_sync() {
        sleep(LOOK).await;
    }
}

/// Leaves the group. What was given to us before is still to be answered.
async fn leave(requests: &mut Subscriber) -> bool {
    // It fails when the client is closed.
    let _ = requests.drain().await;
    true
}

/// A nats-server asks with the hash of what it has, so it is a full resolver.
fn notice(resolver: &Resolver, request: &Message) {
    let from_server = request.reply.as_ref().is_some_and(|reply| reply.starts_with("$SYS._INBOX."));
    if from_server && request.payload.len() == 32 {
        resolver.policy.asked();
    }
}

async fn answer(resolver: &Resolver, packs: &Connected, request: Message) {
    let Some(reply) = Resolver::reply_subject(request.reply) else { return };
    if !resolver.node.is_in_sync() {
        // It came before this server left the group.
        return resolver.count("pack", "silent");
    }
    let hash = match resolver.node.pack_hash().await {
        Ok(Some(hash)) => hash,
        Ok(None) => return,
        Err(error) => return resolver.failed("pack", format_args!("cannot answer PACK: {error}")),
    };
    let sent = if request.payload == hash[..] { Ok(0) } else { send_all(resolver, packs, &reply).await };
    match sent {
        Ok(count) => {
            resolver.count("pack", if count == 0 { "equal" } else { "sent" });
            // It fails when the client is closed.
            let _ = packs.client().publish(reply, Bytes::new()).await;
            tracing::debug!("sent a pack of {count} JWTs over NATS");
        }
        // Without its end, the asker knows that it is not whole.
        Err(error) => {
            resolver.count("pack", "incomplete");
            if let Some(held_back) = resolver.lines.turn("incomplete", "pack") {
                tracing::warn!("a pack was not sent completely: {error}{held_back}");
            }
        }
    }
}

/// Sends every JWT. Returns how many they were.
async fn send_all(resolver: &Resolver, packs: &Connected, reply: &Subject) -> Result<usize, PackBroken> {
    let connection = packs.generation();
    let (mut after, mut sent, mut left_out) = (None, 0, 0);
    loop {
        let piece = resolver.node.served(after, PIECE).await?.ok_or(PackBroken::Early)?;
        left_out += piece.damaged;
        for stored in &piece.accounts {
            match packs.client().publish(reply.clone(), line(stored)).await {
                Ok(()) => sent += 1,
                Err(error) => {
                    resolver.unsent(stored.entry.key(), &error);
                    left_out += 1;
                }
            }
        }
        let flushed = matches!(timeout(FLUSH, packs.client().flush()).await, Ok(Ok(())));
        if !flushed || packs.generation() != connection {
            return Err(PackBroken::Connection);
        }
        match piece.next {
            Some(next) => after = Some(next),
            None if left_out > 0 => return Err(PackBroken::LeftOut(left_out)),
            None => return Ok(sent),
        }
    }
}

fn line(stored: &Stored) -> Bytes {
    let mut line = BytesMut::new();
    stored.write_line(&mut line);
    line.freeze()
}
