//! What a change would mean for imports. The JWTs in `tests/data/nsc` are nsc's own.

use std::fs;

use nats_account_server::testkit::with;
use serde_json::{Value, json};

use super::{check, fits_its_schema};
use crate::support::{Account, Launch, Operator, Server, now, until};

/// A JWT that nsc made.
fn nsc(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/data/nsc/{name}.jwt", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Code, other account, type and subject of each effect, in one line each, sorted.
fn told(report: &Value) -> Vec<String> {
    let text = |effect: &Value, member: &str| effect[member].as_str().unwrap().to_owned();
    let mut told: Vec<String> = report["effects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|effect| {
            let (name, key) = (&effect["account"]["name"], &effect["account"]["key"]);
            let other = name.as_str().unwrap_or_else(|| &key.as_str().unwrap()[..4]).to_owned();
            format!("{} {other} {} {}", text(effect, "code"), text(effect, "type"), text(effect, "subject"))
        })
        .collect();
    told.sort();
    told
}

/// A primary with what nsc made.
async fn of_nsc() -> Server {
    let server = Launch::default().flag("-operator", nsc("operator")).start().await;
    for name in ["hub", "app", "shop", "kiosk"] {
        let report = check(&server.http, nsc(name)).await;
        assert_eq!(report["verdict"], "accepted", "{name}: {report}");
        let key = report["key"].as_str().unwrap();
        server.http.post(&format!("/jwt/v1/accounts/{key}"), nsc(name)).await.expect(200);
    }
    server
}

#[tokio::test]
async fn importers_that_lose_something_are_named() {
    let server = of_nsc().await;
    for (name, expected) in [
        ("hub-without-news", vec!["export_vanishes app stream news.eu", "export_vanishes shop stream news.>"]),
        ("hub-private-time", vec!["export_vanishes app service time.now"]),
        ("hub-revokes-app", vec!["export_vanishes app stream orders.*"]),
        ("hub-without-signing-key", vec!["export_vanishes shop stream orders.*"]),
        ("hub-described", vec![]),
        ("hub", vec![]),
    ] {
        let report = check(&server.http, nsc(name)).await;
        assert_eq!(told(&report), expected, "{name}: {report}");
        assert_eq!((&report["complete"], &report["more"]), (&true.into(), &0.into()));
        assert!(report["effects"].as_array().unwrap().iter().all(|effect| effect["breaks"] == true));
        fits_its_schema(&server.http, &report).await;
    }
    let report = check(&server.http, nsc("hub-revokes-app")).await;
    let text = report["effects"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("app (") && text.contains("has revoked the activation"), "{text}");
    let report = check(&server.http, nsc("hub-without-signing-key")).await;
    let text = report["effects"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("can no longer import the stream orders.*: hub (") && text.contains("does not list"),
        "{text}"
    );
}

#[tokio::test]
async fn imports_that_cannot_work_are_named() {
    let server = Launch::default().flag("-operator", nsc("operator")).start().await;
    // Nobody exports anything yet.
    let report = check(&server.http, nsc("kiosk")).await;
    assert!(report["effects"][0]["text"].as_str().unwrap().contains("not stored here"), "{report}");
    let report = check(&server.http, nsc("app")).await;
    assert_eq!(report["effects"].as_array().unwrap().len(), 4, "{report}");
    assert_eq!(report["effects"][0]["account"]["name"], Value::Null);
    let server = of_nsc().await;
    assert_eq!(told(&check(&server.http, nsc("kiosk")).await), ["import_unmatched hub stream weather.*"]);
    for name in ["app", "shop"] {
        let report = check(&server.http, nsc(name)).await;
        assert_eq!(told(&report), Vec::<String>::new(), "{name}");
        assert_eq!(report["order"]["decision"], "same");
    }
}

/// A primary with an account that exports `a.*` to those who have an activation, and one who imports it.
struct Private {
    operator: Operator,
    server: Server,
    exporter: Account,
    importer: Account,
}

impl Private {
    async fn new() -> Self {
        let operator = Operator::new();
        let server = Server::primary(&operator).await;
        let world = Self { operator, server, exporter: Account::named("hub"), importer: Account::named("app") };
        let claims = world.exporting(now() - 500, json!({}));
        world.server.http.post(&world.exporter.path(), world.operator.sign(&claims)).await.expect(200);
        world
    }

    fn exporting(&self, iat: i64, more: Value) -> Value {
        let export = json!({ "name": "x", "subject": "a.*", "type": "stream", "token_req": true });
        self.exporter.with_shares(iat, json!([with(export, more)]), json!([]))
    }

    /// The importer's JWT with an activation that has more claims.
    fn importing(&self, iat: i64, subject: &str, activation: Option<Value>) -> String {
        let mut import = json!({ "name": "x", "subject": subject, "type": "stream", "account": self.exporter.key() });
        if let Some(more) = activation {
            let claims = with(self.exporter.activation_claims(&self.importer, "a.*", now() - 300), more);
            import["token"] = self.exporter.sign(&claims).into();
        }
        self.operator.sign(&self.importer.with_shares(iat, json!([]), json!([import])))
    }
}

