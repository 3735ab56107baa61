//! A replica behind upstreams of other versions: it works, and its log says what does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::fetches;
use crate::floods::History;
use crate::support::{Account, Answer, FakePrimary, Holdings, Launch, Operator, Server, until};

/// So many that a cache rather reads the list of leaves than bucket after bucket.
const ACCOUNTS: usize = 60;
/// Unknown keys of one client that a replica asks about in a second; 20 times as many in one go.
const UNKNOWN_KEYS: &str = "1";

/// An upstream of some version.
struct Version {
    what: &'static str,
    has_feed: bool,
    has_digests: bool,
    lists_leaves: bool,
    /// What it says more than this version knows.
    news: News,
    /// What the log of a replica says.
    says: &'static str,
    /// Whether a cache knows all keys, and whether a mirror does.
    knows_all: [bool; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    Nothing,
    /// Members, events, and a kind of changes.
    Kinds,
    /// What a change does.
    Operation,
}

const THIS: Version = Version {
    what: "this version",
    has_feed: true,
    has_digests: true,
    lists_leaves: true,
    news: News::Nothing,
    says: "in sync with",
    knows_all: [true, true],
};
const VERSIONS: [Version; 6] = [
    THIS,
    Version { what: "without lists of leaves", lists_leaves: false, knows_all: [false, true], ..THIS },
    Version {
        what: "without digests",
        has_digests: false,
        says: "has no digests; this replica checks JWTs as clients ask for them",
        knows_all: [false, false],
        ..THIS
    },
    Version {
        what: "without a feed",
        has_feed: false,
        has_digests: false,
        says: "has no change feed; this replica checks JWTs again after",
        knows_all: [false, false],
        ..THIS
    },
    Version { what: "newer, with more kinds", news: News::Kinds, ..THIS },
    Version {
        what: "newer, with another operation",
        news: News::Operation,
        says: "change 1 has a form that this version does not know",
        ..THIS
    },
];

/// An upstream with some accounts. As soon as it is followed, its feed brings another one.
struct Upstream {
    held: Vec<(Account, String)>,
    late: (Account, String),
    server: FakePrimary,
}

impl Upstream {
    async fn of(version: &Version, operator: &Operator) -> Self {
        let signed = |age| {
            let account = Account::new();
            let jwt = operator.account(&account, age);
            (account, jwt)
        };
        let held: Vec<_> = (0..ACCOUNTS).map(|_| signed(900)).collect();
        let late = signed(10);
        let put = |(account, jwt): &(Account, String)| json!({ "key": account.key(), "jwt": jwt });
        let mut history = History::new(1).say("hello");
        match version.news {
            News::Nothing => {}
            News::Kinds => {
                history.text.push_str("event: news\ndata: {}\n\n");
                history = history.change("policy", "put", json!({ "key": "P", "jwt": "a policy", "future": [1] }));
            }
            News::Operation => {
                let chain = "0".repeat(64);
                let item =
                    json!({ "serial": 1, "chain": chain, "at": 0, "kind": "account", "op": "rename", "key": "A" });
                history.text.push_str(&format!("event: change\nid: 1\ndata: {item}\n\n"));
            }
        }
        let history = history.change("account", "put", put(&late)).say("heartbeat");
        let holdings = Holdings::new(history.head());
        for pair in held.iter().chain([&late]) {
            let mut item = json!({ "serial": 0, "chain": "", "at": 0, "kind": "account", "op": "put" });
            item.as_object_mut().unwrap().extend(put(pair).as_object().unwrap().clone());
            holdings.hold(&serde_json::from_value(item).unwrap());
        }
        let known: Vec<_> = held.iter().chain([&late]).map(|(account, jwt)| (account.path(), jwt.clone())).collect();
        let more = |text: String| match version.news {
            News::Nothing => text,
            News::Kinds | News::Operation => text.replacen("{\"session\"", "{\"future\":{\"a\":1},\"session\"", 9),
        };
        let [end, alive] = ["hello", "heartbeat"].map(|kind| more(history.end(kind)));
        let feed = more(history.text);
        let (is_followed, operator_jwt) = (AtomicBool::new(false), operator.jwt());
        let &Version { has_feed, has_digests, lists_leaves, news, .. } = version;
        let server = FakePrimary::reading(move |path, body| {
            if path.starts_with("/jwt/v1/changes") && has_feed {
                let text = if is_followed.swap(true, Ordering::SeqCst) { &end } else { &feed };
                return Answer::stream(text.clone()).then_again(alive.clone(), Duration::from_millis(500));
            }
            if path.starts_with("/jwt/v1/digests") && has_digests {
                let path = if path.contains("leaves=true") && !lists_leaves { "/jwt/v1/digests" } else { path };
                let answer = holdings.answer(path, body).unwrap();
                return match news {
                    News::Nothing => answer,
                    News::Kinds | News::Operation => answer.map(|text| text.replacen('{', "{\"future\":1,", 1)),
                };
            }
            if path.starts_with("/jwt/v1/operator") {
                return Answer::new(200, operator_jwt.clone());
            }
            match known.iter().find(|(known, _)| path == known) {
                Some((_, jwt)) => Answer::new(200, jwt.clone()),
                None => Answer::new(404, "404 page not found\n"),
            }
        })
        .await;
        Self { held, late, server }
    }
}

/// Whether a replica itself says that a key does not exist when it may not ask about it. Otherwise it says 429.
async fn knows_all_keys(replica: &Server) -> bool {
    let unknown: Vec<_> = (0..ACCOUNTS).map(|_| Account::new()).collect();
    let replies =
        join_all(unknown.iter().map(|account| async { replica.http.get(&account.path()).await.status })).await;
    assert!(replies.iter().all(|status| matches!(status, 404 | 429)), "{replies:?}");
    !replies.contains(&429)
}

#[tokio::test]
async fn a_replica_behind_an_upstream_of_another_version_works_and_says_what_is_missing() {
    let operator = Operator::new();
    for version in &VERSIONS {
        for (mode, knows_all) in ["cache", "mirror"].into_iter().zip(version.knows_all) {
            let what = format!("{mode} behind one {}", version.what);
            let upstream = Upstream::of(version, &operator).await;
            let launch = Launch::replica(&operator, &upstream.server.url).env("NAS_REPLICA__MODE", mode);
            let launch = launch.env("NAS_HTTP__LIMITS__UNKNOWN_KEYS", UNKNOWN_KEYS);
            let replica = launch.start_unready().await;
            replica.logs(version.says).await;
            if version.has_feed {
                replica.follows().await;
            }
            for (account, jwt) in upstream.held.iter().step_by(8).chain([&upstream.late]) {
                until(&format!("{what}: it is served"), || async {
                    replica.http.get(&account.path()).await.body == *jwt
                })
                .await;
            }
            if mode == "mirror" && version.has_digests {
                assert_eq!(fetches(&replica).await, 0.0, "{what}: nothing is asked for one by one");
            }
            assert_eq!(knows_all_keys(&replica).await, knows_all, "{what}");
            // What is served does not depend on the upstream any more.
            drop(upstream.server);
            for (account, jwt) in upstream.held.iter().step_by(8).chain([&upstream.late]) {
                assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt, "{what}");
            }
            let log = replica.log();
            assert!(!log.contains("panicked") && !log.contains(" ERROR "), "{what}: {log}");
        }
    }
}
