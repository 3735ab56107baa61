//! What a mirror that is in sync can do besides serving accounts: packs and histories.

use serde_json::json;

use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Proxy, Reply, Server, now, until};

const PACK: &str = "/jwt/v1/pack";

/// It is asked for packs again and again.
fn mirror(operator: &Operator, primary: &str) -> Launch {
    Launch::replica(operator, primary).env("NAS_REPLICA__MODE", "mirror").env("NAS_HTTP__LIMITS__LISTINGS", "0")
}

async fn push(server: &Server, account: &Account, jwt: &str) {
    server.http.post(&account.path(), jwt.to_owned()).await.expect(200);
}

/// Waits until a mirror gives the same pack as its primary.
async fn gives(replica: &Server, pack: &str) {
    until("the pack is whole", || async {
        let reply = replica.http.get(PACK).await;
        reply.status == 200 && reply.body == pack
    })
    .await;
}

fn is_not_yet(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.body.contains("this mirror has not yet received everything"), "{}", reply.body);
    assert!(!reply.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_mirror_gives_the_pack_of_its_primary_with_and_without_it() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    // It is asked until an account expires.
    let mut primary = Launch::primary(&operator).env("NAS_HTTP__LIMITS__LISTINGS", "0").start().await;
    let accounts: Vec<_> = (0..30).map(|_| Account::new()).collect();
    for account in &accounts {
        push(&primary, account, &operator.account(account, 100)).await;
    }
    let gone = &accounts[0];
    primary.http.delete(&gone.path(), operator.delete_request(&[gone], 0)).await.expect(200);
    let replica = mirror(&operator, &primary.url).dir(folder.path()).start().await;
    let early = primary.http.get(PACK).await.expect(200).body;
    assert_eq!(early.lines().count(), 29);
    gives(&replica, &early).await;
    // By the feed comes a change, an account that expires and a deletion.
    push(&primary, &accounts[1], &operator.account(&accounts[1], 5)).await;
    let (short, mut claims) = (Account::new(), Account::new().claims(now()));
    claims["sub"] = short.key().into();
    claims["exp"] = (now() + 3).into();
    push(&primary, &short, &operator.sign(&claims)).await;
    gives(&replica, &primary.http.get(PACK).await.expect(200).body).await;
    primary.http.delete(&accounts[2].path(), operator.delete_request(&[&accounts[2]], 0)).await.expect(200);
    until("it has expired", || async { !primary.http.get(PACK).await.body.contains(&short.key()) }).await;
    let pack = primary.http.get(PACK).await.expect(200).body;
    assert_eq!(pack.lines().count(), 28);
    gives(&replica, &pack).await;
    let few = replica.http.get(&format!("{PACK}?max=3")).await.expect(200);
    assert_eq!(few.body.lines().collect::<Vec<_>>(), pack.lines().take(3).collect::<Vec<_>>());

    primary.kill();
    let alone = replica.http.get(PACK).await.expect(200);
    assert_eq!(alone.body, pack);
    for name in ["age", "nas-primary-age"] {
        assert!(alone.header(name).parse::<u64>().is_ok(), "{name}: {:?}", alone.header(name));
    }
    let replica = replica.stop_and_start().await;
    assert_eq!(replica.http.get(PACK).await.expect(200).body, pack);
}

#[tokio::test]
async fn what_may_lack_accounts_gives_no_pack_and_no_history() {
    let (operator, account) = (Operator::new(), Account::new());
    let history = format!("{}/history", account.path());
    let nowhere = Proxy::to_nowhere().await;
    let replica = mirror(&operator, &nowhere.url()).start_unready().await;
    is_not_yet(&replica.http.get(PACK).await);
    is_not_yet(&replica.http.get(&history).await);
    is_not_yet(&replica.http.get(&format!("{history}?serial=1")).await);

    // A mirror that must be compared with another history is not in sync until it is.
    let first = Server::primary(&operator).await;
    push(&first, &account, &operator.account(&account, 100)).await;
    nowhere.lead_to(first.host());
    gives(&replica, &first.http.get(PACK).await.expect(200).body).await;
    let other = FakePrimary::new(move |path| {
        if !path.starts_with("/jwt/v1/changes") {
            return Answer::new(500, "");
        }
        let (session, chain) = ("5".repeat(32), "0".repeat(64));
        let page = json!({ "session": session, "serial": 0, "chain": chain, "head": 0, "floor": 0, "changes": [] });
        Answer::stream(format!("event: hello\ndata: {page}\n\n"))
    })
    .await;
    nowhere.lead_to(other.url.trim_start_matches("http://"));
    nowhere.cut();
    nowhere.heal();
    until("it compares", || async { replica.http.get(PACK).await.status != 200 }).await;
    is_not_yet(&replica.http.get(PACK).await);
    replica.http.get(&account.path()).await.expect(200);

    let cache = Server::replica(&operator, &first.url).await;
    for path in [PACK, &history] {
        assert!(cache.http.get(path).await.expect(404).body.contains("ask its primary"), "{path}");
    }
}

