//! Which nats-servers are there.
//!
//! All of them, in every cluster and behind every leafnode connection of the system account, answer a request on one
//! subject with their name; and each one that answers that answers claims updates. So they are called when the
//! connection comes up, before anything is announced on it, and every few seconds from then on. One that stops says so on
//! a subject of its own. `docs/delivery.md` has what was seen of each release.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde::Deserialize;

use super::identity::Identity;
use super::link::Connected;
use crate::node::{Receipts, Server};

const SUBJECT: &str = "$SYS.REQ.SERVER.PING";
const SHUTDOWNS: &str = "$SYS.SERVER.*.SHUTDOWN";
/// How often they are called. A call costs each nats-server about 2 ms and 0.5 to 0.7 KB.
const EVERY: Duration = Duration::from_secs(4);
/// How often, if no call is answered: we are not allowed to call, and every attempt is an error in the log.
const SELDOM: Duration = Duration::from_secs(300);
/// Calls without an answer after which none is expected any more.
const UNANSWERED: u32 = 3;

/// An answer. The rest of it, figures about the server's load, is not looked at.
#[derive(Deserialize)]
struct PingAnswer {
    server: Identity,
}

/// Calls the nats-servers for ever from a replica, only to know whether they hear it: a user without a JWT does not say its
/// account.
pub(super) async fn listen_for_nats_servers(connected: Arc<Connected>) {
    let roll = RollCall::start(connected, None).await;
    loop {
        roll.call().await;
        tokio::time::sleep(EVERY / 4).await;
    }
}

/// Calls the nats-servers.
#[derive(Debug)]
pub(super) struct RollCall {
    connected: Arc<Connected>,
    /// None on a replica, which keeps no roll.
    receipts: Option<Arc<Receipts>>,
    inbox: String,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    number: u64,
    /// When the last one was made.
    made: Option<Instant>,
    /// The connection on which the last one was made.
    connection: Option<u64>,
    unanswered: u32,
}

impl Calls {
    /// The next call, if it is due: its number, and whether it is the first on its connection.
    fn next(&mut self, connection: u64, now: Instant) -> Option<(u64, bool)> {
        let is_first = self.connection != Some(connection);
        let pause = if self.unanswered < UNANSWERED { EVERY } else { SELDOM };
        if !is_first && self.made.is_some_and(|made| now.saturating_duration_since(made) < pause) {
            return None;
        }
        self.number += 1;
        self.unanswered = if is_first { 1 } else { self.unanswered.saturating_add(1) };
        self.connection = Some(connection);
        self.made = Some(now);
        Some((self.number, is_first))
    }

    /// Whether the calls on this connection go unanswered. The last one that counts has had its time.
    fn are_in_vain(&self, connection: u64, now: Instant) -> bool {
        self.connection == Some(connection)
            && self.unanswered >= UNANSWERED
            && self.made.is_some_and(|made| now.saturating_duration_since(made) >= EVERY)
    }
}

impl RollCall {
    /// Begins to listen. [`RollCall::call`] does the calling.
    pub(super) async fn start(connected: Arc<Connected>, receipts: Option<Arc<Receipts>>) -> Arc<Self> {
        let client = connected.client();
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await;
        let farewells = client.subscribe(SHUTDOWNS).await;
        let call = Arc::new(Self { connected: connected.clone(), receipts, inbox, calls: Mutex::default() });
        // They fail when the client is closed, which it never is.
        let (Ok(mut answers), Ok(mut farewells)) = (answers, farewells) else { return call };
        let listening = call.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(answer) = answers.next() => listening.heard(&answer),
                    Some(farewell) = farewells.next() => listening.parted(&farewell),
                    else => return,
                }
            }
        });
        call
    }

    /// Calls, if it is time. Returns whether there is a connection, on which they have been called.
    pub(super) async fn call(&self) -> bool {
        if !self.connected.is_connected() {
            return false;
        }
        let (next, in_vain) = {
            let (connection, now) = (self.connected.generation(), Instant::now());
            let mut calls = self.calls.lock();
            (calls.next(connection, now), calls.are_in_vain(connection, now))
        };
        if in_vain {
            self.unheard();
        }
        let Some((number, is_first)) = next else { return true };
        if let Some(receipts) = &self.receipts {
            receipts.called(number, is_first);
        }
        let reply = format!("{}.{number}", self.inbox);
        if let Err(error) = self.connected.client().publish_with_reply(SUBJECT, reply, Bytes::new()).await {
            tracing::warn!("cannot call the nats-servers: {error}");
        }
        true
    }

    /// Reports that no nats-server answers. If calling is not permitted, that is reported already, and announcements may
    /// still arrive.
    fn unheard(&self) {
        let is_known = |denied: &String| denied.ends_with(SUBJECT) || denied.starts_with("subscribe to _INBOX");
        if !self.connected.denied().iter().any(is_known) {
            self.connected.link().heard(false);
        }
    }

    fn heard(&self, answer: &Message) {
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            // The connection ends in an account that no nats-server listens in. In the system account each one does.
            return self.unheard();
        }
        let Ok(present) = serde_json::from_slice::<PingAnswer>(&answer.payload) else { return };
        let Some(number) = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok()) else { return };
        self.calls.lock().unanswered = 0;
        self.connected.link().heard(true);
        if let Some(receipts) = &self.receipts {
            receipts.heard(Server::from(present.server), number);
        }
    }

    fn parted(&self, farewell: &Message) {
        // $SYS.SERVER.<id>.SHUTDOWN
        if let (Some(id), Some(receipts)) = (farewell.subject.split('.').nth(2), &self.receipts) {
            receipts.stopped(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_made_on_every_new_connection_and_every_few_seconds() {
        let (mut calls, start) = (Calls::default(), Instant::now());
        assert_eq!(calls.next(0, start), Some((1, true)));
        assert_eq!(calls.next(0, start + EVERY / 2), None);
        assert_eq!(calls.next(1, start + EVERY / 2), Some((2, true)));
        assert_eq!(calls.next(1, start + EVERY), None);
        assert_eq!(calls.next(1, start + EVERY * 2), Some((3, false)));
    }

    #[test]
    fn calls_are_in_vain_when_the_last_one_had_its_time() {
        let (mut calls, start) = (Calls::default(), Instant::now());
        for round in 0..UNANSWERED {
            assert!(!calls.are_in_vain(0, start + EVERY * round));
            calls.next(0, start + EVERY * round);
        }
        assert!(!calls.are_in_vain(0, start + EVERY * (UNANSWERED - 1)));
        assert!(calls.are_in_vain(0, start + EVERY * UNANSWERED));
        assert!(!calls.are_in_vain(1, start + EVERY * UNANSWERED), "another connection");
        calls.unanswered = 0;
        assert!(!calls.are_in_vain(0, start + EVERY * UNANSWERED));
    }

    #[test]
    fn calls_that_are_not_answered_become_rare() {
        let (mut calls, start) = (Calls::default(), Instant::now());
        for round in 0..UNANSWERED {
            assert!(calls.next(0, start + EVERY * round).is_some());
        }
        assert_eq!(calls.next(0, start + EVERY * UNANSWERED), None);
        let seldom = start + EVERY * (UNANSWERED - 1) + SELDOM;
        assert!(calls.next(0, seldom).is_some());
        calls.unanswered = 0;
        assert!(calls.next(0, seldom + EVERY).is_some());
        // Another connection may have other permissions.
        calls.unanswered = 9;
        assert!(calls.next(1, seldom + EVERY).is_some());
        assert!(calls.next(1, seldom + EVERY * 2).is_some());
    }
}
