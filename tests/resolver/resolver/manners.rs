//! Who answers, depending on who else is there.

use super::fleet::{DELETE, Fleet, LIST, NEWEST, PACK, UPDATE, VERSIONS, limited, lookup};
use crate::support::{Account, until};

#[tokio::test]
async fn beside_full_resolvers_changes_are_taken_in_without_a_word() {
    for version in VERSIONS {
        let fleet = Fleet::full(version, |launch| launch).await;
        let line = fleet.resolver_line().await;
        assert!(
            line.contains("only LOOKUP is answered") && line.contains("full resolver is there"),
            "{version}: {line}"
        );
        fleet.primary.logs("NATS resolver: only LOOKUP is answered").await;
        let account = Account::new();
        let jwt = fleet.operator.account(&account, 60);
        for (subject, payload) in [
            (UPDATE, jwt.clone()),
            (LIST, String::new()),
            (DELETE, fleet.operator.delete_request(&[&Account::new()], 10)),
        ] {
            let answers = fleet.ask_all(subject, payload).await;
            assert_eq!((answers.len(), Fleet::ours(&answers).len()), (1, 0), "{version} {subject}");
        }
        until("the update is taken in", || async { fleet.held(&account).await == jwt }).await;
        // Two know the account, and the nats-server none that only we know.
        assert_eq!(fleet.ask_all(&lookup(&account.key()), "").await.len(), 2);
        // All of many packs come from the nats-server, which is asked by its own kind, too.
        for _ in 0..10 {
            fleet.pack("").await;
        }
        assert_eq!(fleet.packs_given().await, 0.0, "{version}");
        let answer = fleet.ask(DELETE, fleet.operator.delete_request(&[&account], 0)).await;
        assert_eq!(answer["data"]["message"], "deleted 1 accounts");
        until("the deletion is taken in", || async { fleet.held(&account).await.is_empty() }).await;
    }
}

#[tokio::test]
async fn an_account_that_only_we_have_is_found_by_a_full_resolver() {
    let fleet = Fleet::full(NEWEST, |launch| launch.env("NAS_NATS__SYNC_INTERVAL", "1h")).await;
    let (account, _) = fleet.open(60).await;
    let options = async_nats::ConnectOptions::with_credentials(&account.user().creds()).unwrap();
    let client = options.connect(format!("nats://{}", fleet.nats.address())).await;
    assert!(client.is_ok(), "{client:?}");
}

#[tokio::test]
async fn what_is_deleted_over_http_is_deleted_in_full_resolvers_too() {
    let fleet = Fleet::full(NEWEST, |launch| launch).await;
    let (one, two) = (Account::new(), Account::new());
    for account in [&one, &two] {
        let jwt = fleet.operator.account(account, 60);
        fleet.ask(UPDATE, jwt.clone()).await;
        until("the update is taken in", || async { fleet.held(account).await == jwt }).await;
    }
    fleet.primary.http.delete(&one.path(), fleet.operator.delete_request(&[&one], 30)).await.expect(200);
    let listed = || async { fleet.ask(LIST, "").await["data"].to_string() };
    until("the nats-server has deleted it, too", || async { !listed().await.contains(&one.key()) }).await;
    assert!(listed().await.contains(&two.key()));
}

#[tokio::test]
async fn the_configuration_has_the_last_word() {
    for (mode, responder, replies, packs) in
        [("participant", "auto", true, false), ("participant", "on", true, true), ("silent", "off", false, false)]
    {
        let setup = |launch: crate::support::Launch| {
            launch.env("NAS_NATS__RESOLVER", mode).env("NAS_NATS__PACK_RESPONDER", responder)
        };
        let fleet = Fleet::full(NEWEST, setup).await;
        let ours = Fleet::ours(&fleet.ask_all(LIST, "").await);
        assert_eq!(ours.len(), usize::from(replies), "{mode} {responder}");
        let given = || async { fleet.packs_given().await > 0.0 };
        if packs {
            // One of the two answers each.
            until("a pack is asked of us", || async {
                fleet.pack("").await;
                given().await
            })
            .await;
        } else {
            for _ in 0..20 {
                fleet.pack("").await;
            }
            assert!(!given().await, "{mode} {responder}");
        }
    }
    let fleet = Fleet::with(NEWEST, |launch| launch.env("NAS_NATS__RESOLVER", "off")).await;
    let (account, _) = fleet.open(60).await;
    for (subject, payload) in [
        (lookup(&account.key()), String::new()),
        (LIST.to_owned(), String::new()),
        (PACK.to_owned(), String::new()),
        (UPDATE.to_owned(), fleet.operator.sign(&limited(&account, 1))),
    ] {
        let answers = fleet.ask_all(&subject, payload).await;
        assert!(answers.iter().all(|answer| answer.status.is_some()), "{subject}: {answers:?}");
    }
}

