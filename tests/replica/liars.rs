//! A primary, or the network before it, that lies: it can withhold, but not forge, and not take anybody back.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use nats_account_server::feed::wire::{Item, Page};
use nats_account_server::feed::{Chain, Head, Operation, Session};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Server, now, until};

/// What is offered in the place of an account's JWT, and the reason for which it must be refused.
fn lies(operator: &Operator, account: &Account) -> Vec<(&'static str, String, &'static str)> {
    let good = operator.account(account, 100);
    let (start, end) = good.split_at(good.len() - 30);
    let forged = format!("{start}{}{}", if end.starts_with('A') { 'B' } else { 'A' }, &end[1..]);
    vec![
        ("forged", forged, "undecodable"),
        ("foreign", Operator::new().account(account, 0), "untrusted"),
        ("self-signed", account.sign(&account.claims(now())), "issuer_kind"),
        ("another account's", operator.account(&Account::new(), 0), "wrong_account"),
        ("garbage", "<html>please log in</html>".into(), "undecodable"),
        ("empty", String::new(), "undecodable"),
    ]
}

async fn refused(replica: &Server, path: &str, reason: &str) -> f64 {
    replica.http.metric("refused_total", &format!("path=\"{path}\",reason=\"{reason}\"")).await
}

/// A replica without a feed, which checks what it has often.
async fn replica_of(primary: &FakePrimary, operator: &Operator) -> Server {
    Launch::replica(operator, &primary.url).env("NAS_REPLICA__TTL", "200ms").start_unready().await
}

#[tokio::test]
async fn a_lie_about_an_unknown_account_is_never_served() {
    let operator = Operator::new();
    let account = Account::new();
    let primary = FakePrimary::without_feed(|_| Answer::new(404, "")).await;
    for (what, lie, reason) in lies(&operator, &account) {
        primary.now_answers(move |_| Answer::new(200, lie.clone()));
        let replica = replica_of(&primary, &operator).await;
        let reply = replica.http.get(&account.path()).await;
        assert_eq!(reply.status, 503, "{what}: {}", reply.body);
        assert!(!reply.body.contains("eyJ"), "{what}: {}", reply.body);
        assert_eq!(refused(&replica, "upstream", reason).await, 1.0, "{what}");
    }
    let endless = "x".repeat(3 << 20);
    primary.now_answers(move |_| Answer::new(200, endless.clone()));
    replica_of(&primary, &operator).await.http.get(&account.path()).await.expect(503);
}

#[tokio::test]
async fn a_lie_about_a_known_account_changes_nothing() {
    let operator = Operator::new();
    let account = Account::new();
    let held = operator.account(&account, 50);
    let served = held.clone();
    let primary = FakePrimary::without_feed(move |_| Answer::new(200, served.clone())).await;
    let replica = replica_of(&primary, &operator).await;
    replica.http.get(&account.path()).await.expect(200);
    let mut lies = lies(&operator, &account);
    lies.push(("older", operator.account(&account, 100), "older"));
    for (what, lie, reason) in lies {
        let before = refused(&replica, "upstream", reason).await;
        primary.now_answers(move |_| Answer::new(200, lie.clone()));
        until(&format!("the lie is told: {what}"), || async {
            assert_eq!(replica.http.get(&account.path()).await.expect(200).body, held, "{what}");
            refused(&replica, "upstream", reason).await > before
        })
        .await;
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, held, "{what}");
    }
    let newer = operator.account(&account, 10);
    let served = newer.clone();
    primary.now_answers(move |_| Answer::new(200, served.clone()));
    until("the truth is believed", || async { replica.http.get(&account.path()).await.body == newer }).await;
}

/// A feed that says hello and brings `changes` as they stand.
fn feed(changes: &[(AccountText, Option<Chain>)]) -> Answer {
    let session = Session([7; 16]);
    let mut chain = Chain::default();
    let page = |serial: u64, chain: &Chain| {
        Page::new(Head { session, serial, chain: *chain }, changes.len() as u64, Vec::new())
    };
    let mut text = format!("event: hello\ndata: {}\n\n", serde_json::to_string(&page(0, &chain)).unwrap());
    for (serial, ((key, jwt), said)) in (1u64..).zip(changes) {
        chain = chain.next(serial, Operation::Put, &Sha256::digest(jwt).into());
        let item = Item {
            serial,
            chain: said.unwrap_or(chain).to_string(),
            at: now() * 1000,
            kind: "account".into(),
            op: "put".into(),
            key: Some(key.clone()),
            jwt: Some(jwt.clone()),
            keys: Vec::new(),
            request: None,
            digest: None,
            identity: None,
            links: Vec::new(),
        };
        text.push_str(&format!("event: change\nid: {serial}\ndata: {}\n\n", serde_json::to_string(&item).unwrap()));
    }
    Answer::stream(text)
}

type AccountText = (String, String);

