use serde_json::json;

use super::*;

/// The paths of a difference, each with a sign for its kind, and the words.
fn told(from: &Value, to: &Value) -> (Vec<String>, Vec<String>) {
    let found = diff(from, to);
    let sign = |change: &ClaimChange| match change.kind {
        ClaimChangeKind::Changed => format!("~{}", change.path),
        ClaimChangeKind::Added => format!("+{}", change.path),
        ClaimChangeKind::Removed => format!("-{}", change.path),
    };
    (found.changes.iter().map(sign).collect(), found.text)
}

fn key(letter: char) -> String {
    format!("{letter}{}", "B".repeat(55))
}

#[test]
fn each_kind_of_claim_has_its_path_and_its_words() {
    let (account, user) = (key('A'), key('U'));
    let export = |subject: &str| json!({ "name": "x", "subject": subject, "type": "stream" });
    let import = |to: &str| json!({ "subject": "a", "account": account, "type": "service", "local_subject": to });
    let nats = |name: &str, value: Value| json!({ "nats": { name: value } });
    let none = || json!({ "nats": {} });
    let table = [
        (
            nats("limits", json!({ "conn": 100 })),
            nats("limits", json!({ "conn": 50 })),
            "~nats.limits.conn",
            "connections 100 → 50",
        ),
        (
            nats("limits", json!({ "conn": -1 })),
            nats("limits", json!({})),
            "-nats.limits.conn",
            "connections unlimited → none",
        ),
        (none(), nats("limits", json!({ "payload": 1_048_576 })), "+nats.limits.payload", "payload none → 1 MiB"),
        (
            nats("limits", json!({ "data": 1000 })),
            nats("limits", json!({ "data": 0 })),
            "~nats.limits.data",
            "data 1000 B → 0 B",
        ),
        (
            nats("limits", json!({ "wildcards": true })),
            nats("limits", json!({ "wildcards": false })),
            "~nats.limits.wildcards",
            "wildcards in exports yes → no",
        ),
        (
            nats("limits", json!({ "new_one": 1 })),
            nats("limits", json!({ "new_one": 2 })),
            "~nats.limits.new_one",
            "new one 1 → 2",
        ),
        (
            nats("limits", json!({ "tiered_limits": { "R3": { "disk_storage": 1_073_741_824 } } })),
            nats("limits", json!({ "tiered_limits": { "R3": { "disk_storage": -1 } } })),
            "~nats.limits.tiered_limits.R3.disk_storage",
            "JetStream tier R3: JetStream disk 1 GiB → unlimited",
        ),
        (
            nats("exports", json!([export("orders.>"), export("a")])),
            nats("exports", json!([export("a")])),
            "-nats.exports[stream orders.>]",
            "export orders.> removed",
        ),
        (none(), nats("exports", json!([export("a")])), "+nats.exports[stream a]", "export a added"),
        (
            nats("exports", json!([export("a")])),
            nats("exports", json!([{ "name": "x", "subject": "a", "type": "stream", "token_req": true }])),
            "+nats.exports[stream a].token_req",
            "export a: token req none → yes",
        ),
        (
            nats("exports", json!([{ "subject": "a", "type": "stream" }])),
            nats("exports", json!([{ "subject": "a", "type": "stream", "revocations": { &account: 1_795_503_912 } }])),
            &*format!("+nats.exports[stream a].revocations.{account}"),
            "export a: revoked ABBB…BBBB since 2026-11-24 07:05:12 UTC",
        ),
        (
            nats("imports", json!([import("x")])),
            none(),
            &format!("-nats.imports[{account} service a]"),
            "import a from ABBB…BBBB removed",
        ),
        (
            nats("imports", json!([import("x")])),
            nats("imports", json!([import("y")])),
            &format!("~nats.imports[{account} service a].local_subject"),
            "import a from ABBB…BBBB: local subject x → y",
        ),
        (
            none(),
            nats("signing_keys", json!([account])),
            &format!("+nats.signing_keys[{account}]"),
            "signing key ABBB…BBBB added",
        ),
        (
            nats("signing_keys", json!([{ "key": account, "kind": "user_scope", "role": "admin" }])),
            none(),
            &format!("-nats.signing_keys[{account}]"),
            "signing key ABBB…BBBB (role admin) removed",
        ),
        (
            nats("signing_keys", json!([{ "key": account, "template": { "pub": { "allow": ["a"] } } }])),
            nats("signing_keys", json!([{ "key": account, "template": { "pub": { "allow": ["a", "b"] } } }])),
            &format!("+nats.signing_keys[{account}].template.pub.allow[b]"),
            "signing key ABBB…BBBB: template publish allow b added",
        ),
        (
            nats("signing_keys", json!([account])),
            nats("signing_keys", json!([{ "key": account }])),
            &format!("~nats.signing_keys[{account}]"),
            "signing key ABBB…BBBB changed",
        ),
        (
            none(),
            nats("revocations", json!({ &user: 1_795_503_912 })),
            &format!("+nats.revocations.{user}"),
            "revoked UBBB…BBBB since 2026-11-24 07:05:12 UTC",
        ),
        (
            nats("revocations", json!({ "*": 60 })),
            nats("revocations", json!({})),
            "-nats.revocations[*]",
            "revocation of every user since 1970-01-01 00:01:00 UTC removed",
        ),
        (
            nats("revocations", json!({ "*": 60 })),
            nats("revocations", json!({ "*": 120 })),
            "~nats.revocations[*]",
            "revoked every user since 1970-01-01 00:02:00 UTC, before since 1970-01-01 00:01:00 UTC",
        ),
        (none(), nats("tags", json!(["x"])), "+nats.tags[x]", "tags x added"),
        (
            nats("default_permissions", json!({ "pub": { "deny": ["a.>"] } })),
            nats("default_permissions", json!({})),
            "-nats.default_permissions.pub.deny[a.>]",
            "default permissions: publish deny a.> removed",
        ),
        (
            nats("mappings", json!({ "a.b": [{ "subject": "c", "weight": 50 }] })),
            nats("mappings", json!({ "a.b": [{ "subject": "c", "weight": 60 }] })),
            "~nats.mappings[a.b][c].weight",
            "mapping a.b: c weight 50 → 60",
        ),
        (
            nats("trace", json!({ "sampling": 1 })),
            nats("trace", json!({ "sampling": 2 })),
            "~nats.trace.sampling",
            "trace sampling 1 → 2",
        ),
        (json!({ "name": "a" }), json!({ "name": "b\n" }), "~name", "name a → b\\n"),
        (json!({ "exp": 1_795_503_912 }), json!({}), "-exp", "expiry 2026-11-24 07:05:12 UTC → never"),
        (json!({ "iss": key('O') }), json!({ "iss": "x" }), "~iss", "signer OBBB…BBBB → x"),
        (
            json!({ "jti": "a", "iat": 1 }),
            json!({ "jti": "b", "iat": 1 }),
            "~jti",
            "signed again without another change",
        ),
        (json!({ "a": {} }), json!({}), "-a", "a {} → none"),
        (json!({ "a": 1 }), json!({ "a": [1] }), "~a", "a 1 → [1]"),
    ];
    for (from, to, path, words) in table {
        assert_eq!(told(&from, &to), (vec![path.to_owned()], vec![words.to_owned()]), "{from} {to}");
    }
}

