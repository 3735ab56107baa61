//! A replica that keeps everything, and one that finds out what changed where the feed cannot say it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Proxy, Server, now, until};
use crate::{fetches, known};

/// Without the feed, nothing would be asked about again for longer than a test takes.
fn mirror(operator: &Operator, primary: &str) -> Launch {
    Launch::replica(operator, primary).env("NAS_REPLICA__MODE", "mirror").env("NAS_REPLICA__TTL", "60s")
}

async fn push(server: &Server, account: &Account, jwt: &str) {
    server.http.post(&account.path(), jwt.to_owned()).await.expect(200);
}

/// Waits until a replica has compared what it holds, so many times since its start.
async fn compared(replica: &Server, times: usize) {
    replica.logs_times("in sync with ", times).await;
    replica.follows().await;
}

#[tokio::test]
async fn a_mirror_takes_over_everything_and_serves_it_alone() {
    let operator = Operator::new();
    let mut primary = Server::primary(&operator).await;
    let accounts: Vec<_> = (0..50).map(|_| Account::new()).collect();
    for account in &accounts {
        push(&primary, account, &operator.account(account, 100)).await;
    }
    let (deleted, importer) = (Account::new(), Account::new());
    push(&primary, &deleted, &operator.account(&deleted, 100)).await;
    primary.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 0)).await.expect(200);
    // One request deleted all of these, and some are there again.
    let again: Vec<_> = (0..8).map(|_| Account::new()).collect();
    let request = operator.delete_request(&again.iter().collect::<Vec<_>>(), 100);
    primary.http.delete(&again[0].path(), request).await.expect(200);
    for account in &again[..6] {
        push(&primary, account, &operator.account(account, 50)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let replica = mirror(&operator, &primary.url).dir(folder.path()).start().await;
    compared(&replica, 1).await;
    assert_eq!(replica.http.metric("replica_ahead_accounts", "").await, 0.0, "the primary has the same");
    // What comes later, comes by the feed.
    let late = Account::new();
    push(&primary, &late, &operator.account(&late, 1)).await;
    let activation = accounts[0].activation(&importer, "a.b", 10);
    primary.http.post("/jwt/v1/activations", activation.clone()).await.expect(200);
    let hash = nats_account_server::jwt::activation_hash_id(&accounts[0].key(), &importer.key(), "a.b").unwrap();
    until("all is there", || async {
        replica.http.get("/readyz?verbose").await.body.contains("[+] mirror: 57 JWTs")
            && replica.http.get(&format!("/jwt/v1/activations/{hash}")).await.status == 200
    })
    .await;
    primary.kill();
    for account in accounts.iter().chain([&late]) {
        replica.http.get(&account.path()).await.expect(200);
    }
    assert_eq!(fetches(&replica).await, 0.0, "nothing was asked for one by one");
    let replica = replica.stop_and_start().await;
    for account in accounts.iter().chain([&late]) {
        replica.http.get(&account.path()).await.expect(200);
    }
    assert_eq!(replica.http.get(&format!("/jwt/v1/activations/{hash}")).await.expect(200).body, activation);
    assert_ne!(replica.http.get(&deleted.path()).await.status, 200);
}

#[tokio::test]
async fn a_primary_with_another_history_is_compared_and_nothing_goes_back() {
    let operator = Operator::new();
    for mode in ["mirror", "cache"] {
        let first = Server::primary(&operator).await;
        let proxy = Proxy::to(first.host()).await;
        let folder = tempfile::tempdir().unwrap();
        let replica =
            Launch::replica(&operator, &proxy.url()).env("NAS_REPLICA__MODE", mode).dir(folder.path()).start().await;
        replica.follows().await;
        let held = known(&operator, &first, &replica, 8).await;
        let [same, newer_there, older_there, lost, deleted_there, deleted_here, ..] = &held[..] else { panic!() };
        first.http.delete(&deleted_here.0.path(), operator.delete_request(&[&deleted_here.0], 500)).await.expect(200);
        until("the deletion arrives", || async { replica.http.get(&deleted_here.0.path()).await.status == 404 }).await;

        // The second one was restored from something else.
        let second = Server::primary(&operator).await;
        push(&second, &same.0, &same.1).await;
        let newer = operator.account(&newer_there.0, 5);
        push(&second, &newer_there.0, &newer).await;
        push(&second, &older_there.0, &operator.account(&older_there.0, 5_000)).await;
        push(&second, &deleted_there.0, &deleted_there.1).await;
        second.http.delete(&deleted_there.0.path(), operator.delete_request(&[&deleted_there.0], 1)).await.expect(200);
        push(&second, &deleted_here.0, &deleted_here.1).await;
        for (account, jwt) in &held[6..] {
            push(&second, account, jwt).await;
        }
        let only_there = Account::new();
        push(&second, &only_there, &operator.account(&only_there, 9)).await;
        proxy.lead_to(second.host());
        proxy.cut();
        proxy.heal();
        compared(&replica, 2).await;

        let body = |account: &Account| {
            let (path, http) = (account.path(), replica.http.clone());
            async move { http.get(&path).await }
        };
        assert_eq!(body(&same.0).await.expect(200).body, same.1, "{mode}");
        assert_eq!(body(&newer_there.0).await.expect(200).body, newer, "{mode}");
        assert_eq!(body(&older_there.0).await.expect(200).body, older_there.1, "{mode}");
        assert_eq!(body(&lost.0).await.expect(200).body, lost.1, "{mode}");
        body(&deleted_there.0).await.expect(404);
        body(&deleted_here.0).await.expect(404);
        body(&only_there).await.expect(200);
        // A cache learns of the deletion when it is asked for that account.
        let ahead = 3.0;
        until("what is newer here is counted", || async {
            replica.http.metric("replica_ahead_accounts", "").await == ahead
        })
        .await;
        let ready = replica.http.get("/readyz?verbose").await.expect(200).body;
        assert!(ready.contains("[+] ahead: "), "{ready}");
        // Handed back, it is level again.
        push(&second, &lost.0, &lost.1).await;
        until("it is level", || async { replica.http.metric("replica_ahead_accounts", "").await == ahead - 1.0 }).await;
        let asked = fetches(&replica).await;
        for (account, _) in &held[6..] {
            body(account).await.expect(200);
        }
        assert_eq!(fetches(&replica).await, asked, "what is the same is not asked for: {mode}");
    }
}

/// Waits until a replica says that so many accounts are newer there than at its primary.
async fn is_ahead_for(replica: &Server, accounts: f64) {
    until(&format!("it is ahead for {accounts} accounts"), || async {
        replica.http.metric("replica_ahead_accounts", "").await == accounts
    })
    .await;
}

/// A feed in which nothing happens.
fn empty_feed() -> Answer {
    let (session, chain) = ("5".repeat(32), "0".repeat(64));
    let page = json!({ "session": session, "serial": 0, "chain": chain, "head": 0, "floor": 0, "changes": [] });
    Answer::stream(format!("event: hello\ndata: {page}\n\n"))
}

#[tokio::test]
async fn what_was_pulled_past_the_feed_and_is_lost_at_the_primary_is_found_when_it_is_asked_for() {
    let (operator, account) = (Operator::new(), Account::new());
    let jwt = operator.account(&account, 100);
    let (answer, is_there, has_feed) = (jwt.clone(), Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (there, feed, has_feed_too) = (is_there.clone(), has_feed.clone(), has_feed.clone());
    let primary = FakePrimary::new(move |path| match path {
        path if path.starts_with("/jwt/v1/changes") && feed.load(Ordering::SeqCst) => empty_feed(),
        path if path.starts_with("/jwt/v1/accounts/") && there.load(Ordering::SeqCst) => {
            Answer::new(200, answer.clone())
        }
        // It has no digests, so only an answer about the account can tell.
        path if path.starts_with("/jwt/v1/accounts/") || has_feed_too.load(Ordering::SeqCst) => {
            Answer::new(404, "no\n")
        }
        _ => Answer::new(503, ""),
    })
    .await;
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__TTL", "50ms").start_unready().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
    is_there.store(false, Ordering::SeqCst);
    has_feed.store(true, Ordering::SeqCst);
    let ahead = |accounts| {
        let (replica, path) = (&replica, account.path());
        async move {
            until(&format!("it is ahead for {accounts} accounts"), || async {
                replica.http.get(&path).await.expect(200);
                replica.http.metric("replica_ahead_accounts", "").await == accounts
            })
            .await;
        }
    };
    ahead(1.0).await;
    is_there.store(true, Ordering::SeqCst);
    ahead(0.0).await;
}

#[tokio::test]
async fn what_a_primary_that_went_back_takes_in_is_judged_as_it_comes() {
    let operator = Operator::new();
    for mode in ["mirror", "cache"] {
        let first = Server::primary(&operator).await;
        let proxy = Proxy::to(first.host()).await;
        let replica = Launch::replica(&operator, &proxy.url()).env("NAS_REPLICA__MODE", mode).start().await;
        replica.follows().await;
        let (account, iat) = (Account::new(), now() - 100);
        let [one, other] = [1, 2].map(|connections| operator.sign(&account.with_connections(iat, connections)));
        push(&first, &account, &one).await;
        until("the first one arrives", || async { replica.http.get(&account.path()).await.body == one }).await;
        push(&first, &account, &other).await;
        until("the second one arrives", || async { replica.http.get(&account.path()).await.body == other }).await;

        let empty = Server::primary(&operator).await;
        proxy.lead_to(empty.host());
        compared(&replica, 2).await;
        is_ahead_for(&replica, 1.0).await;
        push(&empty, &account, &other).await;
        is_ahead_for(&replica, 0.0).await;
        // It does not know that this one was replaced; here it does not come back.
        push(&empty, &account, &one).await;
        is_ahead_for(&replica, 1.0).await;
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, other, "{mode}");
        let newer = operator.account(&account, 50);
        push(&empty, &account, &newer).await;
        is_ahead_for(&replica, 0.0).await;
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, newer, "{mode}");
    }
}

