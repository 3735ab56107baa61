//! A cache fills itself before clients ask.

use std::time::Duration;

use crate::fetches;
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Proxy, Server, until};

async fn push(operator: &Operator, primary: &Server, count: usize) -> Vec<(Account, String)> {
    let mut pushed = Vec::new();
    for _ in 0..count {
        let account = Account::new();
        let jwt = operator.account(&account, 500);
        primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        pushed.push((account, jwt));
    }
    pushed
}

/// How many of these a replica serves, and none of them in another version.
async fn served<'a>(replica: &Server, accounts: impl IntoIterator<Item = &'a (Account, String)>) -> usize {
    let mut count = 0;
    for (account, jwt) in accounts {
        let reply = replica.http.get(&account.path()).await;
        if reply.status != 503 {
            assert_eq!(reply.expect(200).body, *jwt);
            count += 1;
        }
    }
    count
}

/// Waits until a cache of so many KiB stores no more than it may.
async fn is_within(replica: &Server, kib: u32) {
    let most = f64::from(kib) * 1024.0 * 9.0 / 8.0;
    let stored = || async { replica.http.metric("replica_cache_stored_bytes", "").await };
    until("it is within its bound", || async { stored().await <= most }).await;
}

#[tokio::test]
async fn all_is_served_if_the_primary_dies_a_second_after_the_start() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let accounts = push(&operator, &primary, 10).await;
    let replica = Launch::replica(&operator, &primary.url).dir(dir.path()).start().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    primary.kill();
    assert_eq!(served(&replica, &accounts).await, 10);
    assert_eq!(fetches(&replica).await, 0.0, "nothing was asked for one by one");
    let replica = replica.restart().await;
    assert_eq!(served(&replica, &accounts).await, 10);
}

#[tokio::test]
async fn what_is_pushed_or_deleted_later_is_known_as_well() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let mut accounts = push(&operator, &primary, 3).await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = Launch::replica(&operator, &proxy.url()).dir(dir.path()).start().await;
    replica.logs("in sync with ").await;
    accounts.extend(push(&operator, &primary, 30).await);
    let (gone, old) = accounts.remove(1);
    primary.http.delete(&gone.path(), operator.delete_request(&[&gone], 0)).await.expect(200);
    let serial = primary.http.metric("serial", "").await;
    until("the changes have come", || async { replica.http.metric("serial", "").await == serial }).await;
    primary.kill();
    assert_eq!(served(&replica, &accounts).await, 32);
    // A newer JWT may be there.
    replica.http.get(&gone.path()).await.expect(503);
    let behind = FakePrimary::without_feed(move |_| Answer::new(200, old.clone())).await;
    proxy.lead_to(behind.url.trim_start_matches("http://"));
    until("the deletion covers the old one", || async {
        let status = replica.http.get(&gone.path()).await.status;
        assert_ne!(status, 200, "what was deleted does not come back");
        status == 404
    })
    .await;
}

#[tokio::test]
async fn the_bound_holds_and_what_clients_asked_for_stays() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let accounts = push(&operator, &primary, 200).await;
    // Room for about 55 in memory, and 7 more in the log.
    let launch = Launch::replica(&operator, &primary.url).dir(dir.path()).env("NAS_REPLICA__CACHE_BYTES", "100KiB");
    let mut replica = launch.start().await;
    replica.logs("the cache has no room for more JWTs").await;
    // Which ones were fetched the replica does not say. So some of these were, and some were not.
    let asked = || accounts.iter().step_by(6);
    assert_eq!(served(&replica, asked()).await, 34);
    is_within(&replica, 100).await;
    primary.kill();
    assert_eq!(served(&replica, asked()).await, 34);
    replica = replica.restart().await;
    assert_eq!(served(&replica, asked()).await, 34, "also after a restart");
    let in_memory = replica.http.metric("replica_cache_entries", "").await;
    assert_eq!(in_memory, 34.0, "the others do not count as asked for");
    let all = served(&replica, &accounts).await;
    assert!((40..75).contains(&all), "{all} are here");
}

