//! An upstream, or anybody on the way to it, that sends without end or names what nobody asked for: that costs neither memory
//! nor disk, and does not keep a replica busy.

use std::path::Path;
use std::time::Duration;

use nats_account_server::feed::wire::{Item, Page};
use nats_account_server::feed::{Chain, Head, Session};
use nats_account_server::jwt::activation_hash_id;
use nats_account_server::key::AccountKey;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Server, now, until, until_in};

/// A history that is made up.
pub(crate) struct History {
    session: Session,
    chain: Chain,
    pub(crate) serial: u64,
    pub(crate) text: String,
}

impl History {
    pub(crate) fn new(session: u8) -> Self {
        Self { session: Session([session; 16]), chain: Chain::default(), serial: 0, text: String::new() }
    }

    pub(crate) fn head(&self) -> Head {
        Head { session: self.session, serial: self.serial, chain: self.chain }
    }

    fn page(&self) -> Page {
        Page::new(self.head(), self.serial, Vec::new())
    }

    /// An event that says where this history ends.
    pub(crate) fn end(&self, kind: &str) -> String {
        format!("event: {kind}\ndata: {}\n\n", serde_json::to_string(&self.page()).unwrap())
    }

    pub(crate) fn say(mut self, kind: &str) -> Self {
        self.text.push_str(&self.end(kind));
        self
    }

    /// A change that is linked as it should be.
    pub(crate) fn change(mut self, kind: &str, op: &str, item: serde_json::Value) -> Self {
        self.serial += 1;
        let mut change = json!({ "serial": self.serial, "chain": "", "at": now() * 1000, "kind": kind, "op": op });
        change.as_object_mut().unwrap().extend(item.as_object().unwrap().clone());
        let mut change: Item = serde_json::from_value(change).unwrap();
        let (operation, body) = change.link().unwrap();
        self.chain = self.chain.next(self.serial, operation, &body);
        change.chain = self.chain.to_string();
        let (serial, change) = (self.serial, serde_json::to_string(&change).unwrap());
        self.text.push_str(&format!("event: change\nid: {serial}\ndata: {change}\n\n"));
        self
    }
}

/// Whose feed is this, and that says 404 to all else.
async fn with_feed(feed: Answer) -> FakePrimary {
    FakePrimary::new(
        move |path| {
            if path.starts_with("/jwt/v1/changes") { feed.clone() } else { Answer::new(404, "no\n") }
        },
    )
    .await
}

fn random_keys(count: usize) -> Vec<String> {
    (0..count).map(|_| AccountKey::from_raw(rand::random()).text()).collect()
}

/// Bytes of the files in a folder and below it.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { size_of(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

#[tokio::test]
async fn an_answer_without_end_is_read_no_further_than_it_should_go() {
    const MOST: u64 = 24 << 20;
    let (operator, account) = (Operator::new(), Account::new());
    for status in [200, 500] {
        // Whatever is asked for.
        let primary = FakePrimary::new(move |_| Answer::endless(status)).await;
        let replica = Launch::replica(&operator, &primary.url).start_unready().await;
        let before = replica.peak_memory();
        for _ in 0..4 {
            replica.http.get(&account.path()).await.expect(503);
        }
        until("the feed was asked for", || async { !primary.heads("/jwt/v1/changes").is_empty() }).await;
        until("it was asked for again", || async { primary.heads("/jwt/v1/changes").len() > 1 }).await;
        let grown = replica.peak_memory() - before;
        assert!(grown < MOST, "status {status}: {} MiB", grown >> 20);
    }
    let source = FakePrimary::new(|_| Answer::endless(500)).await;
    let primary = Launch::primary(&operator).env("NAS_STORE__IMPORT_FROM", &source.url).start().await;
    let before = primary.peak_memory();
    primary.logs("the server says 500").await;
    let grown = primary.peak_memory() - before;
    assert!(grown < MOST, "{} MiB", grown >> 20);
}