#[test]
fn order_is_no_difference_and_equal_items_are_counted() {
    let list = |items: Value| json!({ "nats": { "tags": items } });
    assert_eq!(told(&list(json!(["a", "b"])), &list(json!(["b", "a"]))), (vec![], vec!["no claim differs".to_owned()]));
    let (paths, _) = told(&list(json!(["a", "a", "b"])), &list(json!(["c", "a", "d"])));
    assert_eq!(paths, ["-nats.tags[a]", "-nats.tags[b]", "+nats.tags[c]", "+nats.tags[d]"]);
    let services = |kinds: [&str; 2]| json!({ "nats": { "exports": kinds.map(|kind| json!({ "subject": "a", "type": kind, "name": kind })) } });
    assert_eq!(told(&services(["stream", "service"]), &services(["service", "stream"])).0, Vec::<String>::new());
}

#[test]
fn what_changes_with_every_signature_is_in_the_list_and_not_in_the_words() {
    let from = json!({ "jti": "a", "iat": 1, "name": "x" });
    let (paths, words) = told(&from, &json!({ "jti": "b", "iat": 2, "name": "y" }));
    assert_eq!((paths, words), (vec!["~jti".into(), "~iat".into(), "~name".into()], vec!["name x → y".to_owned()]));
    let found = diff(&from, &json!({ "jti": "a", "iat": 1, "name": "y" }));
    let [change] = &found.changes[..] else { panic!("{found:?}") };
    assert_eq!((&change.from, &change.to), (&Some(json!("x")), &Some(json!("y"))));
}

#[test]
fn differences_are_bounded_and_the_rest_is_counted() {
    let large: Map<String, Value> = (0..5000).map(|number| (number.to_string(), json!(number))).collect();
    let found = diff(&json!({}), &Value::Object(large));
    assert_eq!((found.changes.len(), found.more, found.text.len()), (MOST, 4000, MOST));
    let many: Vec<Value> = (0..50_000).map(|number| json!(number)).collect();
    let begun = std::time::Instant::now();
    assert_eq!(diff(&json!(many), &json!([])).more, 49_000);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}
