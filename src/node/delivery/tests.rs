//! Which changes are reported, by release, and what they take away.

use serde_json::{Value, json};

use super::live::{Claim, not_live};
use super::release::Release;
use super::withdrawn::Withdrawn;
use crate::jwt::claims::Revocations;
use crate::jwt::{Account, AccountJwt};
use crate::testkit;

/// An account with these claims beside limits that are all open.
fn account(claims: Value) -> Account {
    let (operator, subject) = (nkeys::KeyPair::new_operator(), nkeys::KeyPair::new_account());
    let token = testkit::sign(&testkit::with(testkit::account(&subject, 1), json!({ "nats": claims })), &operator);
    AccountJwt::decode(&token).unwrap().body
}

fn labels(before: &Account, after: &Account, version: &str) -> Vec<&'static str> {
    not_live(before, after, version).iter().map(|found| found.claim.label()).collect()
}

/// The releases of the table below, and one that is unknown.
const VERSIONS: [&str; 9] =
    ["2.9.10", "2.10.0", "2.10.16", "2.10.26", "2.11.11", "2.12.8", "2.12.12", "2.15.1", "2.16.0-dev"];

/// Before, after, the label, and by release (see above) whether connected clients miss it: `x` they do.
fn table() -> Vec<(Value, Value, &'static str, &'static str)> {
    let none = json!({});
    let denied = json!({ "default_permissions": { "pub": { "deny": ["a"] } } });
    let called = json!({ "authorization": { "auth_users": ["U1"], "allowed_accounts": ["A1"] } });
    let called_else = json!({ "authorization": { "auth_users": ["U1"], "allowed_accounts": ["A2"] } });
    let service = |more: Value| {
        let mut export = json!({ "subject": "s", "type": "service" });
        export.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "exports": [export] })
    };
    let import = |traced: bool| json!({ "imports": [{ "account": "A1", "subject": "s", "type": "stream", "allow_trace": traced }] });
    vec![
        (none.clone(), denied.clone(), "default_permissions", "xxxxxx..x"),
        (denied.clone(), none.clone(), "default_permissions", "xxxxxx..x"),
        (denied, json!({ "default_permissions": { "pub": { "deny": ["b"] } } }), "default_permissions", "xxxxxx..x"),
        (none.clone(), called.clone(), "authorization", "xxxxxxxxx"),
        (called.clone(), called_else, "authorization", "xxxxxxxxx"),
        (called.clone(), none.clone(), "authorization", "xxxxxxxxx"),
        (called, none.clone(), "authorization_removed", ".xxxxx..x"),
        (none.clone(), json!({ "revocations": { "U1": 9 } }), "revocations", ".xx.....x"),
        (none.clone(), json!({ "limits": { "leaf": 3 } }), "limits.leaf", "xxxxxxxxx"),
        (json!({ "limits": { "leaf": 3 } }), json!({ "limits": { "leaf": 0 } }), "limits.leaf", "xxxxxxxxx"),
        (json!({ "limits": { "leaf": 3 } }), none.clone(), "limits.leaf", "........."),
        (none.clone(), json!({ "limits": { "data": 3 } }), "limits.data", "xxxxxxxxx"),
        (service(json!({})), service(json!({ "response_type": "Stream" })), "exports.response_type", "xxxxxxxxx"),
        (service(json!({})), service(json!({ "response_type": "Singleton" })), "exports.response_type", "........."),
        (none.clone(), service(json!({ "response_type": "Stream" })), "exports.response_type", "........."),
        (service(json!({})), service(json!({ "response_threshold": 5 })), "exports.response_threshold", "xxxxxxxxx"),
        (none.clone(), service(json!({ "response_threshold": 5 })), "exports.response_threshold", "xxxxxxxxx"),
        (service(json!({ "response_threshold": 5 })), none.clone(), "exports.response_threshold", "........."),
        (service(json!({})), service(json!({ "allow_trace": true })), "allow_trace", "xxxx....x"),
        (import(false), import(true), "allow_trace", "xxxx....x"),
        (none.clone(), json!({ "trace": { "dest": "t" } }), "trace", "xxxx....x"),
        (none.clone(), json!({ "cluster_traffic": "owner" }), "cluster_traffic", "xxxx....x"),
        (none, json!({ "cluster_traffic": "system" }), "cluster_traffic", "........."),
    ]
}

#[test]
fn a_changed_claim_is_reported_for_the_releases_that_do_not_apply_it() {
    let rows = table();
    for (before, after, label, missed) in &rows {
        let (was, is) = (account(before.clone()), account(after.clone()));
        for (version, missed) in VERSIONS.into_iter().zip(missed.chars()) {
            let found = labels(&was, &is, version);
            assert_eq!(found.contains(label), missed == 'x', "{version}: {before} to {after}: {found:?}");
        }
    }
    for claim in Claim::ALL {
        assert!(rows.iter().any(|(_, _, label, _)| *label == claim.label()), "no row for {}", claim.label());
    }
}