#[tokio::test]
async fn only_what_a_primary_alone_can_say_keeps_a_feed_alive() {
    let operator = Operator::new();
    let hello = History::new(1).say("hello").text;
    let noise = [": nothing\n\n", "event: heartbeat\n\n", "event: news\ndata: {}\n\n", ": a comment that does not end"];
    let (operator, hello) = (&operator, &hello);
    futures_util::future::join_all(noise.into_iter().map(|noise| async move {
        let feed = Answer::stream(hello.clone()).then_again(noise, Duration::from_millis(20));
        let primary = with_feed(feed).await;
        let replica = Server::replica(operator, &primary.url).await;
        replica.logs("nothing was heard for 5 seconds").await;
        assert!(primary.heads("/jwt/v1/changes").len() < 3, "{noise:?}");
    }))
    .await;
}

#[tokio::test]
async fn accounts_that_the_operator_did_not_sign_are_not_remembered() {
    let operator = Operator::new();
    for mode in ["cache", "mirror"] {
        let dir = TempDir::new().unwrap();
        let mut history = History::new(1).say("hello");
        for _ in 0..40 {
            let keys = random_keys(2_500);
            history = history.change("account", "remove", json!({ "digest": "0".repeat(64), "keys": keys }));
            history = history.change("account", "put", json!({ "digest": "0".repeat(64), "keys": random_keys(500) }));
        }
        let serial = history.serial;
        let primary = with_feed(Answer::stream(history.text)).await;
        let launch = Launch::replica(&operator, &primary.url).dir(dir.path()).env("NAS_REPLICA__MODE", mode);
        let replica = launch.start_unready().await;
        let before = replica.peak_memory();
        let is_read = || async { replica.http.metric("serial", "").await == serial as f64 };
        until_in(Duration::from_secs(60), "the feed is read to its end", is_read).await;
        let grown = replica.peak_memory() - before;
        assert!(grown < 48 << 20, "{mode}: {} MiB", grown >> 20);
        // What there is to write is written twice a second.
        let mut replica = replica;
        replica.signal("TERM");
        assert!(replica.exit().await.success());
        let size = size_of(dir.path());
        assert!(size < 1 << 20, "{mode}: {size} bytes");
    }
}

#[tokio::test]
async fn activations_of_accounts_that_nobody_knows_are_not_kept() {
    const MANY: usize = 200;
    let (operator, dir) = (Operator::new(), TempDir::new().unwrap());
    let (known, importer) = (Account::new(), Account::new());
    let activation = |account: &Account, number: usize| {
        let subject = format!("self.made.{number}");
        let jwt = account.activation(&importer, &subject, 10);
        let hash = activation_hash_id(&account.key(), &importer.key(), &subject).unwrap();
        json!({ "key": hash, "jwt": jwt })
    };
    let mut history = History::new(1).say("hello");
    for number in 0..MANY {
        history = history.change("activation", "put", activation(&Account::new(), number));
    }
    let jwt = operator.account(&known, 20);
    history = history.change("account", "put", json!({ "key": known.key(), "jwt": jwt }));
    history = history.change("activation", "put", activation(&known, 0));
    let serial = history.serial;
    let primary = with_feed(Answer::stream(history.text)).await;
    let launch = Launch::replica(&operator, &primary.url).dir(dir.path()).env("NAS_REPLICA__MODE", "mirror");
    let replica = launch.start_unready().await;
    until("the feed is read to its end", || async { replica.http.metric("serial", "").await == serial as f64 }).await;
    let refused = replica.http.metric("refused_total", "path=\"feed\",reason=\"unknown_account\"").await;
    assert_eq!(refused, MANY as f64);
    // One line of each kind in a second, however many there are.
    assert!(replica.log().matches("is rejected").count() < 20, "{}", replica.log());
}

