//! Which nats-servers are there.
//!
//! All of them, in every cluster and behind every leafnode connection of the system account, answer a request on one
//! subject with their name; and whoever answers that, answers claims updates. So they are asked when the connection
//! comes up, before anything is announced on it, and every ten seconds from then on. Who stops says so on a subject of
//! its own. `docs/delivery.md` has what was seen of each release.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::Message;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::connect::Connected;
use super::identity::Identity;
use crate::node::{Connection as _, Receipts, Server};

const SUBJECT: &str = "$SYS.REQ.SERVER.PING";
const SHUTDOWNS: &str = "$SYS.SERVER.*.SHUTDOWN";
/// How often they are asked.
const EVERY: Duration = Duration::from_secs(10);
/// How often, if nobody answers: we are not allowed to ask, and every attempt is an error in the log.
const SELDOM: Duration = Duration::from_secs(300);
/// So many calls without an answer mean that none will come.
const IN_VAIN: u32 = 3;
/// How many calls are remembered: a paused server that goes on answers all it has missed.
const REMEMBERED: usize = 64;

/// An answer. The rest of it, figures about the server's load, is not looked at.
#[derive(Deserialize)]
struct Present {
    server: Identity,
}

/// Asks who is there.
#[derive(Debug)]
pub(super) struct RollCall {
    connected: Arc<Connected>,
    receipts: Arc<Receipts>,
    inbox: String,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    number: u64,
    /// When each of the latest calls was made.
    made: VecDeque<(u64, Instant)>,
    /// The connection on which the last one was made.
    connection: Option<u64>,
    in_vain: u32,
}

impl Calls {
    /// The next call, if it is due: its number, and whether it is the first on its connection.
    fn next(&mut self, connection: u64, now: Instant) -> Option<(u64, bool)> {
        let is_first = self.connection != Some(connection);
        let pause = if self.in_vain < IN_VAIN { EVERY } else { SELDOM };
        if !is_first && self.made.back().is_some_and(|(_, at)| now.saturating_duration_since(*at) < pause) {
            return None;
        }
        self.number += 1;
        self.in_vain = self.in_vain.saturating_add(1);
        self.connection = Some(connection);
        self.made.push_back((self.number, now));
        while self.made.len() > REMEMBERED {
            self.made.pop_front();
        }
        Some((self.number, is_first))
    }

    /// When the call that is answered was made.
    fn answered(&mut self, number: u64) -> Option<Instant> {
        self.in_vain = 0;
        self.made.iter().find(|(made, _)| *made == number).map(|(_, at)| *at)
    }
}

impl RollCall {
    /// Begins to listen. [`RollCall::call`] does the asking.
    pub(super) async fn start(connected: Arc<Connected>, receipts: Arc<Receipts>) -> Arc<Self> {
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

    /// Asks who is there, if it is time. Returns whether there is a connection, on which they have been asked.
    pub(super) async fn call(&self) -> bool {
        if !self.connected.is_connected() {
            return false;
        }
        let next = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.next(self.connected.generation(), Instant::now())
        };
        let Some((number, is_first)) = next else { return true };
        self.receipts.called(is_first);
        let reply = format!("{}.{number}", self.inbox);
        if let Err(error) = self.connected.client().publish_with_reply(SUBJECT, reply, Bytes::new()).await {
            tracing::warn!("cannot ask which nats-servers are there: {error}");
        }
        true
    }

    fn heard(&self, answer: &Message) {
        let Ok(present) = serde_json::from_slice::<Present>(&answer.payload) else { return };
        let Some(number) = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok()) else { return };
        let asked = self.calls.lock().unwrap_or_else(PoisonError::into_inner).answered(number);
        self.receipts.heard(Server::from(present.server), asked.unwrap_or_else(Instant::now));
    }

    fn parted(&self, farewell: &Message) {
        // $SYS.SERVER.<id>.SHUTDOWN
        if let Some(id) = farewell.subject.split('.').nth(2) {
            self.receipts.gone(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_made_on_every_new_connection_and_every_ten_seconds() {
        let (mut calls, start) = (Calls::default(), Instant::now());
        assert_eq!(calls.next(0, start), Some((1, true)));
        assert_eq!(calls.next(0, start + EVERY / 2), None);
        assert_eq!(calls.next(1, start + EVERY / 2), Some((2, true)));
        assert_eq!(calls.next(1, start + EVERY), None);
        assert_eq!(calls.next(1, start + EVERY * 2), Some((3, false)));
        assert_eq!(calls.answered(2), Some(start + EVERY / 2));
    }

    #[test]
    fn calls_that_nobody_answers_become_rare() {
        let (mut calls, start) = (Calls::default(), Instant::now());
        for round in 0..IN_VAIN {
            assert!(calls.next(0, start + EVERY * round).is_some());
        }
        assert_eq!(calls.next(0, start + EVERY * IN_VAIN), None);
        let seldom = start + EVERY * (IN_VAIN - 1) + SELDOM;
        assert!(calls.next(0, seldom).is_some());
        calls.answered(1);
        assert!(calls.next(0, seldom + EVERY).is_some());
    }

    #[test]
    fn only_the_latest_calls_are_remembered() {
        let (mut calls, start) = (Calls::default(), Instant::now());
        for connection in 0..REMEMBERED as u64 + 1 {
            calls.next(connection, start);
        }
        assert_eq!(calls.answered(1), None);
        assert_eq!(calls.answered(2), Some(start));
    }
}
