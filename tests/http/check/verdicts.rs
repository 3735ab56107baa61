//! Whatever a check says, a push of the same body says as well.

use std::fs;

use nats_account_server::testkit::{self, sign, with};
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{check, decision, fits_its_schema, lines};
use crate::support::{Account, Launch, Operator, Server, free_address, now};

/// What a server has counted and committed.
async fn counted(server: &Server) -> (f64, f64, Value) {
    let status = server.http.get("/api/v1/status").await.expect(200).json();
    (
        server.http.metric("accepted_total", "").await,
        server.http.metric("refused_total", "").await,
        status["position"].clone(),
    )
}

/// Checks a body, then sends it with this method to this path. Both have one verdict, and the check leaves no trace.
async fn agreed(server: &Server, (method, path): (&str, &str), body: &str, what: &str) -> Value {
    let before = counted(server).await;
    let report = check(&server.http, body.to_owned()).await;
    assert_eq!(counted(server).await, before, "{what}: the check left a trace");
    let request = server.http.request(method, path).body(body.to_owned()).send().await.unwrap();
    let (status, text) = (request.status().as_u16(), request.text().await.unwrap());
    let said: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if status == 200 {
        assert_eq!((&report["verdict"], &report["code"]), (&"accepted".into(), &Value::Null), "{what}: {report}");
        assert_eq!(report["text"], json!([]), "{what}");
        let is_change = counted(server).await.2 != before.2;
        assert_eq!(is_change, decision(&report) != "same", "{what}: {report}");
    } else {
        assert!((400..500).contains(&status), "{what}: {status} {text}");
        assert_eq!((&report["verdict"], &report["text"]), (&"rejected".into(), &json!(said)), "{what}: {report}");
        let code = report["code"].as_str().unwrap();
        let refused = server.http.metric("refused_total", &format!("reason=\"{code}\"")).await;
        assert!(refused >= 1.0 && before.1 + 1.0 == counted(server).await.1, "{what}: {code}");
    }
    report
}

async fn push(server: &Server, account: &Account, body: &str, what: &str) -> Value {
    agreed(server, ("POST", &account.path()), body, what).await
}

#[tokio::test]
async fn every_order_of_versions_is_decided_as_a_push_decides_it() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let (account, iat) = (Account::named("app"), now() - 1_000);
    let version = |iat: i64, connections: i64| operator.sign(&account.with_connections(iat, connections));
    let first = version(iat, 1);
    let cases = [
        ("the first one", first.clone(), "new"),
        ("the same again", first.clone(), "same"),
        ("the same with white space", format!("{first}\r\n"), "same"),
        ("an older one", version(iat - 5, 2), "older"),
        ("a newer one", version(iat + 5, 3), "newer"),
        ("another one of the same second", version(iat + 5, 4), "newer"),
        ("the one that was replaced in this second", version(iat + 5, 3), "replaced"),
        ("the first one again", first, "older"),
    ];
    for (what, body, expected) in cases {
        let report = push(&server, &account, &body, what).await;
        assert_eq!(decision(&report), expected, "{what}: {report}");
        fits_its_schema(&server.http, &report).await;
    }
    let report = check(&server.http, version(iat + 6, 40)).await;
    let shown = server.http.get(&format!("/api/v1/accounts/{}", account.key())).await.json();
    let stored = &report["order"]["stored"];
    assert_eq!((&stored["serial"], &stored["iat"]), (&shown["serial"], &shown["iat"]));
    assert_eq!(stored["identity"], shown["identity"]);
    assert_eq!(report["diff"]["text"], json!(["connections 4 → 40"]));
    assert_eq!((&report["key"], &report["name"]), (&account.key().into(), &"app".into()));
    // A second that is full.
    for connections in 100..162 {
        server.http.post(&account.path(), version(iat + 5, connections)).await.expect(200);
    }
    let report = push(&server, &account, &version(iat + 5, 500), "one too many of a second").await;
    assert_eq!(decision(&report), "second_full");
    // A deletion, what came before it, and what comes after.
    let request = operator.delete_request_at(&[&account], iat + 4);
    let report = agreed(&server, ("DELETE", &account.path()), &request, "a request that is too old").await;
    assert_eq!((&report["kind"], decision(&report)), (&"delete_request".into(), "older"));
    let request = operator.delete_request_at(&[&account], iat + 20);
    for (what, expected) in [("a request", "newer"), ("the same request", "same")] {
        let report = agreed(&server, ("DELETE", &account.path()), &request, what).await;
        assert_eq!((&report["key"], decision(&report)), (&account.key().into(), expected), "{what}");
    }
    for (iat, expected) in [(iat + 20, "deleted"), (iat + 21, "newer")] {
        let report = push(&server, &account, &version(iat, 9), "after the deletion").await;
        assert_eq!(decision(&report), expected);
        assert!(report["order"]["stored"].is_object(), "the version that was deleted is still known");
    }
}