#[tokio::test]
async fn a_cache_that_ends_while_it_compares_begins_again() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let first = Server::primary(&operator).await;
    let proxy = Proxy::to(first.host()).await;
    let replica = Launch::replica(&operator, &proxy.url()).dir(folder.path()).start().await;
    replica.follows().await;
    known(&operator, &first, &replica, 3).await;
    // Another history, and no answer to what differs.
    let other = FakePrimary::new(move |path| match path {
        path if path.starts_with("/jwt/v1/changes") => empty_feed(),
        _ => Answer::new(500, ""),
    })
    .await;
    let asked = || other.heads("/jwt/v1/digests").len();
    proxy.lead_to(other.url.trim_start_matches("http://"));
    until("it compares", || async { asked() > 0 }).await;
    let mut replica = replica;
    replica.signal("TERM");
    replica.exit().await;
    let before = asked();
    let _replica = replica.restart().await;
    until("it compares again", || async { asked() > before }).await;
}

#[tokio::test]
async fn an_empty_primary_empties_no_mirror() {
    let operator = Operator::new();
    let first = Server::primary(&operator).await;
    let proxy = Proxy::to(first.host()).await;
    let replica = mirror(&operator, &proxy.url()).start().await;
    replica.follows().await;
    let held = known(&operator, &first, &replica, 30).await;
    let empty = Server::primary(&operator).await;
    proxy.lead_to(empty.host());
    proxy.cut();
    proxy.heal();
    compared(&replica, 2).await;
    for (account, jwt) in &held {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    assert_eq!(replica.http.metric("replica_ahead_accounts", "").await, 30.0);
}

#[tokio::test]
async fn a_mirror_whose_cache_holds_a_few_jwts_serves_all_of_them_alone() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    for dir in [None, Some(folder.path())] {
        let mut primary = Server::primary(&operator).await;
        let launch = mirror(&operator, &primary.url).env("NAS_REPLICA__CACHE_BYTES", "32KiB");
        let launch = dir.into_iter().fold(launch, Launch::dir);
        let mut held = Vec::new();
        for _ in 0..60 {
            let account = Account::new();
            held.push((operator.account(&account, 100), account));
            push(&primary, &held.last().unwrap().1, &held.last().unwrap().0).await;
        }
        let replica = launch.start().await;
        compared(&replica, 1).await;
        until("all is there", || async {
            replica.http.get("/readyz?verbose").await.body.contains("[+] mirror: 60 JWTs")
        })
        .await;
        let late = Account::new();
        held.push((operator.account(&late, 1), late));
        push(&primary, &held[60].1, &held[60].0).await;
        until("the last one is there", || async { replica.http.get(&held[60].1.path()).await.status == 200 }).await;
        primary.kill();
        let all_served = async |replica: &Server| {
            for (jwt, account) in held.iter().chain(&held) {
                assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
            }
            assert_eq!(fetches(replica).await, 0.0, "nothing was asked for one by one");
            let in_memory = replica.http.metric("replica_cache_entries", "").await;
            assert!((1.0..30.0).contains(&in_memory), "{in_memory}");
        };
        all_served(&replica).await;
        if dir.is_some() {
            let replica = replica.stop_and_start().await;
            all_served(&replica).await;
            let mut replica = replica;
            replica.kill();
            all_served(&replica.restart().await).await;
        }
    }
}

