//! nats-servers that have JWTs of their own: with memory, cache and full resolvers.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, outcomes};
use crate::support::login::login;
use crate::support::nats_server::OWN_FOLDER;
use crate::support::{Account, until};

/// The promise: so long after it was loaded an older version is replaced.
const PROMISED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_a_nats_server_kept_by_itself_is_repaired_whatever_its_resolver_is() {
    // Packs would repair the full resolver, too.
    let (cluster, link) = Cluster::with_leafnodes_and(|launch| launch.env("NAS_NATS__RESOLVER", "off")).await;
    let account = cluster.open().await;
    let user = account.user();
    let get = async |account: &Account| cluster.primary.http.get(&account.path()).await.expect(200).body;
    let (old, system) = (get(&account).await, get(cluster.operator.system()).await);
    let (jwt, _) = cluster.revoke(&account, &user).await;
    cluster.all_is_announced().await;
    let preload =
        format!("resolver_preload: {{ {}: {system}, {}: {old} }}", cluster.operator.system().key(), account.key());
    let mut leaves = Vec::new();
    for (name, resolver) in [
        ("memory", "MEMORY".into()),
        ("cache", format!("{{ type: cache, dir: \"{OWN_FOLDER}/jwt\", limit: 100, ttl: \"1h\" }}")),
        ("full", format!("{{ type: full, dir: \"{OWN_FOLDER}/jwt\", allow_delete: true }}")),
    ] {
        let nats =
            cluster.leafnode(name, &link, |launch| launch.with(&format!("resolver: {resolver}\n{preload}"))).await;
        let session = login(nats.address(), &user).await.unwrap();
        leaves.push((name, nats, session, Instant::now()));
    }
    for (name, nats, session, since) in &leaves {
        cluster.ends_before_complete(session, name, &account, &jwt).await;
        session.ends_in(PROMISED, *since).await;
        assert!(login(nats.address(), &user).await.is_err(), "{name} lets the revoked user in again");
    }
    let all = ["cache updated", "full updated", "memory updated", "n1 not_loaded"];
    assert_eq!(outcomes(&cluster.complete(&account).await), all);

    // What is not loaded anywhere: a full resolver stores it.
    let other = cluster.open().await;
    let all = ["cache not_loaded", "full updated", "memory not_loaded", "n1 not_loaded"];
    until("all have it, or will fetch it", || async { outcomes(&cluster.complete(&other).await) == all }).await;
}