#[tokio::test]
async fn silent_beside_nobody_takes_in_and_looks_up() {
    let fleet = Fleet::with(NEWEST, |launch| launch.env("NAS_NATS__RESOLVER", "silent")).await;
    let account = Account::new();
    let jwt = fleet.operator.account(&account, 60);
    assert!(fleet.ask_all(UPDATE, jwt.clone()).await.is_empty());
    assert_eq!(fleet.held(&account).await, jwt);
    assert_eq!(fleet.request(&lookup(&account.key()), "").await.payload, jwt);
    assert!(fleet.primary.http.metric("lookup_duration_seconds_count", "").await >= 1.0);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let operator = crate::support::Operator::new();
    // A user of the system account that may ask and answer LOOKUP, and no more.
    let publish = serde_json::json!({ "allow": ["_INBOX.>", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"] });
    let subscribe = serde_json::json!({ "allow": ["_INBOX.>", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"] });
    let user = operator.system().user_with(publish, subscribe);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), user.creds()).unwrap();
    let setup = |launch: crate::support::Launch| launch.flag("-creds", file.path());
    let fleet = Fleet::of(NEWEST, operator, setup, |launch, primary, _| launch.asks(&primary.url)).await;
    until("the readiness report names what is missing", || async {
        let report = fleet.primary.http.get("/readyz?verbose").await.body;
        ["subscribe to $SYS.REQ.CLAIMS.UPDATE", "subscribe to $SYS.REQ.CLAIMS.PACK", "publish to $SYS.REQ.CLAIMS.PACK"]
            .iter()
            .all(|missing| report.contains(missing))
    })
    .await;
    let log = fleet.primary.log();
    assert!(log.contains("the NATS user is not permitted to subscribe to $SYS.REQ.CLAIMS.LIST"), "{log}");
    // What it may do, it does.
    let (account, jwt) = fleet.open(60).await;
    assert_eq!(fleet.request(&lookup(&account.key()), "").await.payload, jwt);
}

#[tokio::test]
async fn who_may_not_ask_which_resolvers_are_there_keeps_silent() {
    let operator = crate::support::Operator::new();
    let publish = serde_json::json!({ "deny": ["$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"] });
    let user = operator.system().user_with(publish, serde_json::json!({}));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), user.creds()).unwrap();
    let setup = |launch: crate::support::Launch| launch.flag("-creds", file.path());
    let fleet = Fleet::start(NEWEST, operator, setup, |launch, primary, _| launch.asks(&primary.url)).await;
    fleet.primary.logs("the NATS user is not permitted to publish to $SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP").await;
    let account = Account::new();
    let jwt = fleet.operator.account(&account, 60);
    assert!(
        fleet.ask_all(UPDATE, jwt.clone()).await.is_empty(),
        "it would be one answer too many beside a full resolver"
    );
    until("the update is taken in", || async { fleet.held(&account).await == jwt }).await;
    until("it says why", || async { fleet.resolver_line().await.contains("is unknown: the NATS user may not ask") })
        .await;
}

#[tokio::test]
async fn the_permissions_that_the_documentation_names_are_enough() {
    let page = include_str!("../../../docs/nats.md");
    // What the nsc command lists.
    let allowed = |flag: &str| -> Vec<String> {
        let lists = page.lines().filter_map(|line| line.trim().strip_prefix(flag)?.split('\'').nth(1));
        lists.flat_map(|list| list.split(',').map(str::to_owned)).collect()
    };
    let (publish, subscribe) = (allowed("--allow-pub "), allowed("--allow-sub "));
    assert_eq!((publish.len(), subscribe.len()), (11, 10));
    let operator = crate::support::Operator::new();
    let user =
        operator.system().user_with(serde_json::json!({ "allow": publish }), serde_json::json!({ "allow": subscribe }));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), user.creds()).unwrap();
    let setup = |launch: crate::support::Launch| launch.flag("-creds", file.path());
    let fleet = Fleet::of(NEWEST, operator, setup, |launch, primary, _| launch.asks(&primary.url)).await;
    // Everything that it does, once.
    let (account, jwt) = fleet.open(60).await;
    fleet.primary.http.post("/jwt/v1/activations", account.activation(&Account::new(), "a", 5)).await.expect(200);
    assert_eq!(fleet.request(&lookup(&account.key()), "").await.payload, jwt);
    fleet.ask(UPDATE, fleet.operator.sign(&limited(&account, 3))).await;
    assert_eq!(fleet.pack("").await.len(), 2);
    fleet.primary.http.delete(&account.path(), fleet.operator.delete_request(&[&account], 0)).await.expect(200);
    fleet.ask(LIST, "").await;
    until("it has asked for a pack, and for who is there", || async {
        fleet.primary.http.metric("packs_asked_total", "").await >= 1.0
            && fleet.primary.http.metric("nats_servers", "").await >= 1.0
    })
    .await;
    let log = fleet.primary.log();
    assert!(!log.contains("not permitted") && !log.to_lowercase().contains("permissions violation"), "{log}");
}
