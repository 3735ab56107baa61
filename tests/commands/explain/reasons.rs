//! Every reason for which a nats-server refuses a user, with real nats-servers that ask a primary.

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{VERSIONS, codes, document};
use crate::support::login::login;
use crate::support::mint::User;
use crate::support::{Account, Launch, NatsLaunch, NatsServer, Operator, now};

/// An account, a user of it, and what should become of the user.
struct Case {
    what: &'static str,
    account: Account,
    /// What is stored of the account; null: nothing.
    claims: Value,
    user: User,
    /// The check that refuses the user; `None`: it is accepted.
    code: Option<&'static str>,
}

/// A case whose account has further claims, and whose user does, too.
fn case(what: &'static str, of_account: &Value, of_user: Value, code: Option<&'static str>) -> Case {
    let account = Account::named("app");
    let user = account.user_claiming(of_user, None);
    Case { what, claims: merged(account.claims(now() - 100), of_account), account, user, code }
}

fn merged(claims: Value, more: &Value) -> Value {
    nats_account_server::testkit::with(claims, more.clone())
}

/// A case of a user that a signing key issued. `listed`: whether its account lists that key.
fn by_signing_key(
    what: &'static str,
    scope: Option<Value>,
    listed: bool,
    own: Value,
    code: Option<&'static str>,
) -> Case {
    let (account, key) = (Account::named("app"), KeyPair::new_account());
    let entry = match scope {
        Some(template) => {
            json!({ "kind": "user_scope", "key": key.public_key(), "role": "worker", "template": template })
        }
        None => json!(key.public_key()),
    };
    let mut claims = account.claims(now() - 100);
    claims["nats"]["signing_keys"] = if listed { json!([entry]) } else { json!([]) };
    Case { what, user: account.user_claiming(own, Some(&key)), claims, account, code }
}

/// Limits of a user that has none of its own, as users of scoped keys must be.
fn bare(more: &Value) -> Value {
    merged(json!({ "nats": { "subs": 0, "data": 0, "payload": 0 } }), more)
}

