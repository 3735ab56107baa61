//! Repairs what full resolvers store.
//!
//! A full resolver stores whatever an UPDATE brings. Its packs repair neither that, nor an account that was deleted while it
//! was away. If a pack shows a difference, this server sends the current JWT, or the request that deleted the account. Both
//! reach every nats-server, not only the one whose pack it was. So all are asked first, and nothing is sent that would
//! harm another one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use super::super::delete;
use super::Resolver;
use super::peers::Peers;
use super::stored::{self, StoredElsewhere};
use crate::gate::Tombstone;
use crate::key::AccountKey;

/// How long the nats-servers have to say what they store.
const WINDOW: Duration = Duration::from_millis(800);
/// The same before accounts are deleted there: as long as nats-servers wait for each other.
const LONG_WINDOW: Duration = Duration::from_millis(1900);
/// What is not repaired in this time is seen again in the next pack.
const LONGEST: Duration = Duration::from_secs(300);
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

/// Accounts that a nats-server has wrong.
pub(super) type Sightings = HashMap<AccountKey, Reason>;

/// Deals with everything that a pack showed. Accounts are deleted elsewhere only if the pack was whole: what it would
/// still have brought may be newer than the deletion.
pub(super) async fn all(resolver: &Arc<Resolver>, sightings: Sightings, is_whole: bool) {
    let (deleted, wrong): (Vec<_>, Vec<_>) = sightings.into_iter().partition(|(_, reason)| *reason == Reason::Deleted);
    let peers = Peers::new(resolver.connected.clone());
    let dealing = async {
        let wrong = stream::iter(wrong);
        wrong.for_each_concurrent(AT_ONCE, |(key, reason)| send_current(resolver, &peers, key, reason)).await;
        if is_whole {
            for (request, seen) in requests(resolver, &deleted).await {
                send_request(resolver, &peers, &request, &seen).await;
            }
        }
    };
    if timeout(LONGEST, dealing).await.is_err() {
        tracing::info!("repair ran out of time; it continues after the next pack");
    }
}

/// Sends the current JWT of an account, unless a nats-server has none: it may have been told to delete it.
async fn send_current(resolver: &Arc<Resolver>, peers: &Peers, key: AccountKey, reason: Reason) {
    match stored::settle(&resolver.node, peers, &key, WINDOW).await {
        StoredElsewhere::Sent => {
            resolver.node.metrics().nats.healed.inc([reason.label()]);
            tracing::info!(
                account = %key,
                reason = reason.label(),
                "a nats-server has another JWT of {} than the current one ({}): announcing it again",
                resolver.node.called(&key),
                reason.label()
            );
        }
        StoredElsewhere::Unsettled => resolver.unsettled(format_args!(
            "a nats-server has another JWT of {} than the current one, and another nats-server has none. It is not \
             repaired, because the account may have been deleted there; push the account, or delete it",
            resolver.node.called(&key)
        )),
        StoredElsewhere::Equal | StoredElsewhere::Unknown => {}
    }
}

/// The requests that deleted the accounts, each once, with those that it deleted.
async fn requests(
    resolver: &Resolver,
    deleted: &[(AccountKey, Reason)],
) -> impl Iterator<Item = (Arc<Tombstone>, Vec<AccountKey>)> + use<> {
    let mut found = HashMap::new();
    for (key, _) in deleted {
        match resolver.node.tombstone(key).await {
            // The nats-servers trust the key no more than we do.
            Ok(Some(request)) if !resolver.node.vouches(request.issuer()) => {}
            Ok(Some(request)) => {
                found.entry(*request.identity()).or_insert_with(|| (request, Vec::new())).1.push(*key);
            }
            // It lives again since.
            Ok(None) => {}
            Err(error) => tracing::error!("cannot read the request that deleted {key}: {error}"),
        }
    }
    found.into_values()
}

/// Sends a delete request again if all its accounts are deleted here. `seen`: those of its accounts that the pack has.
async fn send_request(resolver: &Arc<Resolver>, peers: &Peers, request: &Arc<Tombstone>, seen: &[AccountKey]) {
    let may_be_sent = || async {
        match resolver.node.are_all_deleted(request).await {
            Ok(true) => true,
            Ok(false) => {
                resolver.unsettled(format_args!(
                    "a nats-server has accounts that are deleted here ({}). Their delete request also names accounts \
                     that exist again, so it is not sent; delete these accounts again",
                    listed(seen)
                ));
                false
            }
            Err(error) => {
                tracing::error!("cannot read which accounts are deleted: {error}");
                false
            }
        }
    };
    if !may_be_sent().await {
        return;
    }
    let is_held = |key: AccountKey| async move {
        let heard = peers.look_up(&key, LONG_WINDOW).await?;
        let held: Vec<_> = heard.tokens().collect();
        let is_held = !held.is_empty() && seen.contains(&key);
        // A full resolver deletes whatever the request names, however new it is.
        stored::take(&resolver.node, &key, held).await;
        Some(is_held)
    };
    // All of them are asked for.
    let held: Vec<_> = stream::iter(request.keys().to_vec()).map(is_held).buffer_unordered(AT_ONCE).collect().await;
    if held.contains(&None) || !held.contains(&Some(true)) {
        // It is deleted by now, or it cannot be told who would hear of it.
        return;
    }
    // What was heard may have brought one of them back.
    if may_be_sent().await && delete::send(resolver.client(), request).await {
        resolver.node.metrics().nats.healed.inc([Reason::Deleted.label()]);
        tracing::info!("a nats-server has accounts that are deleted: sent the request again ({})", listed(seen));
    }
}

/// The first of some accounts.
fn listed(keys: &[AccountKey]) -> String {
    let shown: Vec<_> = keys.iter().take(3).map(ToString::to_string).collect();
    let more = if keys.len() > shown.len() { format!(" and {} more", keys.len() - shown.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
