//! Replicas tell their upstream who they are and up to where they are current, through all tiers, and no more than is true.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nats_account_server::feed::wire::{FollowerStatus, FollowersPage};

use crate::support::{Account, Launch, Operator, Proxy, Server, until};

/// What a server knows of the replicas that report to it.
pub(crate) async fn list(server: &Server) -> FollowersPage {
    serde_json::from_str(&server.http.get("/jwt/v1/followers").await.expect(200).body).expect("a list")
}

/// A replica by its name.
pub(crate) async fn named(server: &Server, name: &str) -> Option<FollowerStatus> {
    list(server).await.followers.into_iter().find(|follower| follower.name == name)
}

/// Waits until a replica is shown in this state.
async fn is(server: &Server, name: &str, state: &str) {
    until(&format!("{name} is {state}"), || async {
        named(server, name).await.is_some_and(|follower| follower.state == state)
    })
    .await;
}

/// Waits until all of these confirm all that the server has.
async fn all_confirm(server: &Server, names: &[&str]) {
    until(&format!("{names:?} confirm everything"), || async {
        let page = list(server).await;
        let confirms = |name: &&str| {
            page.followers
                .iter()
                .any(|follower| follower.name == **name && follower.behind_by == 0 && follower.session_ok)
        };
        page.serial > 0 && names.iter().all(confirms)
    })
    .await;
}

fn replica(operator: &Operator, primary: &str, name: &str) -> Launch {
    Launch::replica(operator, primary).env("NAS_REPLICA__NAME", name)
}

async fn push(operator: &Operator, primary: &Server, age: i64) -> Account {
    let account = Account::new();
    primary.http.post(&account.path(), operator.account(&account, age)).await.expect(200);
    account
}

#[tokio::test]
async fn a_primary_knows_at_once_what_its_replicas_have_and_names_those_that_are_behind() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let way = Proxy::to(primary.host()).await;
    let mirror =
        replica(&operator, &primary.url, "mirror").env("NAS_REPLICA__MODE", "mirror").dir(dir.path()).start().await;
    let cut_off = replica(&operator, &way.url(), "cut off").start().await;
    let hub = replica(&operator, &primary.url, "hub").start().await;
    hub.follows().await;
    let leaf = replica(&operator, &hub.url, "leaf").start().await;
    let names = ["mirror", "cut off", "hub"];
    all_confirm(&hub, &["leaf"]).await;
    all_confirm(&primary, &names).await;
    // The hub reports its own position at once, and what it knows of others a moment later.
    until("the leaf is known", || async { named(&primary, "hub").await.is_some_and(|hub| hub.below == 1) }).await;
    let page = list(&primary).await;
    let hub_there = page.followers.iter().find(|follower| follower.name == "hub").unwrap();
    assert_eq!((hub_there.below, &*hub_there.mode, &*hub_there.address), (1, "cache", "127.0.0.1"));
    assert_eq!((page.in_sync, page.behind, page.silent, page.lowest), (3, 0, 0, Some(page.serial)));

    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        // A quiet time.
        tokio::time::sleep(Duration::from_millis(150)).await;
        push(&operator, &primary, 10).await;
        let pushed = Instant::now();
        all_confirm(&primary, &names).await;
        fastest = fastest.min(pushed.elapsed());
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");

    leaf.signal("STOP");
    way.black_hole();
    push(&operator, &primary, 9).await;
    for name in ["hub", "cut off"] {
        is(&primary, name, "behind").await;
    }
    let page = list(&primary).await;
    assert_eq!((page.in_sync, page.behind, page.lowest), (1, 2, Some(page.serial - 1)));
    let hub_there = named(&primary, "hub").await.unwrap();
    assert_eq!(hub_there.behind.iter().map(|named| &*named.name).collect::<Vec<_>>(), ["leaf"]);
    assert_eq!(
        (hub_there.serial, hub_there.behind_by, named(&hub, "leaf").await.unwrap().behind_by),
        (page.serial - 1, 1, 1)
    );
    assert_eq!(primary.http.metric("replicas", "state=\"behind\"").await, 2.0);
    let ready = primary.http.get("/readyz?verbose").await.expect(200).body;
    assert!(ready.contains("[+] replicas: 3 known, 1 in sync; cut off is behind at serial"), "{ready}");

    leaf.signal("CONT");
    way.heal();
    all_confirm(&primary, &names).await;
    drop((mirror, cut_off));
}