#[test]
fn what_every_release_applies_is_never_reported() {
    let service = |more: &str| json!({ "exports": [{ "subject": "s", "type": "service", "name": more }] });
    for (before, after) in [
        (json!({}), json!({})),
        (json!({}), json!({ "limits": { "conn": 1, "subs": 5, "payload": 9, "disallow_bearer": true } })),
        (json!({}), json!({ "limits": { "mem_storage": 5, "disk_storage": 7, "streams": 3, "consumer": 2 } })),
        (json!({}), json!({ "limits": { "tiered_limits": { "R1": { "disk_storage": 5 } } } })),
        (json!({ "signing_keys": ["A1"] }), json!({})),
        (json!({}), json!({ "mappings": { "a": [{ "subject": "b" }] } })),
        (json!({}), service("a")),
        (service("a"), json!({})),
        (service("a"), service("b")),
        (json!({ "revocations": { "U1": 9 } }), json!({})),
        (json!({ "revocations": { "U1": 9 } }), json!({ "revocations": { "U1": 9, "U2": 0, "*": 0 }, "tags": ["x"] })),
    ] {
        let (was, is) = (account(before), account(after));
        let new = ["2.9.10", "2.12.8", "2.15.1", "2.99.0"].map(|version| labels(&was, &is, version));
        assert!(new.iter().all(Vec::is_empty), "{is:?}: {new:?}");
    }
}

#[test]
fn people_read_what_happens_from_which_release_on_and_whether_that_is_certain() {
    let (none, denied) = (account(json!({})), account(json!({ "default_permissions": { "sub": { "deny": ["a"] } } })));
    let text = |version| not_live(&none, &denied, version)[0].to_string();
    let known = "default_permissions: connected clients keep the default permissions that they got at login; \
                 live from 2.12.12 and 2.14.3";
    assert_eq!(text("2.12.8"), known);
    for unknown in ["", "2.14.3-RC.1", "2.16.0-dev", "banana"] {
        assert_eq!(text(unknown), format!("{known}; the release is unknown and judged as the worst known one"));
    }
    let leaf = not_live(&none, &account(json!({ "limits": { "leaf": 0 } })), "2.15.1");
    assert_eq!(leaf[0].to_string(), "limits.leaf: connected leafnodes stay; the nats-server only rejects new ones");
    assert_eq!(Claim::Trace.live_from(), [Release::parse("2.11.0").unwrap()]);
}

#[test]
fn labels_are_different() {
    let labels: std::collections::BTreeSet<_> = Claim::ALL.iter().map(|claim| claim.label()).collect();
    assert_eq!(labels.len(), Claim::ALL.len());
}

#[test]
fn what_is_withdrawn() {
    let revoked =
        |list: &[(&str, i64)]| list.iter().map(|&(key, until)| (key.to_owned(), until)).collect::<Revocations>();
    let revoking = |revoked| Withdrawn { revoked, ..Withdrawn::default() };
    let connections = |n| Withdrawn { connections: Some(n), ..Withdrawn::default() };
    let conn = |n: i64| json!({ "limits": { "conn": n } });
    let scoped = |role: &str| json!({ "kind": "user_scope", "key": "A1", "role": role, "template": {} });
    for (before, after, wanted) in [
        (json!({}), json!({}), Withdrawn::default()),
        (json!({}), json!({ "revocations": { "U1": 5, "*": 3 } }), revoking(revoked(&[("U1", 5), ("*", 3)]))),
        (json!({ "revocations": { "U1": 5 } }), json!({ "revocations": { "U1": 5 } }), Withdrawn::default()),
        (json!({ "revocations": { "U1": 5 } }), json!({}), Withdrawn::default()),
        (json!({ "revocations": { "U1": 5 } }), json!({ "revocations": { "U1": 4 } }), Withdrawn::default()),
        (json!({ "revocations": { "U1": 5 } }), json!({ "revocations": { "U1": 6 } }), revoking(revoked(&[("U1", 6)]))),
        // A user that was revoked with all others loses nothing by being named.
        (json!({ "revocations": { "*": 5 } }), json!({ "revocations": { "*": 5, "U1": 5 } }), Withdrawn::default()),
        (
            json!({ "revocations": { "*": 5 } }),
            json!({ "revocations": { "*": 5, "U1": 6 } }),
            revoking(revoked(&[("U1", 6)])),
        ),
        (json!({ "revocations": { "U1": 5 } }), json!({ "revocations": { "*": 5 } }), revoking(revoked(&[("*", 5)]))),
        (conn(-1), conn(7), connections(7)),
        (conn(7), conn(0), connections(0)),
        (conn(7), conn(7), Withdrawn::default()),
        (conn(7), conn(8), Withdrawn::default()),
        (conn(7), conn(-1), Withdrawn::default()),
        (
            json!({ "signing_keys": ["A1", "A2"] }),
            json!({ "signing_keys": ["A2", "A3"] }),
            Withdrawn { signing_keys: vec!["A1".into()], ..Withdrawn::default() },
        ),
        (
            json!({ "signing_keys": [scoped("r"), "A2"] }),
            json!({ "signing_keys": ["A2"] }),
            Withdrawn { signing_keys: vec!["A1".into()], ..Withdrawn::default() },
        ),
        (
            json!({ "signing_keys": [scoped("r"), "A2"] }),
            json!({ "signing_keys": [scoped("s"), "A2"] }),
            Withdrawn { rescoped_keys: vec!["A1".into()], ..Withdrawn::default() },
        ),
        (
            json!({ "signing_keys": ["A1"] }),
            json!({ "signing_keys": [scoped("s")] }),
            Withdrawn { rescoped_keys: vec!["A1".into()], ..Withdrawn::default() },
        ),
    ] {
        let found = Withdrawn::between(&account(before.clone()), &account(after.clone()));
        assert_eq!(found, wanted, "{before} to {after}");
        assert_eq!(found.is_empty(), wanted == Withdrawn::default());
    }
}
