//! `GET /jwt/v1/changes`: the change feed.

use std::time::{Duration, Instant};

use crate::support::feed::{Events, history, page};
use crate::support::{Account, Operator, Server, now};

/// The query that names a position.
fn at(session: &str, serial: u64, chain: &str) -> String {
    format!("?session={session}&after={serial}&chain={chain}")
}

#[tokio::test]
async fn the_history_is_a_chain_of_every_change_with_its_proof() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let accounts = [Account::new(), Account::new()];
    let mut pushed = Vec::new();
    for age in [30, 20] {
        for account in &accounts {
            let jwt = operator.account(account, age);
            server.http.post(&account.path(), jwt.clone()).await.expect(200);
            pushed.push(jwt);
        }
    }
    let request = operator.delete_request(&[&accounts[0], &accounts[1]], 10);
    server.http.delete(&accounts[0].path(), request.clone()).await.expect(200);
    let history = history(&server.http).await;
    assert_eq!((history.serial, history.head, history.session.len()), (6, 6, 32));
    assert_eq!((&*history.changes[0].kind, history.changes[0].jwt.as_ref()), ("operator", Some(&operator.jwt())));
    for (change, jwt) in history.changes[1..].iter().zip(&pushed) {
        assert_eq!(change.kind, "account");
        assert_eq!((&*change.op, change.jwt.as_ref()), ("put", Some(jwt)));
        assert!(i64::abs(change.at / 1000 - now()) < 60);
    }
    assert_eq!(history.changes[5].request, Some(request));
    assert_eq!(history.changes[5].keys, accounts.map(|account| account.key()));
}

#[tokio::test]
async fn a_long_poll_is_answered_the_moment_something_changes() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let http = server.http.clone();
    let polling = tokio::spawn(async move { (page(&http, "?after=1&wait=25s").await, Instant::now()) });
    let idle = page(&server.http, "?after=1&wait=300ms").await;
    assert!(idle.changes.is_empty() && !polling.is_finished());
    let jwt = operator.account(&account, 10);
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    let pushed = Instant::now();
    let (page, woken) = polling.await.unwrap();
    assert_eq!(page.changes.len(), 1);
    assert_eq!(page.changes[0].jwt, Some(jwt));
    // Far below every timer in the server.
    assert!(woken.saturating_duration_since(pushed) < Duration::from_millis(500), "{:?}", woken - pushed);
}

#[tokio::test]
async fn who_stands_on_another_history_is_told_where_this_one_is() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let head = page(&server.http, "").await;
    assert_eq!((head.serial, head.changes.len()), (2, 0), "without a position the answer begins at the head");
    let (session, chain) = (&*head.session, &*head.chain);
    server.http.get(&format!("/jwt/v1/changes{}", at(session, 2, chain))).await.expect(200);
    let (other_session, other_chain) = ("0".repeat(32), "0".repeat(64));
    for elsewhere in [
        at(&other_session, 2, chain),
        at(session, 2, &other_chain),
        at(session, 1, chain),
        at(session, 3, chain),
        format!("?after={}", u64::MAX),
        format!("?after={}", i64::MAX),
        format!("?session={other_session}"),
    ] {
        let reply = server.http.get(&format!("/jwt/v1/changes{elsewhere}")).await;
        assert_eq!(reply.status, 410, "{elsewhere}: {}", reply.body);
        let gone = reply.json();
        assert_eq!(
            (gone["session"].as_str(), gone["serial"].as_u64(), gone["chain"].as_str()),
            (Some(session), Some(2), Some(chain))
        );
    }
    for nonsense in ["?after=x", "?session=1", "?chain=zz", "?wait=long", "?after=-1"] {
        server.http.get(&format!("/jwt/v1/changes{nonsense}")).await.expect(400);
    }
}

#[tokio::test]
async fn an_event_stream_greets_and_lives_and_brings_what_changes() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let mut events = Events::open(&server.http, "").await;
    let (kind, hello) = events.next().await.unwrap();
    assert_eq!((&*kind, hello["serial"].as_u64(), hello["head"].as_u64()), ("hello", Some(1), Some(1)));
    let opened = Instant::now();
    let (kind, _) = events.next().await.unwrap();
    assert_eq!(kind, "heartbeat");
    assert!(opened.elapsed() < Duration::from_secs(4), "a heartbeat comes every 2 seconds");
    let jwt = operator.account(&account, 10);
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    let change = events.next_change().await;
    assert_eq!((change["serial"].as_u64(), change["jwt"].as_str()), (Some(2), Some(&*jwt)));
    assert_eq!(server.http.metric("feed_followers", "").await, 1.0);
    // Who comes later and says where he stands gets what he lacks.
    let mut late = Events::open(&server.http, "?after=1").await;
    assert_eq!(late.next_change().await["jwt"].as_str(), Some(&*jwt));
}

#[tokio::test]
async fn a_long_history_comes_in_pages() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let pushes = (0..1_100).map(|_| {
        let (http, account) = (server.http.clone(), Account::new());
        let jwt = operator.account(&account, 10);
        async move { http.post(&account.path(), jwt).await.expect(200) }
    });
    futures_util::StreamExt::for_each_concurrent(futures_util::stream::iter(pushes), 64, |push| async {
        push.await;
    })
    .await;
    let first = page(&server.http, "?after=0").await;
    assert!(first.changes.len() < 1_100 && first.head == 1_101, "{}", first.changes.len());
    assert_eq!(history(&server.http).await.changes.len(), 1_101);
}

/// `examples/follow.rs` shows others how to follow a feed, so it has to.
#[tokio::test]
async fn the_example_of_a_follower_follows() {
    let (operator, account) = (Operator::new(), Account::new());
    let server = Server::primary(&operator).await;
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let mut run = tokio::process::Command::new(env!("CARGO"));
    run.args(["run", "--quiet", "--locked", "--example", "follow", "--", &server.url, "3"]);
    run.current_dir(env!("CARGO_MANIFEST_DIR")).kill_on_drop(true);
    let following = run.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    server.http.post(&account.path(), operator.account(&account, 5)).await.expect(200);
    let output = following.wait_with_output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let key = account.key();
    assert_eq!(lines.len(), 3, "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines[0].starts_with("1 put operator O"), "{text}");
    assert_eq!(lines[1..], [format!("2 put account {key}"), format!("3 put account {key}")]);
}