#[tokio::test]
async fn a_cache_that_is_not_to_fill_itself_has_what_was_asked_for() {
    let operator = Operator::new();
    let mut primary = Server::primary(&operator).await;
    let accounts = push(&operator, &primary, 5).await;
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__WARM", "false").start().await;
    replica.logs("in sync with ").await;
    assert_eq!(served(&replica, &accounts[..2]).await, 2);
    assert_eq!(fetches(&replica).await, 2.0);
    primary.kill();
    assert_eq!(served(&replica, &accounts).await, 2);
}

#[tokio::test]
async fn without_permission_to_list_it_says_so_and_works_as_before() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let accounts = push(&operator, &primary, 3).await;
    let answers: Vec<_> = accounts.iter().map(|(account, jwt)| (account.path(), jwt.clone())).collect();
    // It answers as an account server with access control in front does.
    let hello = primary.http.get("/jwt/v1/changes?since=0").await.expect(200).json();
    let page = format!(
        "event: hello\ndata: {{\"session\":{},\"serial\":{},\"chain\":{},\"head\":{},\"floor\":0,\"changes\":[]}}\n\n",
        hello["session"], hello["serial"], hello["chain"], hello["head"]
    );
    let guarded = FakePrimary::new(move |path| match path {
        path if path.starts_with("/jwt/v1/changes") => {
            Answer::stream(page.clone()).then_again(page.replace("hello", "heartbeat"), Duration::from_millis(500))
        }
        path if path.starts_with("/jwt/v1/digests") => Answer::new(403, "no\n"),
        path => match answers.iter().find(|(known, _)| path == known) {
            Some((_, jwt)) => Answer::new(200, jwt.clone()),
            None => Answer::new(404, "no\n"),
        },
    })
    .await;
    let replica = Launch::replica(&operator, &guarded.url).start().await;
    replica.logs("and does not warm its cache").await;
    assert_eq!(served(&replica, &accounts).await, 3);
    assert_eq!(fetches(&replica).await, 3.0);
    assert!(guarded.heads("/jwt/v1/pack").is_empty(), "the pack would be a list as well");
}

#[tokio::test]
async fn an_old_primarys_pack_fills_it_as_far_as_there_is_room() {
    let operator = Operator::new();
    let mint = |account: Account| {
        let jwt = operator.account(&account, 100);
        (account, jwt)
    };
    let accounts: Vec<_> = (0..100).map(|_| mint(Account::new())).collect();
    let lines: Vec<_> = accounts.iter().map(|(account, jwt)| format!("{}|{jwt}", account.key())).collect();
    let pack = lines.join("\n");
    for (kib, least, most) in [(1024, 100, 100), (64, 20, 60)] {
        let pack = pack.clone();
        let primary = FakePrimary::new(move |path| match path {
            // In pieces, as a real one comes.
            "/jwt/v1/pack?max=-1" => Answer::new(200, pack.clone()),
            _ => Answer::new(404, "404 page not found\n"),
        })
        .await;
        let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__CACHE_BYTES", &format!("{kib}KiB"));
        let replica = launch.start_unready().await;
        replica.logs("JWTs of the pack of ").await;
        assert_eq!(primary.requests(), 0, "nothing was asked for one by one");
        drop(primary);
        is_within(&replica, kib).await;
        let count = served(&replica, &accounts).await;
        assert!((least..=most).contains(&count), "{kib}: {count}");
    }
}

#[tokio::test]
async fn a_break_in_between_is_made_up_for() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let accounts = push(&operator, &primary, 900).await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = Launch::replica(&operator, &proxy.url()).dir(dir.path()).start().await;
    until("some have come", || async { replica.http.metric("accepted_total", "path=\"upstream\"").await >= 1.0 }).await;
    proxy.cut();
    until("the feed is lost", || async { replica.http.metric("replica_feed_connected", "").await == 0.0 }).await;
    proxy.heal();
    let has_all = || async { replica.http.metric("accepted_total", "path=\"upstream\"").await >= 900.0 };
    until("all have come", has_all).await;
    primary.kill();
    assert_eq!(served(&replica, &accounts).await, 900);
}