#[tokio::test]
async fn the_digests_of_a_mirror_are_those_of_its_primary() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let accounts: Vec<_> = (0..20).map(|_| Account::new()).collect();
    for account in &accounts {
        push(&primary, account, &operator.account(account, 100)).await;
    }
    let (deleted, importer) = (&accounts[0], Account::new());
    primary.http.delete(&deleted.path(), operator.delete_request(&[deleted], 0)).await.expect(200);
    primary.http.post("/jwt/v1/activations", accounts[1].activation(&importer, "a.b", 10)).await.expect(200);
    let replica = mirror(&operator, &primary.url).start().await;
    compared(&replica, 1).await;
    push(&primary, &accounts[2], &operator.account(&accounts[2], 1)).await;
    let sums = |server: &Server| {
        let http = server.http.clone();
        async move { http.get("/jwt/v1/digests").await.expect(200).json()["sum"].clone() }
    };
    let wanted = sums(&primary).await;
    until("the sums are the same", || async { sums(&replica).await == wanted }).await;
    // Everything that stands, from both: the texts are the same.
    let texts = |server: &Server| {
        let http = server.http.clone();
        async move {
            let mut texts = Vec::new();
            for node in 0..256 {
                let body = format!("{{\"have\":[],\"prefix\":\"{node:02x}\"}}");
                let answer = http.post("/jwt/v1/digests", body).await.expect(200).json();
                for item in answer["items"].as_array().unwrap() {
                    texts.push(["kind", "op", "key", "keys", "jwt", "request"].map(|part| item[part].to_string()));
                }
            }
            texts
        }
    };
    let (theirs, ours) = (texts(&primary).await, texts(&replica).await);
    assert_eq!(theirs.len(), 22, "20 accounts, the operator, an activation");
    assert_eq!(ours, theirs);
    let leaves = |server: &Server| {
        let http = server.http.clone();
        async move { http.get("/jwt/v1/digests?leaves=true").await.expect(200).json()["items"].clone() }
    };
    let (theirs, ours) = (leaves(&primary).await, leaves(&replica).await);
    assert_eq!((theirs.as_array().unwrap().len(), &ours), (22, &theirs));
    // One that a follower has in another version, and one that nobody knows.
    let stranger = Account::new();
    let have = format!(
        "{{\"have\":[[\"{}\",\"0000000000000000\"],[\"{}\",\"0000000000000000\"]]}}",
        accounts[3].key(),
        stranger.key()
    );
    let answer = replica.http.post("/jwt/v1/digests", have).await.expect(200).json();
    let mut operations: Vec<_> =
        answer["items"].as_array().unwrap().iter().map(|item| item["op"].to_string()).collect();
    operations.sort();
    assert_eq!(operations, ["\"none\"", "\"put\""]);
}