#[tokio::test]
async fn what_no_push_may_bring_is_rejected_in_the_same_words() {
    let operator = Operator::strict();
    let server = Server::primary(&operator).await;
    let account = Account::new();
    let claims = |more: Value| operator.sign(&with(account.claims(now() - 100), more));
    let forged = {
        let mut jwt = claims(json!({}));
        let at = jwt.len() - 20;
        jwt.replace_range(at..=at, if jwt.as_bytes()[at] == b'A' { "B" } else { "A" });
        jwt
    };
    let import = json!({ "name": "x", "subject": "a..b", "account": "X", "type": "stream" });
    for (what, body, code) in [
        ("garbage", "hello".to_owned(), "undecodable"),
        ("a forged signature", forged, "undecodable"),
        ("two tokens", format!("{0}\n{0}", claims(json!({}))), "undecodable"),
        ("a foreign operator's", Operator::new().account(&account, 100), "untrusted"),
        ("the identity key's", operator.sign_by_identity_key(&account.claims(now() - 100)), "identity_key"),
        ("its own", account.sign(&account.claims(now() - 100)), "issuer_kind"),
        ("another account's", Account::new().sign(&account.claims(now() - 100)), "issuer_kind"),
        ("an expired one", claims(json!({ "exp": now() - 50 })), "time"),
        ("one that is not valid yet", claims(json!({ "nbf": now() + 5_000 })), "time"),
        ("one with a bad rule", claims(json!({ "nats": { "imports": [import] } })), "invalid"),
        ("one from the future", claims(json!({ "iat": now() + 7_230 })), "future"),
    ] {
        let report = push(&server, &account, &body, what).await;
        assert_eq!((&report["code"], &report["order"]), (&code.into(), &Value::Null), "{what}: {report}");
        fits_its_schema(&server.http, &report).await;
    }
    let key = operator.system().key();
    let path = operator.system().path();
    for (what, body, code) in [
        ("another operator's request", Operator::new().delete_request(&[operator.system()], 1), "untrusted"),
        ("a request for the system account", operator.delete_request(&[operator.system()], 1), "system_account"),
        (
            "a request for something else",
            operator
                .sign_as_its_own(with(account.claims(now()), json!({ "nats": { "type": "x", "accounts": ["Z"] } }))),
            "malformed",
        ),
    ] {
        let report = agreed(&server, ("DELETE", &path), &body, what).await;
        assert_eq!(report["code"], code, "{what}: {report} {key}");
    }
}

#[tokio::test]
async fn a_signer_that_was_withdrawn_is_rejected_and_what_it_signed_gives_way() {
    let operator = Operator::new();
    let (kept, withdrawn) = (KeyPair::new_operator(), KeyPair::new_operator());
    let server = Launch::default().flag("-operator", operator.listing(&[&kept, &withdrawn], 5_000)).start().await;
    let account = Account::new();
    let version = |iat: i64, key: &KeyPair| sign(&account.claims(iat), key);
    server.http.post(&account.path(), version(now() - 100, &withdrawn)).await.expect(200);
    server.http.post("/jwt/v1/operator?withhold=1", operator.listing(&[&kept], 3_000)).await.expect(200);
    let report = push(&server, &account, &version(now() - 50, &withdrawn), "the withdrawn key's").await;
    assert_eq!(report["code"], "untrusted");
    // Older than what is withheld, and later than the JWT that withdrew its signer.
    let report = push(&server, &account, &version(now() - 500, &kept), "the kept key's").await;
    assert_eq!(decision(&report), "newer", "{report}");
}

