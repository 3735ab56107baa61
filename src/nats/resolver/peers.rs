//! Asking the nats-servers what they hold of one account.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::super::Connected;
use super::super::subjects;
use crate::key::AccountKey;
use crate::node::Connection as _;

/// More answers to one question are not looked at.
const ANSWERS: usize = 1000;

/// The nats-servers with a resolver that answers.
#[derive(Debug)]
pub(super) struct Peers(Arc<Connected>);

impl Peers {
    pub(super) const fn new(connected: Arc<Connected>) -> Self {
        Self(connected)
    }

    /// What comes back within `window` when everybody is asked for an account: JWTs, and an empty text from each full
    /// resolver that has none. `None`: nobody could be asked.
    ///
    /// Resolvers before 2.9.17 say nothing if they have none, and so do we.
    pub(super) async fn look_up(&self, key: &AccountKey, window: Duration) -> Option<Vec<Bytes>> {
        if !self.0.is_connected() {
            return None;
        }
        let (client, inbox) = (self.0.client(), self.0.client().new_inbox());
        let mut answers = client.subscribe(inbox.clone()).await.ok()?;
        client.publish_with_reply(subjects::lookup(key), inbox, Bytes::new()).await.ok()?;
        let (until, mut heard) = (Instant::now() + window, Vec::new());
        while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
            // Nobody listens.
            if answer.status.is_some() || heard.len() == ANSWERS {
                break;
            }
            heard.push(answer.payload);
        }
        self.0.is_connected().then_some(heard)
    }
}