/// Waits until so many replicas are noted on disk.
async fn noted(file: &Path, count: u64) {
    let count_now = || -> rusqlite::Result<u64> {
        rusqlite::Connection::open(file)?.query_row("SELECT count(*) FROM follower", [], |row| row.get(0))
    };
    until("it is on disk", || async { count_now() == Ok(count) }).await;
}

#[tokio::test]
async fn what_a_primary_knows_outlives_it_and_nothing_is_raised_by_that() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary_in(&operator, dir.path()).await;
    let way = Proxy::to(primary.host()).await;
    let frozen = replica(&operator, &way.url(), "frozen").start().await;
    let hub = replica(&operator, &way.url(), "hub").dir(&dir.path().join("hub")).start().await;
    hub.follows().await;
    let to_hub = Proxy::to(hub.host()).await;
    let leaf = replica(&operator, &to_hub.url(), "leaf").start().await;
    all_confirm(&hub, &["leaf"]).await;
    all_confirm(&primary, &["frozen", "hub"]).await;
    let before = list(&primary).await;
    let hub_state = dir.path().join("hub/.nats-account-server/journal.sqlite");
    noted(&dir.path().join(".nats-account-server/journal.sqlite"), 2).await;
    noted(&hub_state, 1).await;
    frozen.signal("STOP");
    leaf.signal("STOP");
    push(&operator, &primary, 10).await;
    is(&primary, "hub", "behind").await;

    let primary = primary.restart().await;
    let known = list(&primary).await;
    assert_eq!(known.followers.iter().map(|follower| &*follower.name).collect::<Vec<_>>(), ["frozen", "hub"]);
    for follower in &known.followers {
        let was = before.followers.iter().find(|was| was.id == follower.id).unwrap();
        assert!(follower.serial <= was.serial && follower.behind_by > 0, "{follower:?}");
        assert!(follower.heard_at < nats_account_server::clock::unix_millis() - 100);
    }
    way.lead_to(primary.host());
    // A hub that is restarted knows those behind it as well.
    let hub = hub.restart().await;
    to_hub.lead_to(hub.host());
    hub.follows().await;
    let leaf_there = named(&hub, "leaf").await.unwrap();
    assert!(leaf_there.behind_by > 0 && leaf_there.serial <= before.serial, "{leaf_there:?}");
    until("the hub reports for both", || async {
        named(&primary, "hub").await.is_some_and(|hub| hub.behind.iter().any(|named| named.name == "leaf"))
    })
    .await;
    let page = list(&primary).await;
    assert_eq!((page.in_sync, page.lowest < Some(page.serial)), (0, true), "{page:?}");

    frozen.signal("CONT");
    leaf.signal("CONT");
    all_confirm(&primary, &["frozen", "hub"]).await;
}

#[tokio::test]
async fn a_replica_that_stops_says_goodbye_and_counts_again_when_it_is_back() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let mut stopping = replica(&operator, &primary.url, "stopping").dir(dir.path()).start().await;
    all_confirm(&primary, &["stopping"]).await;
    let id = named(&primary, "stopping").await.unwrap().id;
    stopping.signal("TERM");
    assert!(stopping.exit().await.success());
    let left = named(&primary, "stopping").await.unwrap();
    assert_eq!((&*left.state, left.leaving), ("left", true));
    push(&operator, &primary, 10).await;
    let page = list(&primary).await;
    assert_eq!((page.in_sync + page.behind + page.silent, page.lowest), (0, None));
    let stopping = stopping.restart().await;
    all_confirm(&primary, &["stopping"]).await;
    let back = named(&primary, "stopping").await.unwrap();
    assert_eq!((&*back.state, back.leaving, back.id), ("in_sync", false, id));
    drop(stopping);
}

