//! Asking the nats-servers what they hold of one account.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::super::Connected;
use super::super::subjects;
use crate::key::AccountKey;

/// Different answers to one question that are read, and their bytes.
const ANSWERS: usize = 64;
const BYTES: usize = 16 << 20;

/// What came back.
#[derive(Debug, Default)]
pub(in crate::nats) struct PeerAnswers {
    /// The different answers: JWTs, and an empty text if a full resolver has none.
    pub(super) answers: Vec<Bytes>,
    /// NATS says that no resolver listens.
    pub(super) is_nobody_there: bool,
}

impl PeerAnswers {
    /// Whether a full resolver has none.
    pub(super) fn is_missing_somewhere(&self) -> bool {
        self.answers.iter().any(Bytes::is_empty)
    }

    /// The JWTs.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &Bytes> {
        self.answers.iter().filter(|token| !token.is_empty())
    }
}

/// The nats-servers with a resolver that answers.
#[derive(Debug)]
pub(in crate::nats) struct Peers(Arc<Connected>);

impl Peers {
    pub(in crate::nats) const fn new(connected: Arc<Connected>) -> Self {
        Self(connected)
    }

    /// What the resolvers answer within `window` to a request for an account. `None`: there was no connection.
    ///
    /// Resolvers before 2.9.17 say nothing if they have none, and so do we.
    pub(super) async fn look_up(&self, key: &AccountKey, window: Duration) -> Option<PeerAnswers> {
        if !self.0.is_connected() {
            return None;
        }
        let (client, inbox) = (self.0.client(), self.0.client().new_inbox());
        let mut answers = client.subscribe(inbox.clone()).await.ok()?;
        client.publish_with_reply(subjects::lookup(key), inbox, Bytes::new()).await.ok()?;
        let (until, mut heard, mut bytes) = (Instant::now() + window, PeerAnswers::default(), 0);
        while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
            if answer.status.is_some() {
                heard.is_nobody_there = true;
                break;
            }
            bytes += answer.payload.len();
            if heard.answers.len() == ANSWERS || bytes > BYTES {
                break;
            }
            if !heard.answers.contains(&answer.payload) {
                heard.answers.push(answer.payload);
            }
        }
        self.0.is_connected().then_some(heard)
    }
}
