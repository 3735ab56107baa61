//! UPDATE: a new JWT of an account, on any of three subjects.
//!
//! Signatures are checked on all cores, and the JWTs are committed in the order in which they came. The queue is bounded by
//! bytes: it has room for a storm of tens of thousands of updates. Beyond that, updates are rejected with an answer.

use std::sync::Arc;

use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::super::queue::{Queue, bounded};
use super::super::subjects;
use super::Resolver;
use crate::gate::{Entry, Refusal, Via};
use crate::jwt;
use crate::jwt::Called;
use crate::key::AccountKey;
use crate::node::{StoreError, WriteError};

/// What may wait, in bytes.
const WAITING: usize = 128 << 20;
/// Characters of an error that are sent: more may not fit into a message.
const LONGEST: usize = 16_384;
/// What nats-server says for a JWT of which it cannot tell the account.
const NO_ACCOUNT: &str = "n/a";

/// A JWT that came in, and what it needs to be answered.
struct Update {
    token: Bytes,
    reply: Option<Subject>,
    /// The account that the subject names.
    named: Option<AccountKey>,
    _room: OwnedSemaphorePermit,
}

/// Begins to listen.
pub(super) async fn start(resolver: &Arc<Resolver>) {
    let (queue, taken) = bounded(WAITING);
    let queue = Arc::new(queue);
    for subject in [subjects::UPDATE, subjects::ACCOUNT_UPDATE, subjects::OLD_UPDATE] {
        if let Some(mut messages) = resolver.hear(subject).await {
            let (resolver, queue) = (resolver.clone(), queue.clone());
            tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    take(&resolver, &queue, message).await;
                }
            });
        }
    }
    let resolver = resolver.clone();
    tokio::spawn(async move {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let incoming = stream::unfold(taken, |mut taken| async { Some((taken.next().await?, taken)) });
        let mut admitted = std::pin::pin!(
            incoming
                .filter_map(|(message, room)| std::future::ready(read(&resolver, message, room)))
                .map(|update| admit(&resolver, update))
                // In order: what is signed in the same second counts in the order in which it came.
                .buffered(cores * 4)
        );
        while let Some((update, admitted)) = admitted.next().await {
            commit(&resolver, update, admitted).await;
        }
    });
}

async fn take(resolver: &Arc<Resolver>, queue: &Queue, message: Message) {
    let Err(message) = queue.offer(message) else { return };
    resolver.count("update", "dropped");
    resolver.overrun("update");
    // Not waiting for anything: this is who has to keep the subscription empty.
    if let Some(reply) = Resolver::reply_subject(message.reply)
        && resolver.policy.stance().replies
    {
        let why = "jwt update resulted in error - too many updates wait; send it again";
        resolver.send(reply, resolver.envelope.failure(Some(NO_ACCOUNT), why)).await;
    }
}

/// What a message asks for; `None` if it asks for nothing.
fn read(resolver: &Arc<Resolver>, message: Message, room: OwnedSemaphorePermit) -> Option<Update> {
    match subjects::updated(&message.subject) {
        Ok(named) => Some(Update { token: message.payload, reply: message.reply, named, _room: room }),
        Err(subjects::NoKey) => {
            resolver.junk("update", format_args!("{:?} names no account", &*message.subject));
            let resolver = resolver.clone();
            tokio::spawn(async move {
                let text = "jwt update resulted in error - subject does not match jwt content";
                resolver.answer(message.reply, |envelope| envelope.failure(Some(NO_ACCOUNT), text)).await;
            });
            None
        }
    }
}

/// Checks the JWT on a thread that may be busy.
async fn admit(resolver: &Arc<Resolver>, update: Update) -> (Update, Result<Arc<Entry>, WriteError>) {
    let (node, token, named) = (resolver.node.clone(), update.token.clone(), update.named);
    let admitted = tokio::task::spawn_blocking(move || node.admit(&token, named.as_ref(), &Via::Update.into())).await;
    let closed = |_| WriteError::Failed(Arc::new(StoreError::Closed));
    (update, admitted.map_err(closed).flatten())
}

/// Gives the JWT its place in the order of changes, and answers when it is durable.
async fn commit(resolver: &Arc<Resolver>, update: Update, admitted: Result<Arc<Entry>, WriteError>) {
    let submitting = match admitted {
        Ok(entry) => resolver.node.enqueue(entry, Via::Update).await,
        Err(error) => Err(error),
    };
    let resolver = resolver.clone();
    tokio::spawn(async move {
        let outcome = match submitting {
            Ok(submitting) => submitting.outcome(&resolver.node).await,
            Err(error) => Err(error),
        };
        let Update { token, reply, named, _room: room } = update;
        // It is in the journal or nowhere.
        drop(room);
        match outcome {
            Ok(submitted) => {
                resolver.count("update", if submitted.changed { "updated" } else { "unchanged" });
                let key = submitted.entry.key().text();
                resolver.answer(reply, |envelope| envelope.success(Some(&key), "jwt updated")).await;
            }
            Err(error) => {
                let account = concerned(named, &token);
                let shown = account.as_ref().map_or_else(|| NO_ACCOUNT.to_owned(), Called::to_string);
                resolver.refused("update", format_args!("account {shown}: {error}"));
                let account = account.map_or_else(|| NO_ACCOUNT.to_owned(), |account| account.key().text());
                resolver.answer(reply, |envelope| envelope.failure(Some(&account), &worded(&error))).await;
            }
        }
    });
}

/// The account that a rejected update is about: the one in its subject, or else the one in the JWT, if that can be read.
fn concerned(named: Option<AccountKey>, token: &[u8]) -> Option<Called> {
    let claimed = jwt::called(token);
    match named {
        // The JWT of another account does not say how this one is called.
        Some(key) => Some(claimed.filter(|claimed| *claimed.key() == key).unwrap_or_else(|| key.into())),
        None => claimed,
    }
}

/// Why not, in nats-server's words where it has some.
fn worded(error: &WriteError) -> String {
    let refusal = match error {
        WriteError::Refused(refusal) => refusal,
        other => return format!("jwt update resulted in error - {}", other.for_clients()),
    };
    match refusal {
        Refusal::Invalid(issues) => {
            let texts: Vec<_> = issues.iter().map(|issue| issue.text.as_str()).collect();
            let texts: String = texts.join(" ").chars().take(LONGEST).collect();
            format!("jwt validation failed - validation errors: [{texts}]")
        }
        Refusal::WrongAccount { .. } => "jwt update resulted in error - subject does not match jwt content".into(),
        Refusal::IdentityKeyUsed(_) => {
            "jwt update resulted in error - operator requires issuer to be a signing key".into()
        }
        Refusal::Decode(error) => format!("jwt update resulted in error - {error}"),
        other => format!("jwt update resulted in error - {other}"),
    }
}
