//! What nats-servers have loaded, for a cache that fills itself.
//!
//! A nats-server that restarts asks for what its clients use, and it may restart while the primary is away. A cache that was
//! replaced by an empty one, or that has no room for all accounts, does not know which ones that will be. So it asks the
//! nats-servers of the cluster that it is connected to, and fetches those accounts as if a client had asked for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tokio::time::timeout;

use super::identity::Identity;
use super::link::Connected;
use super::reconcile::AccountList;
use crate::backoff::Backoff;
use crate::key::AccountKey;
use crate::node::{LookupError, Node, Server};

/// Each nats-server answers it.
const SUBJECT: &str = "$SYS.REQ.SERVER.PING.ACCOUNTZ";
/// How often it is looked whether there is another connection.
const PERIOD: Duration = Duration::from_secs(1);
/// The nats-servers have answered when nothing was heard for so long.
const QUIET: Duration = Duration::from_secs(2);
/// How long answers are read at most.
const LISTENS: Duration = Duration::from_secs(20);
/// Accounts that answers may name, all together: no more of them are read, and none beyond is fetched.
const ACCOUNTS: usize = 100_000;
/// Of those at the same time.
const AT_ONCE: usize = 8;
/// Attempts to fetch one.
const ATTEMPTS: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Answer {
    server: Identity,
    #[serde(default = "Option::default")]
    data: Option<AccountList>,
}

/// Fetches what nats-servers have loaded, once on each connection. Returns at once if this is no cache that fills itself.
pub(super) async fn fetch(connected: Arc<Connected>, node: Arc<Node>) {
    let Some(room) = node.upstream().and_then(|upstream| upstream.room_for_unasked()) else { return };
    let mut asked_on = None;
    loop {
        let connection = connected.generation();
        if connected.is_connected() && asked_on != Some(connection) {
            asked_on = Some(connection);
            let keys = ask(&connected).await;
            if !keys.is_empty() {
                let all = keys.len();
                let count = fetch_all(&node, keys, room).await;
                tracing::info!("the cache has {count} of the {all} accounts that nats-servers here have loaded");
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The accounts that nats-servers of our cluster have loaded.
async fn ask(connected: &Connected) -> BTreeSet<AccountKey> {
    let client = connected.client();
    let inbox = client.new_inbox();
    // They fail when the client is closed, which it never is.
    let Ok(mut answers) = client.subscribe(inbox.clone()).await else { return BTreeSet::new() };
    if client.publish_with_reply(SUBJECT, inbox, Bytes::new()).await.is_err() {
        return BTreeSet::new();
    }
    let (mut heard, mut room, began) = (Vec::new(), ACCOUNTS, Instant::now());
    while room > 0
        && began.elapsed() < LISTENS
        && let Ok(Some(message)) = timeout(QUIET, answers.next()).await
    {
        if let Ok(Answer { server, data: Some(list) }) = serde_json::from_slice(&message.payload) {
            let named = list.accounts.iter().filter_map(|key| AccountKey::parse(key).ok());
            let keys: Vec<_> = named.take(room).collect();
            // Each answer counts, also one without an account.
            room = room.saturating_sub(keys.len() + 1);
            heard.push((Server::from(server), keys));
        }
    }
    of_cluster(&heard, &client.server_info().server_id)
}

/// The accounts of the nats-servers in the cluster of the one with this id: those elsewhere have account servers of their own. Of
/// all, if that one has not answered.
fn of_cluster(heard: &[(Server, Vec<AccountKey>)], id: &str) -> BTreeSet<AccountKey> {
    let ours = heard.iter().find(|(server, _)| server.id == id).map(|(server, _)| &*server.cluster);
    let is_here =
        |server: &Server| server.id == id || ours.is_none_or(|ours| !ours.is_empty() && server.cluster == ours);
    heard.iter().filter(|(server, _)| is_here(server)).flat_map(|(_, keys)| keys).copied().collect()
}

/// Fetches accounts that are not here, up to so many bytes. Returns how many are here.
async fn fetch_all(node: &Node, keys: BTreeSet<AccountKey>, mut room: u64) -> usize {
    let (mut fetched, mut count) = (stream::iter(keys).map(|key| length(node, key)).buffered(AT_ONCE), 0);
    while room > 0
        && let Some(length) = fetched.next().await
    {
        room = room.saturating_sub(length);
        count += usize::from(length > 0);
    }
    count
}

/// Has an account fetched unless it is here. Returns the length of its JWT in bytes; 0: there is none.
async fn length(node: &Node, key: AccountKey) -> u64 {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    for _ in 0..ATTEMPTS {
        match node.get(&key).await {
            Ok(answer) => return answer.map_or(0, |answer| answer.entry().token().len() as u64),
            Err(LookupError::Withheld(_)) => return 0,
            // It passes, or the client that asks next sees it as well.
            Err(error) => tracing::debug!("cannot fetch {} yet: {error}", node.called(&key)),
        }
        backoff.wait().await;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(id: &str, cluster: &str, account: u8) -> (Server, Vec<AccountKey>) {
        let server = Server { id: id.into(), cluster: cluster.into(), ..Server::unnamed() };
        (server, vec![AccountKey::from_raw([account; 32])])
    }

    #[test]
    fn those_of_our_cluster_count() {
        let found = |heard: &[(Server, Vec<AccountKey>)]| -> Vec<u8> {
            of_cluster(heard, "us").iter().map(|key| key.raw()[0]).collect()
        };
        let all = [heard("a", "east", 1), heard("us", "west", 2), heard("b", "west", 3), heard("c", "", 4)];
        assert_eq!(found(&all), [2, 3]);
        assert_eq!(found(&all[..1]), [1], "ours has not answered");
        assert_eq!(found(&[heard("us", "", 1), heard("b", "", 2)]), [1], "a server without a cluster, and a leafnode");
        assert_eq!(found(&[]), [0; 0]);
    }
}
