//! A mirror that participates: it answers LIST and PACK while it is in sync, and never a change.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fleet::{DELETE, Fleet, LIST, NEWEST, PACK, UPDATE, limited};
use crate::support::{Account, Launch, Proxy, Server, until};

/// A replica on NATS with these settings.
async fn replica(fleet: &Fleet, primary: &str, settings: &[(&str, &str)]) -> Server {
    let launch = Launch::replica(&fleet.operator, primary)
        .nats(&format!("nats://{}", fleet.nats.address()), &fleet.creds)
        .env("NAS_LOG__LEVEL", "debug");
    let launch = settings.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
    let replica = launch.start().await;
    replica.follows().await;
    until("the replica is connected", || async { replica.http.metric("nats_connected", "").await == 1.0 }).await;
    replica
}

/// What the readiness report says of the resolver.
async fn line(replica: &Server) -> String {
    let report = replica.http.get("/readyz?verbose").await.body;
    report.lines().find(|line| line.contains("resolver")).unwrap_or_default().to_owned()
}

/// The keys in the answers to LIST.
async fn lists(fleet: &Fleet) -> Vec<Vec<String>> {
    let answers = Fleet::ours(&fleet.ask_all(LIST, "").await);
    let keys = |answer: &Value| {
        let keys = answer["data"].as_array().unwrap_or_else(|| panic!("no list: {answer}")).iter();
        keys.map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    answers.iter().map(keys).collect()
}

/// Waits until PACK is answered, or is not.
async fn packs(fleet: &Fleet, wanted: bool) {
    until(&format!("packs are answered: {wanted}"), || async {
        fleet.ask_all(PACK, "").await.last().is_some_and(|last| last.status.is_none()) == wanted
    })
    .await;
}

#[tokio::test]
async fn a_mirror_that_participates_answers_list_and_pack_while_it_is_in_sync() {
    let fleet = Fleet::with(NEWEST, |launch| launch.env("NAS_NATS__RESOLVER", "silent")).await;
    let mut accounts = Vec::new();
    for _ in 0..20 {
        accounts.push(fleet.open(60).await);
    }
    let link = Proxy::to(fleet.primary.host()).await;
    let mode = ("NAS_REPLICA__MODE", "mirror");
    let mirror = replica(&fleet, &link.url(), &[mode, ("NAS_NATS__RESOLVER", "participant")]).await;
    let other = replica(&fleet, &fleet.primary.url, &[mode]).await;
    let cache = replica(&fleet, &fleet.primary.url, &[("NAS_NATS__RESOLVER", "participant")]).await;
    until("it knows which resolvers are there", || async { line(&mirror).await.contains("no full resolver") }).await;
    assert!(line(&mirror).await.contains("LIST and PACK while this mirror is in sync"), "{}", line(&mirror).await);
    for silent in [&other, &cache] {
        assert!(line(silent).await.contains("LIST, DELETE and PACK are left to the primary"), "{}", line(silent).await);
    }
    packs(&fleet, true).await;

    let pack = fleet.primary.http.get("/jwt/v1/pack").await.expect(200).body;
    let lines: Vec<_> = pack.lines().map(str::to_owned).collect();
    let keys: Vec<_> = lines.iter().map(|line| line.split('|').next().unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 21);
    assert_eq!(lists(&fleet).await, [keys], "one server answers");
    assert_eq!(fleet.pack("").await, lines);
    // Its sum is that of full resolvers.
    let mut sum = [0_u8; 32];
    for line in &lines {
        let digest = Sha256::digest(line.split('|').nth(1).unwrap());
        sum.iter_mut().zip(digest).for_each(|(sum, byte)| *sum ^= byte);
    }
    assert!(fleet.pack(sum.to_vec()).await.is_empty());
    sum[0] ^= 1;
    assert_eq!(fleet.pack(sum.to_vec()).await.len(), 21);

    // Changes are the primary's.
    let account = Account::new();
    let jwt = fleet.operator.sign(&limited(&account, 3));
    assert!(Fleet::ours(&fleet.ask_all(UPDATE, jwt.clone()).await).is_empty());
    until("it comes by the feed", || async { mirror.http.get(&account.path()).await.body == jwt }).await;
    assert_eq!(fleet.held(&account).await, jwt);
    let gone = &accounts[0].0;
    assert!(Fleet::ours(&fleet.ask_all(DELETE, fleet.operator.delete_request(&[gone], 0)).await).is_empty());
    until("the deletion arrives", || async { mirror.http.get(&gone.path()).await.status == 404 }).await;
    let listed = lists(&fleet).await.concat();
    assert!(listed.contains(&account.key()) && !listed.contains(&gone.key()), "{listed:?}");
    for operation in ["update", "delete"] {
        let counted = mirror.http.metric("nats_requests_total", &format!("operation=\"{operation}\"")).await;
        assert_eq!(counted, 0.0, "{operation}");
    }

    // Without its feed it cannot tell, and says nothing.
    link.cut();
    packs(&fleet, false).await;
    assert!(lists(&fleet).await.is_empty());
    mirror.http.get("/jwt/v1/pack").await.expect(200);
    link.heal();
    packs(&fleet, true).await;
    until("it lists again", || async { lists(&fleet).await.len() == 1 }).await;
}