#[tokio::test]
async fn a_hub_that_stops_leaves_those_behind_it_counted() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let mut hub = replica(&operator, &primary.url, "hub").start().await;
    hub.follows().await;
    let leaf = replica(&operator, &hub.url, "leaf").start().await;
    all_confirm(&hub, &["leaf"]).await;
    until("the leaf is known", || async { named(&primary, "hub").await.is_some_and(|hub| hub.below == 1) }).await;
    hub.signal("TERM");
    assert!(hub.exit().await.success());
    push(&operator, &primary, 10).await;
    let page = list(&primary).await;
    let gone = &page.followers[0];
    assert_eq!((gone.leaving, gone.below, gone.behind_by), (true, 1, 1), "{gone:?}");
    assert_eq!(page.lowest, Some(page.serial - 1));
    drop(leaf);
}

#[tokio::test]
async fn two_replicas_of_one_copied_folder_are_kept_apart() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let first = dir.path().join("first");
    let mut replicas = vec![replica(&operator, &primary.url, "first").dir(&first).start().await];
    all_confirm(&primary, &["first"]).await;
    let mut stopped = replicas.pop().unwrap();
    stopped.signal("TERM");
    stopped.exit().await;
    let copied = Command::new("cp").arg("-a").arg(&first).arg(dir.path().join("second")).status().unwrap();
    assert!(copied.success());
    for name in ["first", "second"] {
        replicas.push(replica(&operator, &primary.url, name).dir(&dir.path().join(name)).start().await);
    }
    for age in (0..100).rev() {
        // Both report again and again.
        push(&operator, &primary, age).await;
        if list(&primary).await.followers.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    all_confirm(&primary, &["first", "second"]).await;
    let logs: Vec<String> = replicas.iter().map(Server::log).collect();
    assert_eq!(logs.iter().filter(|log| log.contains("with the id of this one")).count(), 1, "{logs:?}");
    let is_told = |line: &str| {
        line.contains("rejected the report of the replica") && line.contains("another replica reports with this id")
    };
    assert!(primary.log().lines().any(is_told), "{}", primary.log());
    assert_eq!(primary.http.metric("replicas_refused_total", "reason=\"same_id\"").await, 1.0);
}

#[tokio::test]
async fn a_replica_that_turns_to_another_server_no_longer_counts_at_the_first() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let hubs = [
        replica(&operator, &primary.url, "hub 0").start().await,
        replica(&operator, &primary.url, "hub 1").start().await,
    ];
    for hub in &hubs {
        hub.follows().await;
    }
    let way = Proxy::to(hubs[0].host()).await;
    let leaf = replica(&operator, &format!("{},{}", way.url(), hubs[1].url), "leaf").start().await;
    all_confirm(&hubs[0], &["leaf"]).await;
    way.cut();
    all_confirm(&hubs[1], &["leaf"]).await;
    // The first one has not heard of that yet.
    assert_eq!(named(&hubs[0], "leaf").await.unwrap().state, "in_sync");
    assert!(named(&hubs[1], "leaf").await.is_some_and(|leaf| !leaf.leaving));
    way.heal();
    // When it is well again, everything goes back to it.
    until("it is back at the first", || async {
        let [first, second] = [named(&hubs[0], "leaf").await, named(&hubs[1], "leaf").await];
        first.is_some_and(|leaf| leaf.state == "in_sync") && second.is_some_and(|leaf| leaf.state == "left")
    })
    .await;
    push(&operator, &primary, 10).await;
    all_confirm(&primary, &["hub 0", "hub 1"]).await;
    drop(leaf);
}

#[tokio::test]
async fn under_steady_change_reports_come_ten_times_a_second() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let replica = replica(&operator, &primary.url, "one").start().await;
    all_confirm(&primary, &["one"]).await;
    let reports = || primary.http.metric("http_requests_total", "code=\"204\",method=\"POST\",route=\"followers\"");
    let (before, began) = (reports().await, Instant::now());
    let account = Account::new();
    for age in (0..5_000).rev() {
        primary.http.post(&account.path(), operator.account(&account, age)).await.expect(200);
        if began.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    all_confirm(&primary, &["one"]).await;
    let (count, took) = (reports().await - before, began.elapsed().as_secs_f64());
    assert!(count >= 5.0 && count <= 13.0 * took + 2.0, "{count} in {took} s");
    drop(replica);
}

