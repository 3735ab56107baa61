//! nats-servers that start without the JWT of their system account get it from us, and nobody is cut off.

use std::sync::atomic::Ordering;

use async_nats::ConnectOptions;
use futures_util::future::join_all;
use nkeys::KeyPair;

use super::fleet::{NEWEST, tool};
use super::pair::{OLDEST, or_newest};
use crate::support::{Launch, NatsLaunch, Operator, Proxy, now, until, within};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolver {
    Full,
    Cache,
    Url,
}

#[tokio::test]
async fn a_makeshift_system_account_becomes_the_real_one() {
    use Resolver::{Cache, Full, Url};
    let full = [OLDEST, "2.10.26", "2.11.11", "2.12.8", "2.14.6", NEWEST].map(|version| (version, Full));
    let others = [(OLDEST, Cache), ("2.12.8", Cache), (NEWEST, Cache), ("2.10.26", Url), (NEWEST, Url)];
    for some in [&full[..3], &full[3..], &others] {
        join_all(some.iter().map(|(version, resolver)| ends(or_newest(version), *resolver))).await;
    }
}

async fn ends(version: &'static str, resolver: Resolver) {
    let (operator, signing) = (Operator::new(), KeyPair::new_account());
    let system = operator.system();
    let system_jwt = operator.sign(&system.with_signing_key(now() - 1000, &signing));
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (creds, wire) = (folder.path().join("user.creds"), Proxy::to_nowhere().await);
    // Before, only users that the identity key signed can connect.
    std::fs::write(&creds, system.user().creds()).unwrap();
    if resolver != Resolver::Url {
        std::fs::write(folder.path().join(format!("{}.jwt", system.key())), &system_jwt).unwrap();
    }
    let launch = Launch::primary(&operator).dir(folder.path()).nats(wire.address(), &creds);
    let primary = launch.start().await;
    let (nats, dir) = (NatsLaunch::new(version, &operator), store.path());
    let nats = match resolver {
        Resolver::Full => nats.with(&format!("resolver: {{ type: full, dir: {dir:?}, interval: \"1h\" }}")),
        Resolver::Cache => nats.with(&format!("resolver: {{ type: cache, dir: {dir:?}, limit: 100, ttl: \"1h\" }}")),
        Resolver::Url => nats.asks(&primary.url),
    };
    let nats = nats.start().await;
    until("the nats-server begins with a makeshift account", || async {
        nats.log().contains("Using bootstrapping system account")
    })
    .await;
    let watcher = tool(&creds, nats.address()).await;
    let by_signing_key = system.user_of(&signing).creds();
    let connect = || async {
        let options = ConnectOptions::with_credentials(&by_signing_key).unwrap();
        options.connect(format!("nats://{}", nats.address())).await
    };
    assert!(connect().await.is_err(), "{version} {resolver:?}: it is not makeshift");

    wire.lead_to(nats.address());
    until("we are connected", || async { primary.http.metric("nats_connected", "").await == 1.0 }).await;
    if resolver == Resolver::Url {
        primary.http.post(&system.path(), system_jwt).await.expect(200);
    } else {
        until(&format!("{version} {resolver:?} asks us"), || async {
            primary.http.metric("nats_requests_total", "operation=\"lookup\",outcome=\"found\"").await >= 1.0
        })
        .await;
    }
    until(&format!("{version} {resolver:?} has the real account"), || async { connect().await.is_ok() }).await;
    until(&format!("{version} {resolver:?} says so"), || async {
        nats.log().contains("System account fetched and updated")
    })
    .await;
    // Nobody had to connect again.
    within("a flush", watcher.flush()).await.unwrap();
    assert_eq!(watcher.statistics().connects.load(Ordering::Relaxed), 1, "{version} {resolver:?}");
    assert!(!primary.log().contains("disconnected"), "{version} {resolver:?}");
}