#[tokio::test]
async fn a_mirror_tells_the_history_that_its_log_has() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let account = Account::new();
    let jwts: Vec<_> = (0..4).map(|n| operator.sign(&account.with_connections(now() - 100 + n, n))).collect();
    // Two of them come before the mirror: one by the comparison, the other never.
    for jwt in &jwts[..2] {
        push(&primary, &account, jwt).await;
    }
    let replica = mirror(&operator, &primary.url).start().await;
    gives(&replica, &primary.http.get(PACK).await.expect(200).body).await;
    for jwt in &jwts[2..] {
        push(&primary, &account, jwt).await;
    }
    let path = format!("{}/history", account.path());
    until("the last one is there", || async { replica.http.get(&account.path()).await.body == jwts[3] }).await;
    let [there, here] = [&primary, &replica].map(|server| server.http.get(&path));
    let (there, here) = (there.await.expect(200).json(), here.await.expect(200));
    assert!(!here.header("nas-primary-age").is_empty());
    let here = here.json();
    let serials = |history: &serde_json::Value| -> Vec<u64> {
        history["versions"].as_array().unwrap().iter().map(|version| version["serial"].as_u64().unwrap()).collect()
    };
    let (all, kept) = (serials(&there), serials(&here));
    assert_eq!((all.len(), &kept[..]), (4, &all[..3]), "{here}");
    assert_eq!(there["floor"], serde_json::Value::Null);
    assert_eq!(here["floor"], all[2], "its log begins after the comparison");
    for path in ["/jwt/v1/digests", "/jwt/v1/digests?leaves=true"] {
        let page = replica.http.get(path).await.expect(200).json();
        assert_eq!(page["floor"], all[2], "{path}");
    }
    let compared = replica.http.post("/jwt/v1/digests", "{\"have\":[]}").await.expect(200).json();
    assert_eq!(compared["floor"], all[2]);
    assert_eq!(here["versions"][0]["current"], true);
    for (serial, jwt) in kept.iter().zip(jwts.iter().rev()) {
        assert_eq!(replica.http.get(&format!("{path}?serial={serial}")).await.expect(200).body, *jwt);
    }
    let earlier = replica.http.get(&format!("{path}?serial={}", all[3])).await.expect(404).body;
    assert!(earlier.contains(&format!("begins after serial {}", all[2])), "{earlier}");
    let later = replica.http.get(&format!("{path}?serial={}", all[0] + 1)).await.expect(404).body;
    assert!(!later.contains("begins after"), "{later}");
    replica.http.get(&format!("{}/history", Account::new().path())).await.expect(404);
    primary.http.delete(&account.path(), operator.delete_request(&[&account], 0)).await.expect(200);
    until("the deletion arrives", || async { replica.http.get(&path).await.json()["deleted"] == true }).await;
    assert_eq!(replica.http.get(&path).await.json()["versions"][0]["current"], false);
}

#[tokio::test]
async fn a_version_is_found_by_its_own_serial_alone_also_after_another_history() {
    let operator = Operator::new();
    let first = Server::primary(&operator).await;
    let link = Proxy::to(first.host()).await;
    let replica = mirror(&operator, &link.url()).start().await;
    replica.follows().await;
    let account = Account::new();
    let jwts: Vec<_> = (0..8).map(|n| operator.sign(&account.with_connections(now() - 100 + n, n))).collect();
    for jwt in &jwts[..4] {
        push(&first, &account, jwt).await;
        until("it arrives", || async { replica.http.get(&account.path()).await.body == *jwt }).await;
    }
    // The next history is at an earlier serial, so its serials have been those of other changes.
    let second = Server::primary(&operator).await;
    push(&second, &account, &jwts[4]).await;
    link.lead_to(second.host());
    until("the other history is there", || async { replica.http.get(&account.path()).await.body == jwts[4] }).await;
    gives(&replica, &second.http.get(PACK).await.expect(200).body).await;
    push(&second, &account, &jwts[5]).await;
    until("it follows", || async { replica.http.get(&account.path()).await.body == jwts[5] }).await;
    let path = format!("{}/history", account.path());
    let history = replica.http.get(&path).await.expect(200).json();
    let listed: Vec<_> = history["versions"].as_array().unwrap().iter().map(|version| &version["serial"]).collect();
    let newest_first: Vec<_> = jwts[..6].iter().rev().take(listed.len()).collect();
    assert_eq!(listed.len(), 5, "{history}");
    for serial in 0..12_u64 {
        let reply = replica.http.get(&format!("{path}?serial={serial}")).await;
        // Of two histories, the later one counts.
        match listed.iter().position(|listed| **listed == serial) {
            Some(at) => assert_eq!(reply.expect(200).body, *newest_first[at], "{serial} {history}"),
            None => assert_eq!(reply.status, 404, "{serial} {history}"),
        }
    }
}

#[tokio::test]
async fn a_cache_that_becomes_a_mirror_gives_no_pack_before_it_has_every_text() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    for _ in 0..1_000 {
        let account = Account::new();
        push(&primary, &account, &operator.account(&account, 100)).await;
    }
    let pack = primary.http.get(PACK).await.expect(200).body;
    let of = || mirror(&operator, &primary.url).dir(folder.path());
    let mut cache = of().env("NAS_REPLICA__MODE", "cache").env("NAS_REPLICA__CACHE_BYTES", "32KiB").start().await;
    cache.logs("in sync with ").await;
    cache.signal("TERM");
    assert!(cache.exit().await.success());
    let replica = of().start_unready().await;
    until("the pack is given", || async {
        let reply = replica.http.get(PACK).await;
        assert!(reply.status == 503 || reply.body == pack, "{}, {} lines", reply.status, reply.body.lines().count());
        reply.status == 200
    })
    .await;
}
