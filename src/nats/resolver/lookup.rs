//! LOOKUP: nats-servers with a full or a cache resolver ask for an account that they do not have.
//!
//! The answer is the JWT and nothing else. Without a JWT there is no answer: the nats-server that asks would take an empty
//! one for that of another server, and give up before the others answer. Before 2.9.17 it would even store it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::super::queue::Queued;
use super::super::subjects;
use super::Resolver;
use crate::node::LookupNow;

/// Accounts that may be looked for at the same time, where that takes waiting.
const AT_ONCE: usize = 64;
/// How long one may take. The nats-server waits for 1.9 seconds.
const BUDGET: Duration = Duration::from_millis(1200);

/// Answers for as long as requests come.
pub(super) async fn serve(resolver: Arc<Resolver>, mut messages: Queued) {
    let waiting = Arc::new(Semaphore::new(AT_ONCE));
    let count = |outcome| resolver.counter("lookup", outcome);
    let (found, absent, dropped) = (count("found"), count("absent"), count("dropped"));
    let duration = resolver.node.metrics().nats.lookup_duration.clone();
    let client = resolver.client();
    while let Some((message, _room)) = messages.next().await {
        let Some(key) = subjects::looked_up(&message.subject) else {
            resolver.junk("lookup", format_args!("{:?} names no account", &*message.subject));
            continue;
        };
        let Some(reply) = Resolver::reply_subject(message.reply) else { continue };
        let timer = duration.start_timer();
        match resolver.node.lookup_now(&key) {
            LookupNow::Served(token) => {
                found.inc();
                // It fails when the client is closed, or if the JWT is larger than a message may be.
                if let Err(error) = client.publish(reply, token).await {
                    resolver.unsent(&key, &error);
                }
            }
            LookupNow::Absent => absent.inc(),
            LookupNow::Unsure => {
                let Ok(permit) = waiting.clone().try_acquire_owned() else {
                    // Too many look-ups of unknown accounts are under way; the others must not wait for them.
                    dropped.inc();
                    timer.stop_and_discard();
                    resolver.overrun("lookup");
                    continue;
                };
                let (resolver, found, absent) = (resolver.clone(), found.clone(), absent.clone());
                tokio::spawn(async move {
                    let _timer = timer;
                    let answer = tokio::time::timeout(BUDGET, resolver.node.lookup(&key)).await;
                    match answer {
                        Ok(Some(token)) => {
                            found.inc();
                            resolver.send(reply, token).await;
                        }
                        Ok(None) | Err(_) => absent.inc(),
                    }
                    drop(permit);
                });
            }
        }
    }
}