fn time(seconds: i64) -> String {
    let second = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

fn nats(more: Value) -> Value {
    json!({ "nats": more })
}

fn times(zone: &str, start: i64, end: i64) -> Value {
    nats(json!({ "times": [{ "start": time(start), "end": time(end) }], "times_location": zone }))
}

fn cases() -> Vec<Case> {
    let (none, now) = (json!({}), now());
    let mut cases = vec![
        case("plain", &none, json!({}), None),
        case("expired user", &none, json!({ "exp": now - 10 }), Some("user_time")),
        case("user that expires later", &none, json!({ "exp": now + 3600 }), None),
        case("user not yet valid", &none, json!({ "nbf": now + 3600 }), Some("user_time")),
        case("user with broken claims", &none, nats(json!({ "pub": { "allow": ["a..b"] } })), Some("user_claims")),
        case("user in no time zone", &none, times("Nowhere/Else", 0, 86_399), Some("user_claims")),
        case("everybody revoked", &nats(json!({ "revocations": { "*": now } })), json!({}), Some("revocation")),
        case("everybody revoked before", &nats(json!({ "revocations": { "*": now - 61 } })), json!({}), None),
        case("bearer", &none, nats(json!({ "bearer_token": true })), None),
        case(
            "bearer disallowed",
            &nats(json!({ "limits": { "disallow_bearer": true } })),
            nats(json!({ "bearer_token": true })),
            Some("bearer"),
        ),
        case("other network", &none, nats(json!({ "src": ["10.0.0.0/8", "::1/128"] })), Some("source")),
        case("own network", &none, nats(json!({ "src": ["10.0.0.0/8", "127.0.0.9/8"] })), None),
        case("all day", &none, times("UTC", 0, 86_399), None),
        case("other time", &none, times("UTC", now + 7200, now + 10_800), Some("times")),
        case("other time there", &none, times("Asia/Kolkata", now + 27_000, now + 30_600), Some("times")),
        case(
            "WebSocket only",
            &none,
            nats(json!({ "allowed_connection_types": ["WEBSOCKET"] })),
            Some("connection_type"),
        ),
        case(
            "unknown type only",
            &none,
            nats(json!({ "allowed_connection_types": ["PIGEON"] })),
            Some("connection_type"),
        ),
        case("both types", &none, nats(json!({ "allowed_connection_types": ["WEBSOCKET", "standard"] })), None),
        case("no connections", &nats(json!({ "limits": { "conn": 0 } })), json!({}), Some("connections")),
        by_signing_key("signing key", None, true, json!({}), None),
        by_signing_key("signing key removed", None, false, json!({}), Some("signing_key")),
        by_signing_key("scope", Some(json!({ "pub": { "allow": ["a"] } })), true, bare(&json!({})), None),
        by_signing_key("scope and own limits", Some(json!({})), true, json!({}), Some("scope")),
        by_signing_key(
            "scope and own permissions",
            Some(json!({})),
            true,
            bare(&nats(json!({ "pub": { "allow": ["a"] } }))),
            Some("scope"),
        ),
        by_signing_key(
            "scope with another network",
            Some(json!({ "src": ["10.0.0.0/8"] })),
            true,
            bare(&json!({})),
            Some("source"),
        ),
        by_signing_key(
            "scope that denies by a missing tag",
            Some(json!({ "pub": { "deny": ["{{tag(team)}}.x"] } })),
            true,
            bare(&json!({})),
            Some("scope"),
        ),
        by_signing_key(
            "scope that denies by a tag",
            Some(json!({ "pub": { "deny": ["{{tag(team)}}.x"] } })),
            true,
            bare(&nats(json!({ "tags": ["team:red"] }))),
            None,
        ),
    ];
    let account = Account::named("app");
    let (user, other) = (account.user(), account.user());
    let claims = merged(account.claims(now - 100), &nats(json!({ "revocations": { user.key(): now } })));
    cases.push(Case { what: "user revoked", user, claims, account, code: Some("revocation") });
    let account = Account::named("app");
    let claims = merged(account.claims(now - 100), &nats(json!({ "revocations": { other.key(): now } })));
    cases.push(Case { what: "other user revoked", user: account.user(), claims, account, code: None });
    let account = Account::named("app");
    cases.push(Case { what: "unknown", user: account.user(), claims: Value::Null, account, code: Some("account") });
    cases
}

/// Whether the nats-server accepts the user, and what `explain` says, which must be the same.
async fn compare(what: &str, user: &User, nats: &NatsServer, folder: &std::path::Path, args: &[&str]) -> Value {
    let (document, status) = document(folder, user, &[args, &["--from", "127.0.0.1"]].concat()).await;
    let session = login(nats.address(), user).await;
    let expected = if session.is_ok() { ("accepted", 0) } else { ("refused", 1) };
    assert_eq!((document["verdict"].as_str().unwrap(), status), expected, "{what}: {document:#}\n{}", nats.log());
    document
}

#[tokio::test]
async fn the_verdict_is_what_a_nats_server_does() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    // An expired account is stored if it is in the folder at the start.
    let (store, expired) = (tempfile::tempdir().unwrap(), Account::named("expired"));
    let jwt = operator.sign(&merged(expired.claims(now() - 100), &json!({ "exp": now() - 10 })));
    std::fs::write(store.path().join(format!("{}.jwt", expired.key())), jwt).unwrap();
    let primary = Launch::primary(&operator).dir(store.path()).start().await;
    primary.http.post(&operator.system().path(), operator.account(operator.system(), 100)).await.expect(200);
    let mut cases = cases();
    cases.push(Case {
        what: "account expired",
        user: expired.user(),
        claims: Value::Null,
        account: expired,
        code: Some("account_time"),
    });
    for case in &cases {
        if !case.claims.is_null() {
            primary.http.post(&case.account.path(), operator.sign(&case.claims)).await.expect(200);
        }
    }
    let deleted = Account::named("deleted");
    primary.http.post(&deleted.path(), operator.account(&deleted, 100)).await.expect(200);
    primary.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 0)).await.expect(200);
    cases.push(Case {
        what: "account deleted",
        user: deleted.user(),
        claims: Value::Null,
        account: deleted,
        code: Some("account"),
    });

    for version in VERSIONS {
        let nats = NatsServer::start(version, &operator, &primary.url).await;
        for case in &cases {
            let document = compare(case.what, &case.user, &nats, folder.path(), &["--url", &primary.url]).await;
            let failed = codes(&document, "fail");
            assert_eq!(failed, case.code.into_iter().collect::<Vec<_>>(), "{}: {document:#}", case.what);
            assert_eq!(document["reason"]["code"].as_str(), case.code, "{}", case.what);
            for check in document["checks"].as_array().unwrap() {
                let code = format!("`{}`", check["code"].as_str().unwrap());
                assert!(include_str!("../../../docs/explain.md").contains(&code), "{code} is not on the page");
            }
        }
    }
}

/// A nats-server takes accounts from its own configuration, and `explain` reads the same ones in a folder.
#[tokio::test]
async fn an_operator_demands_its_signing_keys_and_refuses_the_accounts_of_others() {
    let (operator, other, folder) = (Operator::strict(), Operator::new(), tempfile::tempdir().unwrap());
    let accounts = ["ours", "theirs", "of the identity key"].map(Account::named);
    let ([ours, theirs, ours_by_identity], key) = (&accounts, KeyPair::new_account());
    let jwts = [
        operator.sign(&ours.with_signing_key(now() - 100, &key)),
        other.account(theirs, 100),
        operator.sign_by_identity_key(&ours_by_identity.claims(now() - 100)),
        operator.account(operator.system(), 100),
    ];
    let mut preload = String::new();
    for (account, jwt) in accounts.iter().chain([operator.system()]).zip(&jwts) {
        std::fs::write(folder.path().join(format!("{}.jwt", account.key())), jwt).unwrap();
        preload.push_str(&format!("{}: {jwt}\n", account.key()));
    }
    let operator_file = folder.path().join("operator.jwt");
    std::fs::write(&operator_file, operator.jwt()).unwrap();
    let args = ["-dir", folder.path().to_str().unwrap(), "-operator", operator_file.to_str().unwrap()];
    for version in VERSIONS {
        let lines = format!("resolver: MEMORY\nresolver_preload {{ {preload} }}");
        let nats = NatsLaunch::new(version, &operator).with(&lines).start().await;
        let users = tempfile::tempdir().unwrap();
        for (user, code) in [
            // Such an operator wants signing keys on every level.
            (ours.user_of(&key), None),
            (ours.user(), Some("signing_key")),
            (theirs.user(), Some("account_signature")),
            (ours_by_identity.user(), Some("account_signature")),
        ] {
            let document = compare("strict", &user, &nats, users.path(), &args).await;
            assert_eq!(document["reason"]["code"].as_str(), code, "{document:#}");
        }
    }
}