#[tokio::test]
async fn what_is_no_report_is_refused_and_invented_replicas_push_nobody_out() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary_in(&operator, dir.path()).await;
    let _real = replica(&operator, &primary.url, "real").start().await;
    all_confirm(&primary, &["real"]).await;
    let path = "/jwt/v1/followers";
    for (body, status) in [
        (String::new(), 400),
        ("{}".to_owned(), 400),
        ("[]".to_owned(), 400),
        ("\0\0\0".to_owned(), 400),
        (invented(0).replace("cache", "a\\u0000"), 400),
        (invented(0).replace("\"seq\": 0", "\"seq\": -1"), 400),
        (invented(0).replace("\"seq\": 0", "\"seq\": 0, \"serial\": 3"), 400),
        (format!("[{}", "[".repeat(8_000)), 400),
        (" ".repeat(8_193), 413),
        (" ".repeat(1 << 20), 413),
        (invented(0), 204),
    ] {
        let reply = primary.http.post(path, body.clone()).await;
        assert_eq!(reply.status, status, "{body:.100}: {}", reply.body);
    }
    let allow = primary.http.send("PUT", path, &[]).await.expect(405);
    assert_eq!(allow.header("allow"), "GET, HEAD, POST, OPTIONS");
    let mut statuses = [0; 2];
    let numbers: Vec<u32> = (1..10_000).collect();
    for chunk in numbers.chunks(100) {
        let posts = chunk.iter().map(|number| primary.http.post(path, invented(*number)));
        for reply in futures_util::future::join_all(posts).await {
            statuses[usize::from(reply.status == 204)] += 1;
            assert!(reply.status == 204 || (reply.status == 503 && reply.header("retry-after") == "60"), "{reply:?}");
        }
    }
    assert_eq!(statuses, [9_999 - 4_094, 4_094]);
    let page = list(&primary).await;
    assert_eq!((page.followers.len(), page.refused), (4_096, 9_999 - 4_094));
    // It is heard as before, and the invented ones are not in sync.
    push(&operator, &primary, 10).await;
    all_confirm(&primary, &["real"]).await;
    assert_eq!((list(&primary).await.lowest, named(&primary, "real").await.unwrap().behind_by), (Some(0), 0));
    assert!(primary.peak_memory() < 300 << 20, "{}", primary.peak_memory());
    let ready = primary.http.get("/readyz?verbose").await.expect(200).body;
    assert!(ready.contains("[+] replicas: 4096 known") && ready.len() < 2_000, "{ready}");
    // And they are not more after a restart.
    let primary = primary.stop_and_start().await;
    assert_eq!(list(&primary).await.followers.len(), 4_096);
}

#[tokio::test]
async fn the_address_of_a_replica_is_that_which_a_trusted_proxy_reports() {
    let operator = Operator::new();
    for (trusted, wanted) in [("127.0.0.0/8, 10.0.0.0/8", "192.0.2.1"), ("127.0.0.2", "127.0.0.1")] {
        let server = Launch::primary(&operator).env("NAS_HTTP__TRUSTED_PROXIES", trusted).start().await;
        let report = server.http.request("POST", "/jwt/v1/followers").body(invented(1));
        let report = report.header("x-forwarded-for", "192.0.2.9").header("x-forwarded-for", "192.0.2.1, 10.0.0.2");
        assert_eq!(report.send().await.unwrap().status().as_u16(), 204);
        assert_eq!(named(&server, "n1").await.unwrap().address, wanted, "{trusted}");
    }
}

fn invented(number: u32) -> String {
    format!(
        r#"{{"id": "{number:032x}", "run": "0123456789abcdef", "seq": 0, "name": "n{number}", "mode": "cache",
            "version": "2"}}"#
    )
}
