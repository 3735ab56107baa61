//! The ids of requests: in answers, log lines, problem documents, audit lines, and at the primary.

use super::world::{World, is_rejected};
use crate::support::{Account, Launch, Operator, Reply, Server};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn id(reply: &Reply) -> &str {
    reply.header("x-request-id")
}

#[tokio::test]
async fn an_id_is_echoed_and_made_where_it_is_needed() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let account = Account::new();
    let pushed = server.http.post(&account.path(), operator.account(&account, 50)).await.expect(200);
    assert_eq!(id(&pushed).len(), 32, "a change gets one");
    for path in [&*account.path(), "/jwt/v1/operator"] {
        assert_eq!(id(&server.http.get(path).await.expect(200)), "", "a GET that succeeds gets none");
        assert_eq!(id(&server.http.send("GET", path, &[("x-request-id", "mine")]).await.expect(200)), "mine");
        let traced = server.http.send("GET", path, &[("traceparent", TRACE)]).await.expect(200);
        assert_eq!((id(&traced), traced.header("traceparent")), ("4bf92f3577b34da6a3ce929d0e0e4736", TRACE));
    }
    let missing = server.http.get(&Account::new().path()).await.expect(404);
    assert_eq!(id(&missing).len(), 32, "an error gets one");
    let long = "x".repeat(129);
    for unusable in ["a b", "a\"b", "", &long] {
        let reply = server.http.send("GET", &Account::new().path(), &[("x-request-id", unusable)]).await.expect(404);
        assert_eq!(id(&reply).len(), 32, "{unusable:?}");
    }
    let private = format!("{}-{}", TRACE.replacen("00", "cc", 1), operator.seed());
    for strange in [
        &[("x-request-id", "one"), ("x-request-id", "two")][..],
        &[("traceparent", TRACE), ("traceparent", TRACE)],
        &[("traceparent", &*private)],
        &[("x-request-id", "one, two")],
        &[("x-request-id", "id-\u{e9}")],
    ] {
        let request = server.http.request("GET", &Account::new().path());
        let request = strange.iter().fold(request, |request, (name, value)| request.header(*name, value.as_bytes()));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers().get("traceparent"), None, "{strange:?}");
        let made = answer.headers()["x-request-id"].to_str().unwrap();
        assert!(made.len() == 32 && !TRACE.contains(made), "{strange:?}: {made}");
    }
    let json = [("accept", "application/json"), ("x-request-id", "mine")];
    let problem = server.http.send("GET", &Account::new().path(), &json).await.expect(404);
    assert_eq!((&problem.json()["request_id"], id(&problem)), (&"mine".into(), "mine"));
    let problem = server.http.send("GET", &Account::new().path(), &json[..1]).await.expect(404);
    assert_eq!(problem.json()["request_id"], id(&problem));
}

#[tokio::test]
async fn the_id_of_a_forwarded_change_reaches_the_primary_and_its_logs() {
    let world = World::new();
    let primary = world.start().await;
    let replica = Launch::replica(&world.operator, &primary.url).env("NAS_REPLICA__WRITES", "forward");
    let replica = replica.env("NAS_LOG__LEVEL", "debug").start().await;
    let account = Account::new();
    let push = |id: &'static str, age| {
        replica
            .http
            .request("POST", &account.path())
            .header("x-request-id", id)
            .body(world.operator.account(&account, age))
    };
    let taken = push("forwarded-1", 50).send().await.unwrap();
    assert_eq!((taken.status().as_u16(), &taken.headers()["x-request-id"]), (200, &"forwarded-1".parse().unwrap()));
    let stale = push("forwarded-2", 90).send().await.unwrap();
    assert_eq!((stale.status().as_u16(), &stale.headers()["x-request-id"]), (409, &"forwarded-2".parse().unwrap()));
    let made = replica.http.post(&account.path(), world.operator.account(&account, 80)).await.expect(409);
    let lines = world.waits_for(1, |line| line["key"] == account.key() && line["outcome"] == "committed").await;
    assert_eq!(lines[0]["request_id"], "forwarded-1");
    let rejected = world.waits_for(2, is_rejected).await;
    assert_eq!((&rejected[0]["request_id"], &rejected[1]["request_id"]), (&"forwarded-2".into(), &id(&made).into()));
    for (server, ids) in [(&primary, &["forwarded-1", "forwarded-2"][..]), (&replica, &["forwarded-2"])] {
        for id in ids {
            assert!(server.log().contains(id), "{id} is not in the log:\n{}", server.log());
        }
    }
}
