//! All that a full resolver holds, pulled once: a pack for who holds nothing.

use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::queue::bounded;
use super::{Connected, subjects};

/// The sum of a store with nothing in it.
const NOTHING: [u8; 32] = [0; 32];
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the first message may take: a full resolver with very many accounts looks at them first.
const FIRST: Duration = Duration::from_secs(10);
/// How long the next one may take.
const NEXT: Duration = Duration::from_secs(5);
/// Bytes of a pack that may wait.
const WAITING: usize = 512 << 20;

/// How a pull ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// All of it was heard.
    Whole,
    /// It was not: why, and what to do.
    Broken(String),
}

/// Asks for a pack and passes on what comes, message by message: as a rule a line each.
pub async fn pull(connected: &Connected, lines: &mpsc::Sender<Bytes>) -> Pulled {
    let broken = |why: &str| Pulled::Broken(why.to_owned());
    let began = Instant::now();
    while !connected.is_connected() {
        if began.elapsed() > CONNECT {
            let why = connected.failure().unwrap_or_else(|| "check the address and the credentials".to_owned());
            return Pulled::Broken(format!("the nats-server cannot be connected to; {why}"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    let (client, inbox) = (connected.client(), connected.client().new_inbox());
    let Ok(mut messages) = client.subscribe(inbox.clone()).await else { return broken("the connection is closed") };
    if client.publish_with_reply(subjects::PACK, inbox, Bytes::from_static(&NOTHING)).await.is_err() {
        return broken("the connection is closed");
    }
    let (queue, mut taken) = bounded(WAITING);
    let listening = tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            // What has no room is missing, and so is the end then.
            if queue.offer(message).is_err() {
                return;
            }
        }
    });
    let (mut seen, mut patience) = (false, FIRST);
    let ended = loop {
        match timeout(patience, taken.next()).await {
            Err(_) if !connected.denied().is_empty() => {
                break Pulled::Broken(format!("the user is not permitted to {}", connected.denied().join(", to ")));
            }
            Err(_) if !seen => {
                break broken(
                    "no nats-server answered; check that the credentials are those of a \
                 system-account user",
                );
            }
            Err(_) => break broken("the pack broke off; try again"),
            Ok(None) => break broken("the pack arrived faster than it could be read; import the resolver's folder"),
            Ok(Some((Message { status: Some(_), .. }, _))) if !seen => {
                break broken("there is no nats-server with a full resolver");
            }
            Ok(Some((message, _))) if message.payload.is_empty() => break Pulled::Whole,
            Ok(Some((message, _room))) => {
                if lines.send(message.payload).await.is_err() {
                    break broken("nothing reads it any more");
                }
            }
        }
        (seen, patience) = (true, NEXT);
    };
    listening.abort();
    ended
}
