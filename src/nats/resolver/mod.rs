//! The account-resolver protocol: what nats-servers with a full resolver answer, answered here as well.
//!
//! Every server on the system account hears every request, so a [`policy`] decides what is answered. Each operation has a
//! task of its own, and packs have a connection of their own, so none waits for another. JWTs pass the gate as everywhere.
//! Messages that are no requests are counted, and logged now and then.

mod delete;
mod envelope;
mod heal;
mod list;
mod lookup;
mod pack;
pub(super) mod peers;
mod policy;
pub(super) mod stored;
mod sync;
mod update;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, PublishError, Subject, Subscriber};
use bytes::Bytes;
use parking_lot::Mutex;
use prometheus::IntCounter;

use super::link::Connected;
use super::queue::{Queued, queue_up};
use super::subjects;
use crate::key::AccountKey;
use crate::node::Node;
use crate::throttle::{HeldBack, Throttle};
use envelope::Envelope;
pub(super) use policy::ResolverPolicy;

/// How often a line may be logged that any client of the system account can cause.
const SELDOM: Duration = Duration::from_secs(10);

/// Speaks the account-resolver protocol.
#[derive(Debug)]
pub(super) struct Resolver {
    node: Arc<Node>,
    connected: Arc<Connected>,
    policy: Arc<ResolverPolicy>,
    envelope: Envelope,
    lines: LogLines,
}

/// Lines that others can cause, each at most once in a while.
#[derive(Debug, Default)]
struct LogLines(Mutex<HashMap<(&'static str, &'static str), Arc<Throttle>>>);

impl LogLines {
    /// Whether a line of a kind about an operation may be written.
    fn turn(&self, kind: &'static str, operation: &'static str) -> Option<HeldBack> {
        let mut lines = self.0.lock();
        let line = lines.entry((kind, operation)).or_insert_with(|| Arc::new(Throttle::every(SELDOM))).clone();
        line.turn(Instant::now())
    }
}

impl Resolver {
    /// Begins to listen, for as long as the process lives. `packs`: the connection for packs, if LIST and PACK may be
    /// answered. `sync_interval`: how often a primary asks for packs.
    pub(super) async fn start(
        connected: Arc<Connected>,
        packs: Option<Arc<Connected>>,
        sync_interval: Duration,
        node: Arc<Node>,
        policy: Arc<ResolverPolicy>,
    ) {
        if policy.is_off() {
            return;
        }
        let resolver =
            Arc::new(Self { node, connected, policy, envelope: Envelope::new(), lines: LogLines::default() });
        if let Some(lookups) = resolver.queue(subjects::LOOKUP, "lookup", 64 << 20).await {
            tokio::spawn(lookup::serve(resolver.clone(), lookups));
        }
        let Some(packs) = packs else { return };
        tokio::spawn(resolver.policy.clone().watch(resolver.connected.clone()));
        if let Some(lists) = resolver.queue(subjects::LIST, "list", 1 << 20).await {
            tokio::spawn(list::serve(resolver.clone(), lists));
        }
        tokio::spawn(pack::serve(resolver.clone(), packs.clone()));
        if !resolver.node.is_primary() {
            return;
        }
        tokio::spawn(resolver.policy.clone().tell(resolver.node.receipts().clone()));
        update::start(&resolver).await;
        if let Some(deletes) = resolver.queue(subjects::DELETE, "delete", 32 << 20).await {
            tokio::spawn(delete::serve(resolver.clone(), deletes));
        }
        if resolver.node.is_writable() {
            tokio::spawn(sync::run(resolver, packs, sync_interval));
        }
    }

    /// Listens to requests that are dealt with one after another; `bytes` of them may wait.
    async fn queue(self: &Arc<Self>, subject: &'static str, operation: &'static str, bytes: usize) -> Option<Queued> {
        let (messages, resolver) = (self.hear(subject).await?, self.clone());
        Some(queue_up(messages, bytes, move |_| {
            resolver.count(operation, "dropped");
            resolver.overrun(operation);
        }))
    }

    async fn hear(&self, subject: &'static str) -> Option<Subscriber> {
        match self.client().subscribe(subject).await {
            Ok(subscriber) => Some(subscriber),
            // It fails when the client is closed, which it never is.
            Err(error) => {
                tracing::error!("cannot subscribe to {subject}: {error}");
                None
            }
        }
    }

    fn client(&self) -> &Client {
        self.connected.client()
    }

    fn counter(&self, operation: &str, outcome: &str) -> IntCounter {
        self.node.metrics().nats.requests.of([operation, outcome])
    }

    fn count(&self, operation: &str, outcome: &str) {
        self.counter(operation, outcome).inc();
    }

    /// Where an answer goes. A reply subject is what the asker wrote: an answer goes to one place, not to a pattern.
    fn reply_subject(reply: Option<Subject>) -> Option<Subject> {
        reply.filter(|reply| reply.split('.').all(|token| !matches!(token, "" | "*" | ">")))
    }

    async fn send(&self, to: Subject, body: Bytes) {
        // It fails when the client is closed, or if the body is larger than a message may be.
        if let Err(error) = self.client().publish(to, body).await
            && let Some(held_back) = self.lines.turn("unsent", "answer")
        {
            tracing::error!("an answer cannot be sent over NATS: {error}{held_back}");
        }
    }

    /// Answers a request, if answers are given and one is wanted.
    async fn answer(&self, reply: Option<Subject>, body: impl FnOnce(&Envelope) -> Bytes) {
        if let Some(reply) = Self::reply_subject(reply)
            && self.policy.settled().await.replies
        {
            self.send(reply, body(&self.envelope)).await;
        }
    }

    fn unsent(&self, key: &AccountKey, error: &PublishError) {
        if let Some(held_back) = self.lines.turn("unsent", "jwt") {
            tracing::error!(account = %key, "the JWT of {} cannot be sent over NATS: {error}{held_back}", self.node.called(key));
        }
    }

    /// Something came that is no request.
    fn junk(&self, operation: &'static str, what: fmt::Arguments<'_>) {
        self.count(operation, "junk");
        if let Some(held_back) = self.lines.turn("junk", operation) {
            tracing::warn!("NATS {operation} is ignored: {what}{held_back}");
        }
    }

    /// More came than there is room for.
    fn overrun(&self, operation: &'static str) {
        if let Some(held_back) = self.lines.turn("overrun", operation) {
            tracing::warn!("dropped NATS {operation}: requests arrive faster than they can be answered{held_back}");
        }
    }

    /// Something is wrong in the nats-servers that only a person can settle.
    fn unsettled(&self, what: fmt::Arguments<'_>) {
        if let Some(held_back) = self.lines.turn("unsettled", "pack") {
            tracing::warn!("{what}{held_back}");
        }
    }

    /// This server is to blame.
    fn failed(&self, operation: &'static str, what: fmt::Arguments<'_>) {
        if let Some(held_back) = self.lines.turn("failed", operation) {
            tracing::error!("{what}{held_back}");
        }
    }

    /// A change was refused.
    fn refused(&self, operation: &'static str, what: fmt::Arguments<'_>) {
        self.count(operation, "refused");
        if let Some(held_back) = self.lines.turn("refused", operation) {
            tracing::warn!("NATS {operation} is rejected: {what}{held_back}");
        }
    }
}
