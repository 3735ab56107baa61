//! Putting right what full resolvers have wrong.
//!
//! A full resolver stores whatever an UPDATE brings, and its packs heal neither that nor an account that was deleted while
//! it was away. What a pack shows to be wrong is sent: the current JWT, or the request that deleted the account. Both reach
//! every nats-server, not only the one whose pack it was, so each is asked first, and nothing is sent that would harm
//! another one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::super::forget;
use super::Resolver;
use super::peers::Peers;
use crate::gate::Tombstone;
use crate::key::AccountKey;
use crate::primary::Verdict;

/// How long the nats-servers have to say what they hold.
const WINDOW: Duration = Duration::from_millis(400);
/// Accounts that are asked about at the same time: with the window, this bounds how many are sent in a second.
const AT_ONCE: usize = 8;

/// What was wrong with an account of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is older than what is held here.
    Older,
    /// The operator did not sign it.
    Foreign,
    /// It is another one of the same second.
    Tie,
    /// It is written in another way, and so makes another hash.
    Spelling,
    /// It is deleted here.
    Deleted,
}

impl Reason {
    const fn label(self) -> &'static str {
        match self {
            Self::Older => "older",
            Self::Foreign => "foreign",
            Self::Tie => "tie",
            Self::Spelling => "spelling",
            Self::Deleted => "deleted",
        }
    }
}

/// An account that a nats-server has wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) key: AccountKey,
    pub(super) reason: Reason,
}

/// Deals with everything that a pack showed. Accounts are deleted elsewhere only if the pack was whole: what it would
/// still have brought may be newer than the deletion.
pub(super) async fn all(resolver: &Arc<Resolver>, sightings: Vec<Sighting>, is_whole: bool) {
    let (deleted, wrong): (Vec<_>, Vec<_>) =
        sightings.into_iter().partition(|sighting| sighting.reason == Reason::Deleted);
    let peers = Peers::new(resolver.connected.clone());
    stream::iter(wrong).for_each_concurrent(AT_ONCE, |sighting| send_current(resolver, &peers, sighting)).await;
    if !is_whole {
        return;
    }
    for request in requests(resolver, &deleted).await {
        send_request(resolver, &peers, &request).await;
    }
}

/// Sends the current JWT of an account, unless a nats-server has none: it may have been told to delete it.
async fn send_current(resolver: &Arc<Resolver>, peers: &Peers, Sighting { key, reason }: Sighting) {
    let Some(own) = resolver.node.lookup(&key).await else { return };
    let Some(heard) = peers.look_up(&key, WINDOW).await else { return };
    if !heard.iter().any(|token| !token.is_empty() && *token != own) {
        // It is right by now, or it cannot be told who would hear of it.
        return;
    }
    if heard.iter().any(Bytes::is_empty) {
        tracing::warn!(
            account = %key,
            reason = reason.label(),
            "a nats-server has another JWT of {key} than is current, and another nats-server has none: it is not sent to \
             them, because it may have been deleted there; push the account, or delete it, to settle that"
        );
        return;
    }
    if take(resolver, &key, heard.iter().filter(|token| **token != own)).await {
        return;
    }
    let announcer = resolver.node.announcer();
    if announcer.is_some_and(|announcer| announcer.announce(&key)) {
        resolver.node.metrics().healed.with_label_values(&[reason.label()]).inc();
        tracing::info!(
            account = %key,
            reason = reason.label(),
            "a nats-server has another JWT of {key} than is current ({}): announcing it again",
            reason.label()
        );
    }
}

/// Takes in what nats-servers said they hold. Returns whether some of it was news.
async fn take<'a>(resolver: &Arc<Resolver>, key: &AccountKey, heard: impl Iterator<Item = &'a Bytes>) -> bool {
    let offers: Vec<_> = heard.filter(|token| !token.is_empty()).map(|token| (*key, token.clone())).collect();
    if offers.is_empty() {
        return false;
    }
    let verdicts = resolver.node.merge(offers).await.unwrap_or_default();
    verdicts.iter().any(|verdict| matches!(verdict, Verdict::Taken))
}

/// The requests that deleted the accounts, each once.
async fn requests(resolver: &Resolver, deleted: &[Sighting]) -> Vec<Arc<Tombstone>> {
    let mut found = HashMap::new();
    for Sighting { key, .. } in deleted {
        match resolver.node.tombstone(key).await {
            // The nats-servers trust the key no more than we do.
            Ok(Some(request)) if !resolver.node.vouches(request.issuer()) => {}
            Ok(Some(request)) => drop(found.insert(*request.identity(), request)),
            // It lives again since.
            Ok(None) => {}
            Err(error) => tracing::error!("cannot read the request that deleted {key}: {error}"),
        }
    }
    found.into_values().collect()
}

/// Sends a delete request again, if that deletes nothing but what is deleted.
async fn send_request(resolver: &Arc<Resolver>, peers: &Peers, request: &Arc<Tombstone>) {
    // A full resolver deletes whatever the request names, however new it is.
    let held = stream::iter(request.keys().to_vec())
        .map(|key| async move {
            let heard = peers.look_up(&key, WINDOW).await.unwrap_or_default();
            take(resolver, &key, heard.iter()).await;
            heard.iter().any(|token| !token.is_empty())
        })
        .buffer_unordered(AT_ONCE)
        .any(std::future::ready);
    if !held.await {
        // It is deleted by now, or it cannot be told who would hear of it.
        return;
    }
    match resolver.node.are_all_deleted(request).await {
        Ok(true) => {}
        Ok(false) => {
            return tracing::warn!(
                "a nats-server has accounts that are deleted here, but the request that deleted them ({}) names others \
                 that live again: it is not sent again; delete the former anew",
                listed(request)
            );
        }
        Err(error) => return tracing::error!("cannot tell which accounts are deleted: {error}"),
    }
    if forget::send(resolver.client(), request).await {
        resolver.node.metrics().healed.with_label_values(&[Reason::Deleted.label()]).inc();
        tracing::info!("a nats-server has accounts that are deleted: sent the request again ({})", listed(request));
    }
}

/// The first accounts that a request names.
fn listed(request: &Tombstone) -> String {
    let keys = request.keys();
    let shown: Vec<_> = keys.iter().take(3).map(ToString::to_string).collect();
    let more = if keys.len() > shown.len() { format!(" and {} more", keys.len() - shown.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
