//! What gets a line, and what it says.

use serde_json::{Value, json};

use super::world::{World, is_committed, is_note, is_rejected, lines_of};
use crate::support::fleet::{DELETE, Fleet, NEWEST, UPDATE};
use crate::support::{Account, Authority, Operator, now, until};

/// The members of a line that a test compares.
fn told(line: &Value, members: &[&str]) -> Value {
    members.iter().map(|member| line[*member].clone()).collect()
}

#[tokio::test]
async fn each_change_has_a_line_that_says_who_made_it() {
    let world = World::new();
    let server = world.launch().env("NAS_HTTP__TRUSTED_PROXIES", "127.0.0.1").start().await;
    let (app, other) = (Account::named("app"), Account::named("other"));
    let post = server.http.request("POST", &app.path()).header("x-forwarded-for", "192.0.2.7");
    let jwt = world.operator.account(&app, 100);
    let post = post.header("x-request-id", "push-1").body(jwt.clone());
    assert_eq!(post.send().await.unwrap().status(), 200);
    server.http.post(&other.path(), world.operator.account(&other, 100)).await.expect(200);
    let activation = app.activation(&other, "news", 10);
    server.http.post("/jwt/v1/activations", activation).await.expect(200);
    // The same again is no change, and gets no line.
    server.http.post(&app.path(), jwt).await.expect(200);
    server.http.delete(&app.path(), world.operator.delete_request(&[&app, &other], 1)).await.expect(200);
    let newer = world.operator.listing(&[], 0);
    server.http.post("/jwt/v1/operator", newer).await.expect(200);
    let lines = world.waits_for(6, is_committed).await;
    let lines = &lines[lines.len() - 5..];
    let members = ["kind", "op", "key", "name", "via", "client"];
    let [put, second, activated, deleted, operator] = lines else { panic!("{lines:?}") };
    assert_eq!(told(put, &members), json!(["account", "put", app.key(), "app", "post", "192.0.2.7"]));
    assert_eq!((&put["request_id"], put["request_id"].as_str()), (&"push-1".into(), Some("push-1")));
    assert_eq!(told(second, &members), json!(["account", "put", other.key(), "other", "post", "127.0.0.1"]));
    assert_eq!(second["request_id"].as_str().unwrap().len(), 32, "the server made one");
    assert_eq!(
        told(activated, &["kind", "op", "account", "name"]),
        json!(["activation", "activation", app.key(), "leave"])
    );
    assert_eq!(
        told(deleted, &["kind", "op", "key", "keys"]),
        json!(["account", "delete", app.key(), [app.key(), other.key()]])
    );
    assert_eq!(
        told(operator, &["kind", "op", "key", "name"]),
        json!(["operator", "operator", world.operator.key(), "Tests"])
    );
    let serials: Vec<u64> = lines.iter().map(|line| line["serial"].as_u64().unwrap()).collect();
    assert_eq!(serials, (serials[0]..serials[0] + 5).collect::<Vec<_>>(), "in order, without a gap");
    for line in lines {
        let time = line["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }
    assert_eq!(world.waits_for(1, is_note("began")).await.len(), 1);
    world.verify(&[]).await.expect(0);
    let metric = server.http.metric("audit_lines_total", "outcome=\"committed\"").await;
    assert!(metric >= 5.0, "{metric}");
    let last = world.lines().len() as f64;
    until("the metric has the last line", || async { server.http.metric("audit_head_seq", "").await == last }).await;
}

#[tokio::test]
async fn what_the_operator_signed_and_is_rejected_has_a_line_with_the_reason() {
    let world = World::new();
    let server = world.start().await;
    let (app, system) = (Account::named("app"), world.operator.system());
    server.http.post(&app.path(), world.operator.account(&app, 50)).await.expect(200);
    let mut blocked = app.claims(now() - 10);
    blocked["nats"]["exports"] = json!([{ "subject": "a b", "type": "stream" }]);
    for (path, body, status) in [
        (app.path(), world.operator.account(&app, 100), 409),
        (Account::new().path(), world.operator.account(&app, 10), 400),
        (app.path(), world.operator.sign(&blocked), 400),
    ] {
        server.http.post(&path, body).await.expect(status);
    }
    server.http.delete(&app.path(), world.operator.delete_request(&[&app], 1_000)).await.expect(409);
    server.http.delete(&system.path(), world.operator.delete_request(&[system], 1)).await.expect(400);
    server.http.post("/jwt/v1/operator", world.operator.listing(&[], 500_000)).await.expect(409);
    // What the operator did not sign is no attempt.
    for garbage in ["garbage".to_owned(), Operator::new().account(&app, 1), app.sign(&app.claims(now()))] {
        server.http.post(&app.path(), garbage.clone()).await.expect(400);
        server.http.delete(&app.path(), garbage).await.expect(400);
    }
    server.http.post(&app.path(), world.operator.account(&app, 40)).await.expect(200);
    world.waits_for(1, |line| line["serial"].as_u64().is_some_and(|serial| serial >= 3)).await;
    let lines = world.waits_for(6, is_rejected).await;
    let seen: Vec<_> = lines.iter().map(|line| told(line, &["kind", "op", "reason", "key"])).collect();
    let operator = world.operator.key();
    assert_eq!(
        seen,
        [
            json!(["account", "put", "older", app.key()]),
            json!(["account", "put", "wrong_account", app.key()]),
            json!(["account", "put", "invalid", app.key()]),
            json!(["account", "delete", "older", app.key()]),
            json!(["account", "delete", "system_account", system.key()]),
            json!(["operator", "operator", "older", operator]),
        ]
    );
    assert!(lines.iter().all(|line| line["client"] == "127.0.0.1" && line["request_id"].is_string()), "{lines:?}");
    world.verify(&[]).await.expect(0);
}

#[tokio::test]
async fn what_came_over_nats_or_as_a_file_has_lines() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let fleet =
        Fleet::with(NEWEST, |launch| launch.dir(&folder.path().join("store")).path("NAS_AUDIT__PATH", &log)).await;
    let account = Account::named("app");
    assert_eq!(fleet.ask(UPDATE, fleet.operator.account(&account, 60)).await["data"]["code"], 200);
    assert!(fleet.ask(UPDATE, fleet.operator.account(&account, 90)).await["error"].is_object());
    assert!(fleet.ask(DELETE, fleet.operator.delete_request(&[&account], 500)).await["error"].is_object());
    let edited = folder.path().join("store").join(format!("{}.jwt", account.key()));
    until("the file is there", || async { edited.exists() }).await;
    std::fs::write(&edited, fleet.operator.account(&account, 30)).unwrap();
    let of_app =
        || lines_of(&std::fs::read_to_string(&log).unwrap()).into_iter().filter(|line| line["key"] == account.key());
    until("all lines are there", || async { of_app().count() >= 4 }).await;
    let mut seen: Vec<_> = of_app().map(|line| told(&line, &["outcome", "op", "via", "reason"])).collect();
    seen.sort_by_key(ToString::to_string);
    assert_eq!(
        seen,
        [
            json!(["committed", "put", "file", null]),
            json!(["committed", "put", "update", null]),
            json!(["rejected", "delete", "update", "older"]),
            json!(["rejected", "put", "update", "older"]),
        ]
    );
}

#[tokio::test]
async fn a_client_is_known_by_the_certificate_that_it_showed() {
    let world = World::new();
    let (authority, files) = (Authority::new("Tests"), world.folder.path());
    let (cert, key, root) = (files.join("server.pem"), files.join("server.key"), files.join("clients.pem"));
    authority.server().write(&cert, &key);
    std::fs::write(&root, &authority.pem).unwrap();
    let client = authority.client();
    let launch = world.launch().https(&cert, &key, authority.http_client(Some(&client)));
    let server = launch.path("NAS_HTTP__TLS__ROOT", &root).start().await;
    let account = Account::new();
    server.http.post(&account.path(), world.operator.account(&account, 10)).await.expect(200);
    let lines = world.waits_for(1, |line| line["key"] == account.key()).await;
    let shown = lines[0]["tls"].as_str().unwrap();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(client.der());
    assert!(shown.starts_with(&format!("sha256:{}", data_encoding::HEXLOWER.encode(&digest))), "{shown}");
    // The history has it, too.
    for path in
        [format!("/jwt/v1/accounts/{}/history", account.key()), format!("/api/v1/accounts/{}/versions", account.key())]
    {
        let version = server.http.get(&path).await.expect(200).json()["versions"][0].clone();
        assert_eq!((&version["actor"], version["tls"].as_str()), (&"127.0.0.1".into(), Some(shown)), "{path}");
    }
}