#[tokio::test]
async fn a_lie_on_the_feed_is_never_served_and_does_not_stop_it() {
    let operator = Operator::new();
    let (account, honest) = (Account::new(), Account::new());
    let held = operator.account(&account, 50);
    let (truth, answer) = (operator.account(&honest, 1), held.clone());
    let lies = lies(&operator, &account);
    let mut changes: Vec<_> = lies.iter().map(|(_, lie, _)| ((account.key(), lie.clone()), None)).collect();
    changes.push(((honest.key(), truth.clone()), None));
    let stream = feed(&changes);
    let primary = FakePrimary::new(move |path| match path {
        path if path.starts_with("/jwt/v1/changes") => stream.clone(),
        _ => Answer::new(200, answer.clone()),
    })
    .await;
    let replica = Launch::replica(&operator, &primary.url).start().await;
    until("the feed is read to its end", || async { replica.http.metric("serial", "").await == changes.len() as f64 })
        .await;
    for (what, _, reason) in &lies {
        assert!(refused(&replica, "feed", reason).await >= 1.0, "{what}");
    }
    assert_eq!(replica.http.metric("accepted_total", "path=\"feed\"").await, 1.0);
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, held);
}

#[tokio::test]
async fn a_feed_that_breaks_its_chain_is_not_followed() {
    let operator = Operator::new();
    let account = Account::new();
    let jwt = operator.account(&account, 50);
    let stream = feed(&[((account.key(), jwt), Some(Chain([1; 32])))]);
    let primary =
        FakePrimary::new(
            move |path| {
                if path.starts_with("/jwt/v1/changes") { stream.clone() } else { Answer::new(404, "no\n") }
            },
        )
        .await;
    let replica = Launch::replica(&operator, &primary.url).start_unready().await;
    replica.logs("another history").await;
    replica.http.get(&account.path()).await.expect(404);
    assert_eq!(replica.http.metric("accepted_total", "path=\"feed\"").await, 0.0);
    assert_eq!(replica.http.metric("serial", "").await, 0.0);
}

/// Answers that are meant to cost the replica time or memory, or to lead it elsewhere. Each would bring `jwt`, were it believed.
fn traps(jwt: &str, elsewhere: &str) -> Vec<(&'static str, Answer)> {
    let flood = (0..2_000).fold(Answer::new(200, jwt), |answer, n| answer.header(&format!("x-{n}"), &"y".repeat(500)));
    let spaces = format!("{jwt}{}", " ".repeat(40 << 20));
    vec![
        ("a redirection", Answer::new(302, "").header("location", elsewhere)),
        ("a lasting redirection", Answer::new(308, "").header("location", elsewhere)),
        ("a drip of bytes", Answer::new(200, jwt).drip(Duration::from_millis(20))),
        ("a packed body", Answer::new(200, "\u{1f}\u{8b}x").header("content-encoding", "gzip")),
        ("a flood of headers", flood),
        ("one large header", Answer::new(200, jwt).header("x", &"y".repeat(4 << 20))),
        ("a body much too large", Answer::new(200, spaces)),
        ("a large text of an error", Answer::new(500, "x".repeat(40 << 20))),
        ("a body that does not end", Answer::stream(jwt)),
        ("a part that was not asked for", Answer::new(206, jwt)),
        ("nothing new, to who has nothing", Answer::new(304, "")),
    ]
}

#[tokio::test]
async fn a_trap_costs_neither_time_nor_memory_and_leads_nowhere() {
    let (operator, account) = (Operator::new(), Account::new());
    let jwt = operator.account(&account, 100);
    let answer = jwt.clone();
    let elsewhere = FakePrimary::new(move |_| Answer::new(200, answer.clone())).await;
    let primary = FakePrimary::without_feed(|_| Answer::new(404, "")).await;
    let replica = replica_of(&primary, &operator).await;
    let before = replica.peak_memory();
    for (what, trap) in traps(&jwt, &format!("{}{}", elsewhere.url, account.path())) {
        primary.now_answers(move |_| trap.clone());
        let began = Instant::now();
        let reply = replica.http.get(&account.path()).await;
        assert_eq!(reply.status, 503, "{what}: {}", reply.body);
        assert!(began.elapsed() < Duration::from_millis(1_700), "{what}: {:?}", began.elapsed());
    }
    assert_eq!(elsewhere.requests(), 0);
    let grown = replica.peak_memory() - before;
    assert!(grown < 24 << 20, "{grown} bytes");
    primary.now_answers(move |_| Answer::new(200, jwt.clone()));
    replica.http.get(&account.path()).await.expect(200);
}

