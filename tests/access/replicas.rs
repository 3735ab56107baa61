//! Replicas with credentials of their own, and what they forward.

use serde_json::json;

use super::world::{World, basic, get, send, token, user};
use crate::support::{Account, Launch, Server, until};

/// A replica of a closed primary, with this token, that forwards changes.
fn replica(world: &World, primary: &Server, token: &str) -> Launch {
    Launch::replica(&world.operator, &primary.url)
        .env("NAS_REPLICA__TOKEN", token)
        .env("NAS_REPLICA__WRITES", "forward")
}

fn variable(entries: &serde_json::Value) -> String {
    entries.to_string()
}

async fn principals(primary: &Server, account: &Account) -> Vec<String> {
    let history =
        get(&primary.http, &format!("{}/history", account.path()), &basic("all", "hush-hush")).await.expect(200).json();
    let versions = history["versions"].as_array().unwrap();
    versions.iter().map(|version| version["principal"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_replica_lends_its_credentials_to_clients_that_its_own_access_knows() {
    let accounts = [Account::new(), Account::new(), Account::new()];
    let tokens = [token("eu-1", &["read", "list", "push"]), token("eu-2", &["read", "list"])];
    let all = user("all", &["read", "list", "push", "admin"]);
    let world = World::new(&json!({ "anonymous": [], "users": [all], "tokens": tokens }));
    let primary = world.start().await;
    let own = json!([user("ci", &["read", "push"]), user("reader", &["read", "list"])]);
    let behind = |token: &str| {
        replica(&world, &primary, token).env("NAS_ACCESS__USERS", &variable(&own)).env("NAS_ACCESS__ANONYMOUS", "none")
    };
    let (first, second) = (behind("eu-1").start().await, behind("eu-2").start().await);
    let (ci, reader) = (basic("ci", "hush-hush"), basic("reader", "hush-hush"));
    let [app, other, third] = &accounts;
    let jwt = world.operator.account(app, 50);
    send(&first.http, "POST", &app.path(), None, &jwt).await.expect(401);
    assert!(
        send(&first.http, "POST", &app.path(), Some(&reader), &jwt)
            .await
            .expect(403)
            .body
            .contains("user reader lacks")
    );
    send(&first.http, "POST", &app.path(), Some(&ci), &jwt).await.expect(200);
    assert_eq!(principals(&primary, app).await, ["token eu-1 for user ci"]);
    assert_eq!(get(&first.http, &app.path(), &reader).await.expect(200).body, jwt);
    // Of the two, the weaker counts.
    let refused =
        send(&second.http, "POST", &other.path(), Some(&ci), &world.operator.account(other, 50)).await.expect(403);
    assert!(refused.body.contains("token eu-2 for user ci lacks the scope push"), "{}", refused.body);
    // A question that only the primary can answer.
    get(&second.http, "/jwt/v1/digests", &reader).await.expect(200);
    get(&second.http, "/jwt/v1/digests", &ci).await.expect(403);
    // Behind a replica that decides nothing, the primary judges the client's own credential.
    let plain = replica(&world, &primary, "eu-1").start().await;
    let all = basic("all", "hush-hush");
    send(&plain.http, "POST", &third.path(), Some(&all), &world.operator.account(third, 50)).await.expect(200);
    assert_eq!(principals(&primary, third).await, ["user all"]);
    send(&plain.http, "POST", &third.path(), Some(&ci), &world.operator.account(third, 40)).await.expect(401);
    send(&plain.http, "POST", &third.path(), None, &world.operator.account(third, 40)).await.expect(200);
    assert_eq!(principals(&primary, third).await.len(), 2);
    assert!(principals(&primary, third).await.contains(&"token eu-1 for anonymous".to_owned()));
    for server in [&first, &second, &plain, &primary] {
        assert!(!server.log().contains("hush-hush") && !server.log().contains("Basic "), "{}", server.log());
    }
}

#[tokio::test]
async fn a_client_that_speaks_for_another_gains_nothing() {
    let account = Account::new();
    let world = World::new(
        &json!({ "anonymous": ["read", "push"], "users": [user("reader", &["read"]), user("ci", &["read", "push"])] }),
    );
    let server = world.start().await;
    let jwt = world.operator.account(&account, 10);
    let push = async |credential: Option<String>, stated: &[&str]| {
        let mut request = server.http.request("POST", &account.path()).body(jwt.clone());
        for stated in stated {
            request = request.header("nas-on-behalf-of", *stated);
        }
        if let Some(credential) = credential {
            request = request.header("authorization", credential);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let [reader, ci] = ["reader", "ci"].map(|name| Some(basic(name, "hush-hush")));
    assert_eq!(push(reader.clone(), &["user root; read, list, push, admin"]).await, 403);
    assert_eq!(push(ci.clone(), &["user%20x; read"]).await, 403);
    for unreadable in ["", "x", "x; root", "%ff; push", "\t; push"] {
        assert_eq!(push(ci.clone(), &[unreadable]).await, 403, "{unreadable:?}");
    }
    assert_eq!(push(ci.clone(), &["a; push", "b; push"]).await, 403);
    assert_eq!(push(None, &["a; read"]).await, 403);
    assert_eq!(push(None, &["a; push, admin"]).await, 200);
    assert_eq!(push(ci, &["user%20x; push"]).await, 200);
}

#[tokio::test]
async fn a_replica_that_is_no_longer_let_in_says_so_and_goes_on() {
    let account = Account::new();
    let access = |scopes: &[&str]| json!({ "anonymous": ["push"], "tokens": [token("eu-1", scopes)] });
    let world = World::new(&access(&["read", "list"]));
    let primary = world.start().await;
    let jwt = world.operator.account(&account, 10);
    send(&primary.http, "POST", &account.path(), None, &jwt).await.expect(200);
    let replica = Launch::replica(&world.operator, &primary.url)
        .env("NAS_REPLICA__TOKEN", "eu-1")
        .env("NAS_REPLICA__TTL", "50ms")
        .start()
        .await;
    replica.follows().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
    for (times, scopes, said) in [
        (1, &["read"][..], "the credentials of this replica do not suffice"),
        (2, &[], "the credentials of this replica do not suffice"),
    ] {
        world.reload(&primary, &access(scopes), times).await;
        replica.logs(said).await;
        until("the feed is lost", || async { replica.http.metric("replica_feed_connected", "").await == 0.0 }).await;
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
    }
    until("it is counted", || async {
        // Once the copy is older than the time-to-live, upstream is asked.
        replica.http.get(&account.path()).await.expect(200);
        replica.http.metric("replica_fetches_total", "result=\"denied\"").await > 0.0
    })
    .await;
    // It does not know, which is not the same as that there is none.
    replica.http.get(&Account::new().path()).await.expect(503);
    let verbose = replica.http.get("/readyz?verbose").await;
    assert!(verbose.body.contains("403"), "{}", verbose.body);
    world.reload(&primary, &json!({ "anonymous": ["push"], "tokens": [token("other", &["read"])] }), 3).await;
    replica.logs("it rejects the credentials of this replica").await;
    world.reload(&primary, &access(&["read", "list"]), 4).await;
    replica.follows().await;
}
