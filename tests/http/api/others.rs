//! The operator, the replicas, and the status of a server.

use nkeys::KeyPair;
use serde_json::Value;

use super::{get, mirror};
use crate::support::{Account, Authority, Launch, Operator, Server, now, until};

/// The verdict of a check, and what it says.
fn check(status: &Value, code: &str) -> (String, String) {
    let found = status["checks"].as_array().unwrap().iter().find(|check| check["code"] == code);
    let found = found.unwrap_or_else(|| panic!("there is no check {code}: {status}"));
    let text = |member: &str| found[member].as_str().unwrap().to_owned();
    (text("status"), text("detail"))
}

#[tokio::test]
async fn the_operator_in_force_is_shown_with_its_chain() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let reply = server.http.get("/api/v1/operator").await.expect(200);
    let shown = reply.json();
    assert_eq!((&shown["key"], &shown["name"]), (&operator.key().into(), &"Tests".into()));
    assert_eq!((&shown["identity_key_signs"], &shown["origin"]), (&true.into(), &"identity".into()));
    assert_eq!(shown["system_account"], operator.system().key());
    assert_eq!((shown["signing_keys"].as_array().unwrap().len(), &shown["withdrawn"]), (1, &serde_json::json!([])));
    assert_eq!(shown["chain"], serde_json::json!([shown["in_force"]]));
    assert!(shown["in_force"].get("exp").is_none(), "{shown}");
    let tag = reply.header("etag").to_owned();
    server.http.send("GET", "/api/v1/operator", &[("if-none-match", &tag)]).await.expect(304);
    let key = KeyPair::new_operator();
    server.http.post("/jwt/v1/operator", operator.jwt_with_signing_key(&key)).await.expect(200);
    let shown = server.http.send("GET", "/api/v1/operator", &[("if-none-match", &tag)]).await.expect(200).json();
    let keys = shown["signing_keys"].as_array().unwrap();
    assert!(keys.len() == 2 && keys.contains(&key.public_key().into()), "{shown}");
}

#[tokio::test]
async fn a_primary_says_how_it_is_and_warns_of_what_expires() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let status = get(&server.http, "status").await;
    assert_eq!((&status["role"], status.get("mode"), status.get("upstream")), (&"primary".into(), None, None));
    assert_eq!((&status["ready"], &status["in_sync"]), (&true.into(), &true.into()));
    assert_eq!((&status["position"]["serial"], &status["counts"]["accounts"]), (&1.into(), &0.into()));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["nats"], serde_json::json!({ "configured": false, "connected": false }));
    for (code, verdict) in [
        ("process", "pass"),
        ("store", "pass"),
        ("operator", "pass"),
        ("nats", "skip"),
        ("operator_expiry", "pass"),
        ("account_expiry", "pass"),
        ("certificate_expiry", "skip"),
        ("nats_user_expiry", "skip"),
    ] {
        assert_eq!(check(&status, code).0, verdict, "{code}");
    }
    assert_eq!((&status["writable"], &status["operator"]), (&true.into(), &operator.key().into()));
    // The same source as that of the readiness report.
    let verbose = server.http.get("/readyz?verbose").await.body;
    for one in status["checks"].as_array().unwrap() {
        let (code, detail) = (one["code"].as_str().unwrap(), one["detail"].as_str().unwrap());
        assert!(code.ends_with("_expiry") || verbose.contains(&format!("{code}: {detail}")), "{code}: {verbose}");
    }
    let account = Account::new();
    let mut claims = account.claims(now() - 10);
    claims["exp"] = (now() + 2 * 86_400).into();
    server.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    let mut jwt = operator.claims(&[], now());
    jwt["exp"] = (now() + 86_400).into();
    server.http.post("/jwt/v1/operator?withhold=1", operator.sign(&jwt)).await.expect(200);
    let status = get(&server.http, "status").await;
    let (verdict, detail) = check(&status, "account_expiry");
    assert_eq!((&*verdict, detail.contains("1 account expires")), ("warning", true), "{detail}");
    let (verdict, detail) = check(&status, "operator_expiry");
    assert_eq!((&*verdict, detail.contains("sign a new one")), ("warning", true), "{detail}");
    assert_eq!((&status["ready"], &status["counts"]["accounts"]), (&true.into(), &1.into()));
    server.http.get("/readyz").await.expect(200);
}

/// What has expired fails, and the server goes on.
#[tokio::test]
async fn what_has_expired_is_a_failure_that_leaves_the_server_ready() {
    let (operator, authority, folder) = (Operator::new(), Authority::new("Tests"), tempfile::tempdir().unwrap());
    let (cert, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    authority.server_until(2021, "accounts.example.com").write(&cert, &key);
    let mut claims = operator.claims(&[], now() - 3600);
    claims["exp"] = (now() - 60).into();
    let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    let launch = Launch::default().flag("-operator", operator.sign_by_identity_key(&claims));
    let server = launch.https(&cert, &key, client).start().await;
    let status = get(&server.http, "status").await;
    for (code, said) in
        [("operator_expiry", "expired at "), ("certificate_expiry", "expired at 2021-01-01 00:00:00 UTC")]
    {
        let (verdict, detail) = check(&status, code);
        assert!(verdict == "fail" && detail.contains(said), "{code}: {verdict}, {detail}");
    }
    let ends = &status["expires"];
    assert_eq!((&ends["operator"], &ends["certificate"]), (&claims["exp"], &1_609_459_200.into()));
    assert_eq!((&status["ready"], &ends["nats_user"]), (&true.into(), &Value::Null));
    server.http.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn replicas_are_listed_and_say_how_far_they_are() {
    let operator = Operator::new();
    let mut primary = Server::primary(&operator).await;
    let mirror = mirror(&operator, &primary).await;
    let cache = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__NAME", "c1").start().await;
    until("both are in sync", || async { get(&primary.http, "replicas").await["in_sync"] == 2 }).await;
    let replicas = get(&primary.http, "replicas").await;
    let followers = primary.http.get("/jwt/v1/followers").await.expect(200).json();
    let names = |page: &Value| -> Vec<Value> {
        page["followers"].as_array().unwrap().iter().map(|follower| follower["name"].clone()).collect()
    };
    assert_eq!((&replicas["session"], names(&replicas)), (&followers["session"], names(&followers)));
    assert!(names(&replicas).contains(&"c1".into()), "{replicas}");
    assert_eq!(get(&primary.http, "status").await["counts"]["replicas_in_sync"], 2);
    for (server, mode) in [(&mirror, "mirror"), (&cache, "cache")] {
        until("it is in sync", || async { get(&server.http, "status").await["in_sync"] == true }).await;
        let status = get(&server.http, "status").await;
        assert_eq!((&status["role"], &status["mode"]), (&"replica".into(), &mode.into()));
        let upstream = &status["upstream"];
        assert_eq!(
            (&upstream["url"], &upstream["behind_by"]),
            (&format!("{}/", primary.url).trim_end_matches('/').into(), &0.into())
        );
        assert_eq!((&upstream["following"], &upstream["ahead"]), (&true.into(), &0.into()));
        assert_eq!((&*check(&status, "in_sync").0, &status["writable"]), ("pass", &false.into()));
        assert_eq!(status["counts"]["accounts"].is_null(), mode == "cache");
    }
    primary.kill();
    until("the mirror notices", || async { get(&mirror.http, "status").await["upstream"]["following"] == false }).await;
    let status = get(&mirror.http, "status").await;
    assert_eq!((&status["in_sync"], &*check(&status, "in_sync").0), (&false.into(), "warning"));
    assert_eq!(status["ready"], true, "it serves what it has");
}
