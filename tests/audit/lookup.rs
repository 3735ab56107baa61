//! `GET /api/v1/audit`: the last lines of the current file.

use std::fs;

use serde_json::Value;

use super::world::{World, is_committed, is_rejected};
use crate::support::openapi::Document;
use crate::support::{Account, Launch, Reply, Server, now, until};

async fn get(server: &Server, query: &str) -> Reply {
    server.http.get(&format!("/api/v1/audit?{query}")).await
}

/// All pages.
async fn all(server: &Server, query: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(server, &format!("{query}{cursor}")).await.expect(200).json();
        found.extend(page["lines"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn the_end_of_the_log_is_shown_page_by_page() {
    let world = World::new();
    let server = world.start().await;
    let accounts: Vec<Account> = (0..5).map(|number| Account::named(&format!("app{number}"))).collect();
    for account in &accounts {
        server.http.post(&account.path(), world.operator.account(account, 100)).await.expect(200);
    }
    server.http.post(&accounts[0].path(), world.operator.account(&accounts[0], 500)).await.expect(409);
    let both = world.operator.delete_request(&[&accounts[1], &accounts[2]], 1);
    server.http.delete(&accounts[1].path(), both).await.expect(200);
    // Five accounts, the deletion and the operator's JWT.
    world.waits_for(6, is_committed).await;
    world.waits_for(1, is_rejected).await;
    until("the head has all lines", || async {
        get(&server, "limit=1").await.json()["head"]["seq"] == world.lines().last().unwrap()["seq"]
    })
    .await;
    let mut lines = world.lines();
    lines.reverse();
    for limit in [1, 2, 100] {
        assert_eq!(all(&server, &format!("limit={limit}")).await, lines, "{limit}");
    }
    let page = get(&server, "limit=3").await.expect(200).json();
    Document::of(&server.http).await.check("/audit", &page);
    let verified = world.verify(&[]).await.expect(0);
    assert!(verified.stdout.contains(page["head"]["hash"].as_str().unwrap()), "{}", verified.stdout);
    assert_eq!((&page["broken"], &page["failing"]), (&false.into(), &false.into()));
    let rejected = all(&server, "outcome=rejected").await;
    assert_eq!((rejected.len(), &rejected[0]["reason"]), (1, &"older".into()));
    let of = |key: &str| lines.iter().filter(|line| line.to_string().contains(key)).cloned().collect::<Vec<_>>();
    for account in &accounts {
        let key = account.key();
        let found = all(&server, &format!("limit=1&account={key}")).await;
        assert_eq!(found, of(&key), "{key}");
        assert!(!found.is_empty());
    }
    assert_eq!(all(&server, "since=1h").await, lines);
    assert_eq!(all(&server, &format!("since={}", now() + 100)).await, Vec::<Value>::new());
    for (query, name) in
        [("outcome=all", "outcome"), ("account=x", "account"), ("since=x", "since"), ("cursor=x", "cursor")]
    {
        let problem = get(&server, query).await.expect(400).json();
        assert!(problem["detail"].as_str().unwrap().contains(name), "{problem}");
    }
    // A cursor is one of the file that it is from.
    let cursor = page["next"].as_str().unwrap();
    fs::rename(world.log(), world.folder.path().join("audit.log.1")).unwrap();
    server.signal("HUP");
    until("there is a new file", || async { world.log().exists() }).await;
    let problem = get(&server, &format!("cursor={cursor}")).await.expect(400).json();
    assert_eq!(problem["code"], "bad_parameter");
    server.http.post(&accounts[1].path(), world.operator.account(&accounts[1], -10)).await.expect(200);
    world.waits_for(1, is_committed).await;
    assert_eq!(all(&server, "limit=10").await.len(), world.lines().len(), "only the current file");
}

#[tokio::test]
async fn a_log_that_was_changed_is_said_to_be_broken() {
    let world = World::new();
    let mut server = world.start().await;
    let account = Account::new();
    server.http.post(&account.path(), world.operator.account(&account, 100)).await.expect(200);
    world.waits_for(1, |line| line["key"] == account.key()).await;
    server.signal("TERM");
    server.exit().await;
    let text = fs::read_to_string(world.log()).unwrap();
    fs::write(world.log(), text.replace("\"post\"", "\"file\"")).unwrap();
    let server = world.start().await;
    until("it is noticed", || async { get(&server, "").await.json()["broken"] == true }).await;
    let notes = all(&server, "outcome=note").await;
    assert_eq!(notes[0]["note"], "broken", "{notes:?}");
}

#[tokio::test]
async fn a_server_without_a_log_says_so() {
    let world = World::new();
    let server = Server::primary(&world.operator).await;
    assert_eq!(get(&server, "").await.expect(404).json()["code"], "no_audit");
    let replica = Launch::replica(&world.operator, &server.url).start().await;
    let problem = get(&replica, "").await.expect(404).json();
    assert_eq!(problem["code"], "not_the_primary");
    assert!(problem["detail"].as_str().unwrap().contains(&server.url), "{problem}");
}