#[tokio::test]
async fn activations_of_the_new_version_are_judged() {
    let world = Private::new().await;
    let stranger = Account::new();
    let named = |account: &Account| json!({ "nats": { "issuer_account": account.key() } });
    let import = |more: Option<Value>| world.importing(now() - 100, "a.b", more);
    for (what, body, expected) in [
        ("a good one", import(Some(json!({}))), vec![]),
        ("none", import(None), vec!["activation_missing hub stream a.b"]),
        ("an expired one", import(Some(json!({ "exp": now() - 1 }))), vec!["activation_expired hub stream a.b"]),
        (
            "one that expires soon",
            import(Some(json!({ "exp": now() + 2 * 86_400 }))),
            vec!["activation_expiring hub stream a.b"],
        ),
        ("one that expires later", import(Some(json!({ "exp": now() + 4 * 86_400 }))), vec![]),
        ("one that names another account", import(Some(named(&stranger))), vec!["activation_invalid hub stream a.b"]),
        ("another subject", world.importing(now() - 100, "b.c", None), vec!["import_unmatched hub stream b.c"]),
    ] {
        let report = check(&world.server.http, body).await;
        assert_eq!(told(&report), expected, "{what}: {report}");
        let breaks = report["effects"][0]["breaks"].as_bool().unwrap_or_default();
        assert_eq!(breaks, !expected.is_empty() && !expected[0].starts_with("activation_expiring"), "{what}");
        fits_its_schema(&world.server.http, &report).await;
    }
    let revoking = world.exporting(now() - 50, json!({ "revocations": { "*": now() } }));
    world.server.http.post(&world.exporter.path(), world.operator.sign(&revoking)).await.expect(200);
    let report = check(&world.server.http, import(Some(json!({})))).await;
    assert_eq!(told(&report), ["activation_revoked hub stream a.b"]);
}

#[tokio::test]
async fn the_deletion_of_an_account_names_its_importers() {
    let world = Private::new().await;
    let jwt = world.importing(now() - 100, "a.b", Some(json!({})));
    world.server.http.post(&world.importer.path(), jwt).await.expect(200);
    let plain = Account::new();
    let both = world.operator.delete_request(&[&plain, &world.exporter], 1);
    let report = check(&world.server.http, both).await;
    assert_eq!((told(&report), &report["key"]), (vec!["export_vanishes app stream a.b".to_owned()], &Value::Null));
    assert!(report["effects"][0]["text"].as_str().unwrap().ends_with("would be deleted"), "{report}");
    // An importer that is gone loses nothing, and neither does one that was replaced.
    let without = world.operator.sign(&world.importer.claims(now() - 50));
    world.server.http.post(&world.importer.path(), without).await.expect(200);
    let request = world.operator.delete_request(&[&world.exporter], 1);
    assert_eq!(told(&check(&world.server.http, request.clone()).await), Vec::<String>::new());
    world.server.http.delete(&world.exporter.path(), request).await.expect(200);
    let report = check(&world.server.http, world.importing(now() - 20, "a.b", Some(json!({})))).await;
    assert_eq!(told(&report)[0].split(' ').next(), Some("import_unmatched"), "{report}");
}

#[tokio::test]
async fn many_importers_are_counted_where_they_are_too_many_to_list() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let exporter = Account::named("hub");
    let exports = json!([{ "name": "x", "subject": "a.>", "type": "stream" }]);
    server.http.post(&exporter.path(), operator.sign(&exporter.with_shares(now() - 500, exports, json!([])))).await;
    for number in 0..3 {
        let importer = Account::named(&format!("app{number}"));
        let imports: Vec<Value> = (0..400)
            .map(|at| json!({ "name": "x", "subject": format!("a.{at}"), "type": "stream", "account": exporter.key() }))
            .collect();
        let claims = importer.with_shares(now() - 400, json!([]), json!(imports));
        server.http.post(&importer.path(), operator.sign(&claims)).await.expect(200);
    }
    let report = check(&server.http, operator.account(&exporter, 10)).await;
    let listed = report["effects"].as_array().unwrap().len();
    assert_eq!((listed, &report["more"], &report["complete"]), (1000, &200.into(), &true.into()));
}

#[tokio::test]
async fn a_mirror_answers_as_its_primary_does_and_a_cache_names_it() {
    let server = of_nsc().await;
    let replica = |mode| {
        Launch::default()
            .flag("-operator", nsc("operator"))
            .flag("-primary", &server.url)
            .env("NAS_REPLICA__MODE", mode)
            .start()
    };
    let (mirror, cache) = (replica("mirror").await, replica("cache").await);
    until("the mirror is in sync", || async { mirror.http.get("/api/v1/status").await.json()["in_sync"] == true })
        .await;
    for name in ["hub-without-news", "hub-revokes-app", "hub", "kiosk"] {
        let (one, other) = (check(&mirror.http, nsc(name)).await, check(&server.http, nsc(name)).await);
        assert_eq!(told(&one), told(&other), "{name}");
        assert_eq!((&one["verdict"], &one["order"]), (&other["verdict"], &other["order"]), "{name}");
    }
    let refused = cache.http.post(super::ROUTE, nsc("hub")).await.expect(404).json();
    assert_eq!(refused["code"], "cache");
    assert!(refused["detail"].as_str().unwrap().contains(&server.url), "{refused}");
}