#[tokio::test]
async fn activations_are_judged_as_a_push_judges_them() {
    let operator = Operator::new();
    let launch = Launch::primary(&operator).env("NAS_STORE__ACTIVATIONS_PER_ACCOUNT", "2");
    let server = launch.start().await;
    let (exporter, importer, stranger) = (Account::named("exporter"), Account::named("importer"), Account::new());
    let export = json!([{ "name": "x", "subject": "a.>", "type": "stream", "token_req": true,
                          "revocations": { stranger.key(): now() } }]);
    let jwt = operator.sign(&exporter.with_shares(now() - 1_000, export, json!([])));
    let activation = |subject: &str, age: i64| exporter.activation(&importer, subject, age);
    let by_stranger = {
        let named = json!({ "nats": { "issuer_account": exporter.key() } });
        stranger.sign(&with(exporter.activation_claims(&importer, "a.b", now() - 10), named))
    };
    let route = ("POST", "/jwt/v1/activations");
    let report = agreed(&server, route, &activation("a.b", 100), "before its account is known").await;
    assert_eq!((&report["kind"], &report["code"]), (&"activation".into(), &"unknown_account".into()));
    server.http.post(&exporter.path(), jwt).await.expect(200);
    for (what, body, code, expected) in [
        ("the first", activation("a.b", 100), Value::Null, "new"),
        ("the same", activation("a.b", 100), Value::Null, "same"),
        ("an older one", activation("a.b", 200), "older".into(), "older"),
        ("a newer one", activation("a.b", 50), Value::Null, "newer"),
        ("a second one", activation("a.c", 50), Value::Null, "new"),
        ("one too many", activation("a.d", 50), "quota".into(), ""),
        ("one of a revoked importer", exporter.activation(&stranger, "a.b", 50), "revoked".into(), ""),
        ("a stranger's", by_stranger, "untrusted".into(), ""),
        (
            "an expired one",
            exporter.sign(&with(exporter.activation_claims(&importer, "a.b", now() - 90), json!({ "exp": now() - 5 }))),
            "time".into(),
            "",
        ),
    ] {
        let report = agreed(&server, route, &body, what).await;
        assert_eq!((&report["code"], decision(&report)), (&code, expected), "{what}: {report}");
        fits_its_schema(&server.http, &report).await;
    }
}

#[tokio::test]
async fn what_the_signing_service_would_be_asked_is_undecided() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let creds = folder.path().join("system.creds");
    fs::write(&creds, operator.system().user().creds()).unwrap();
    let launch = Launch::primary(&operator).nats(&format!("nats://{}", free_address()), &creds);
    let server = launch.env("NAS_NATS__SIGN_REQUEST_SUBJECT", "sign.accounts").start().await;
    let account = Account::new();
    let by = |signer: &Account, age: i64| signer.sign(&account.claims(now() - age));
    let before = counted(&server).await;
    let report = check(&server.http, by(&account, 10)).await;
    assert_eq!((&report["verdict"], &report["code"]), (&"undecided".into(), &"signing_service".into()), "{report}");
    fits_its_schema(&server.http, &report).await;
    let report = check(&server.http, by(&Account::new(), 10)).await;
    assert_eq!((&report["verdict"], &report["code"]), (&"rejected".into(), &"issuer_kind".into()), "{report}");
    assert_eq!(counted(&server).await, before, "nothing was sent or counted");
    server.http.post(&account.path(), operator.account(&account, 100)).await.expect(200);
    let report = check(&server.http, by(&account, 5_000)).await;
    assert_eq!((&report["verdict"], decision(&report)), (&"rejected".into(), "older"), "{report}");
}

/// What is read of a report. Some vectors have lists that are nested too deeply to be read as any JSON.
#[derive(Debug, serde::Deserialize)]
struct Judged {
    key: Option<String>,
    verdict: String,
    text: Vec<String>,
}

#[tokio::test]
async fn every_vector_has_the_verdict_of_a_push() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let keys: Value = serde_json::from_str(&fs::read_to_string(format!("{data}/keys.json")).unwrap()).unwrap();
    let seed = keys.as_array().unwrap().iter().find(|key| key["name"] == "O").unwrap()["seed"].as_str().unwrap();
    let pair = KeyPair::from_seed(seed).unwrap();
    let operator = sign(&testkit::operator(&pair, 1_000_000_000, &[]), &pair);
    let start = || Launch::default().flag("-operator", &operator).start();
    let (mut server, mut accepted, mut rejected) = (start().await, 0, 0);
    for line in fs::read_to_string(format!("{data}/accounts.jsonl")).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(token) = line["token"].as_str() else { continue };
        let reply = server.http.post(super::ROUTE, token.to_owned()).await;
        if reply.status != 200 {
            // It is no account JWT, and says so.
            let code = &reply.expect(400).json()["code"];
            assert!(*code == "bad_kind" || *code == "no_jwt" || *code == "private_key", "{}: {code}", line["id"]);
            continue;
        }
        let report: Judged = serde_json::from_str(&reply.body).unwrap();
        let Some(key) = &report.key else {
            assert_eq!(report.verdict, "rejected", "{}: {report:?}", line["id"]);
            rejected += 1;
            continue;
        };
        let pushed = server.http.post(&format!("/jwt/v1/accounts/{key}"), token.to_owned()).await;
        let is_accepted = pushed.status == 200;
        assert_eq!(report.verdict, if is_accepted { "accepted" } else { "rejected" }, "{}: {report:?}", line["id"]);
        if !is_accepted {
            assert_eq!(report.text, lines(&pushed), "{}", line["id"]);
        }
        *(if is_accepted { &mut accepted } else { &mut rejected }) += 1;
        if is_accepted && accepted % 60 == 0 {
            // The vectors are all of one second, which holds 64 versions.
            server = start().await;
        }
    }
    assert!(accepted > 100 && rejected > 300, "{accepted} {rejected}");
}