#[tokio::test]
async fn jwts_of_another_operator_do_not_fill_the_log() {
    const MANY: usize = 60;
    let (operator, other) = (Operator::new(), Operator::new());
    let primary = Launch::primary(&other).start().await;
    let accounts: Vec<_> = (0..MANY).map(|_| Account::new()).collect();
    for account in &accounts {
        primary.http.post(&account.path(), other.account(account, now())).await.expect(200);
    }
    let replica = Launch::replica(&operator, &primary.url).start_unready().await;
    for account in &accounts {
        let status = replica.http.get(&account.path()).await.status;
        assert!(status != 200 && status != 404, "{status}");
    }
    let refused = replica.http.metric("refused_total", "path=\"upstream\",reason=\"untrusted\"").await;
    assert!(refused >= MANY as f64, "{refused} were rejected");
    let lines = replica.log().matches("is rejected").count();
    assert!((1..20).contains(&lines), "{lines} lines: {}", replica.log());
}

#[tokio::test]
async fn a_stream_that_says_hello_again_and_again_causes_no_storm() {
    let operator = Operator::new();
    let hello = |session| History::new(session).say("hello").text;
    for (what, again) in [
        ("hello", hello(1)),
        ("another session", format!("{}{}", hello(2), hello(1))),
        ("a heartbeat of another session", History::new(3).say("heartbeat").text),
    ] {
        let primary = with_feed(Answer::stream(hello(1)).then_again(again, Duration::from_millis(1))).await;
        let replica = Launch::replica(&operator, &primary.url).start_unready().await;
        until("it is asked what differs", || async { !primary.heads("/jwt/v1/operator").is_empty() }).await;
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            replica.http.get("/readyz").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = primary.heads("/jwt/v1/operator").len() + primary.heads_of("POST", "/jwt/v1/digests").len();
        assert!(asked < 40, "{what}: {asked} requests");
    }
}

#[tokio::test]
async fn a_comparison_that_leads_nowhere_ends() {
    let operator = Operator::new();
    let hello = History::new(1).say("hello").text;
    let (session, chain) = (Session([1; 16]).to_string(), Chain::default().to_string());
    let at = json!({ "session": session, "serial": 0, "chain": chain, "floor": 0 });
    let root = {
        let children: serde_json::Map<_, _> =
            (0..256).map(|n| (format!("{n:02x}"), json!("5d21e08a94c3b716"))).collect();
        let mut page = at.clone();
        page.as_object_mut()
            .unwrap()
            .extend([("sum".into(), json!("1f0a5c9e2b7d4438")), ("children".into(), children.into())]);
        page.to_string()
    };
    let below = at.clone();
    // There is always a next key, and nothing about any.
    let next = move |after: Option<&str>| {
        let mut raw = after.map_or([0; 32], |after| *AccountKey::parse(after).unwrap().raw());
        let counter = u64::from_be_bytes(raw[8..16].try_into().unwrap()) + 1;
        raw[8..16].copy_from_slice(&counter.to_be_bytes());
        let mut page = below.clone();
        let next = AccountKey::from_raw(raw).text();
        let more = [("sum", json!("1f0a5c9e2b7d4438")), ("items", json!([])), ("next", json!(next))];
        page.as_object_mut().unwrap().extend(more.map(|(name, value)| (name.to_owned(), value)));
        Answer::new(200, page.to_string())
    };
    let primary = FakePrimary::reading(move |path, body| {
        if path.starts_with("/jwt/v1/changes") {
            return Answer::stream(hello.clone());
        }
        if !path.starts_with("/jwt/v1/digests") {
            return Answer::new(404, "no\n");
        }
        if path.contains("leaves=true") {
            return next(path.split_once("&after=").map(|(_, after)| after));
        }
        if body.is_empty() {
            return Answer::new(200, root.clone());
        }
        next(serde_json::from_str::<serde_json::Value>(body).unwrap()["after"].as_str())
    })
    .await;
    let asked = || primary.bodies("/jwt/v1/digests").len() + primary.heads("/jwt/v1/digests").len();
    for mode in ["mirror", "cache"] {
        let before = asked();
        let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", mode).start_unready().await;
        // The root, and what differs.
        until("it is compared", || async { asked() > before + 2 }).await;
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            replica.http.get("/readyz").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = asked() - before;
        assert!(asked < 600, "{mode}: {asked} questions");
    }
}