#[tokio::test]
async fn a_feed_of_nonsense_is_not_believed_and_not_followed_for_long() {
    let operator = Operator::new();
    let (account, honest) = (Account::new(), Server::primary(&operator).await);
    let jwt = operator.account(&account, 50);
    honest.http.post(&account.path(), jwt.clone()).await.expect(200);
    let page = "{\"session\":\"00000000000000000000000000000000\",\"serial\":0,\"chain\":\"x\",\"head\":0,\"floor\":0,\"changes\":[]}";
    let nonsense = [
        ("no JSON", "event: hello\ndata: <html>\n\n".to_owned()),
        ("no position", format!("event: hello\ndata: {page}\n\n")),
        ("a change before the greeting", "event: change\ndata: {}\n\n".to_owned()),
        ("an event without end", format!("event: hello\ndata: {}", "x".repeat(5 << 20))),
    ];
    for (what, text) in nonsense {
        let answer = jwt.clone();
        let primary = FakePrimary::new(move |path| match path {
            path if path.starts_with("/jwt/v1/changes") => Answer::stream(text.clone()),
            path if path.starts_with("/jwt/v1/accounts") => Answer::new(200, answer.clone()),
            _ => Answer::new(404, ""),
        })
        .await;
        let replica = Launch::replica(&operator, &format!("{},{}", primary.url, honest.url)).start_unready().await;
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt, "{what}");
        until(&format!("the honest one is followed: {what}"), || async {
            replica.http.metric("replica_feed_connected", "").await == 1.0
        })
        .await;
        assert_eq!(replica.http.metric("accepted_total", "path=\"feed\"").await, 0.0);
        assert!(replica.log().contains(&format!("following the change feed of {}", honest.url)), "{what}");
    }
}

/// A feed that says hello for a session and nothing else, and ends.
fn hello(session: u8) -> Answer {
    let page = json!({
        "session": Session([session; 16]).to_string(), "serial": 0, "chain": Chain::default().to_string(), "head": 0, "floor": 0
    });
    Answer::new(200, format!("event: hello\ndata: {page}\n\n"))
}

/// What is held is compared with a primary that has another history: what it says of that is believed as little as all else.
#[tokio::test]
async fn a_lie_about_what_differs_changes_nothing_and_does_not_go_on_for_ever() {
    let operator = Operator::new();
    let account = Account::new();
    let held = operator.account(&account, 50);
    let item = |op: &str, jwt: Option<String>, request: Option<String>| {
        json!([{
            "serial": 5, "chain": Chain::default().to_string(), "at": 0, "kind": "account", "op": op, "key": account.key(),
            "keys": [account.key()], "jwt": jwt, "request": request,
        }])
    };
    let foreign = Operator::new();
    let lies = [
        ("nothing at all", "not found".to_owned()),
        ("more without end", json!({ "items": [], "next": account.key() }).to_string()),
        ("a foreign JWT", json!({ "items": item("put", Some(foreign.account(&account, 0)), None) }).to_string()),
        ("an older JWT", json!({ "items": item("put", Some(operator.account(&account, 900)), None) }).to_string()),
        (
            "a foreign delete request",
            json!({ "items": item("delete", None, Some(foreign.delete_request(&[&account], 0))) }).to_string(),
        ),
        ("that there is nothing", json!({ "items": item("none", None, None) }).to_string()),
        ("more than can be read", "[".repeat(9 << 20)),
    ];
    let (operator, account, held) = (&operator, &account, &held);
    futures_util::future::join_all(lies.into_iter().map(|(what, lie)| async move {
        let lie = as_of_the_second_history(lie);
        // How many GETs of the feed there were.
        let (told, served) = (AtomicU8::new(0), held.clone());
        let primary = FakePrimary::new(move |path| match path.split('?').next() {
            // One history at first, and then another one.
            Some("/jwt/v1/changes") if told.fetch_add(1, Ordering::Relaxed) < 3 => hello(1),
            Some("/jwt/v1/changes") => hello(2),
            Some("/jwt/v1/digests") => Answer::new(200, lie.clone()),
            _ => Answer::new(200, served.clone()),
        })
        .await;
        let replica = Launch::replica(operator, &primary.url).env("NAS_REPLICA__TTL", "200ms").start_unready().await;
        until(&format!("it is compared: {what}"), || async {
            assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *held, "{what}");
            !primary.heads_of("POST", "/jwt/v1/digests").is_empty()
        })
        .await;
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_millis(500) {
            assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *held, "{what}");
        }
        assert!(primary.heads_of("POST", "/jwt/v1/digests").len() < 20, "{what}");
    }))
    .await;
}

/// What is said, as of the second history.
fn as_of_the_second_history(lie: String) -> String {
    let Ok(Value::Object(mut said)) = serde_json::from_str::<Value>(&lie) else { return lie };
    let (session, chain) = (Session([2; 16]).to_string(), Chain::default().to_string());
    said.extend([
        ("session".to_owned(), json!(session)),
        ("serial".to_owned(), json!(9)),
        ("chain".to_owned(), json!(chain)),
        ("floor".to_owned(), json!(0)),
    ]);
    Value::Object(said).to_string()
}
