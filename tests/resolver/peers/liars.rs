//! Somebody on the system account answers PACK with what is no pack, or with half of one.

use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::fleet::{DELETE, Fleet, NEWEST, PACK};
use crate::support::{Account, Operator, now, until, until_in, within};

/// A client in the group of those who answer PACK. There is nobody else in it who would be asked.
struct Responder {
    client: Client,
    requests: Subscriber,
}

impl Responder {
    async fn of(fleet: &Fleet) -> Self {
        let client = fleet.another().await;
        let requests = client.queue_subscribe(PACK, "responder".into()).await.unwrap();
        client.flush().await.unwrap();
        Self { client, requests }
    }

    /// Answers the next request with these messages.
    async fn answer(&mut self, messages: &[Bytes]) {
        let request = self.request().await;
        for message in messages {
            self.client.publish(request.reply.clone().unwrap(), message.clone()).await.unwrap();
        }
        self.client.flush().await.unwrap();
    }

    async fn request(&mut self) -> Message {
        within("a request for a pack", self.requests.next()).await.unwrap()
    }
}

async fn fleet() -> Fleet {
    Fleet::with(NEWEST, |launch| launch.env("NAS_NATS__SYNC_INTERVAL", "1s")).await
}

fn line(account: &Account, jwt: &str) -> Bytes {
    format!("{}|{jwt}", account.key()).into()
}

const END: Bytes = Bytes::new();

#[tokio::test]
async fn junk_changes_nothing_and_makes_us_send_nothing() {
    let fleet = fleet().await;
    let mut updates = fleet.system.subscribe("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE").await.unwrap();
    let mut deletions = fleet.system.subscribe(DELETE).await.unwrap();
    fleet.system.flush().await.unwrap();
    let (account, jwt) = fleet.open(60).await;
    let (other, of_other) = fleet.open(60).await;
    // That of the system account may still come before them.
    while !within("an announcement", updates.next()).await.unwrap().subject.contains(&other.key()) {}
    let (key, claims, new) = (account.key(), account.claims(now()), Account::new());
    let mut responder = Responder::of(&fleet).await;
    let serial = fleet.primary.http.metric("serial", "").await;

    let mut future = new.claims(now() + 86_400);
    future["name"] = "future".into();
    let mut expired = new.claims(now());
    expired["exp"] = (now() - 10).into();
    let texts = [
        "junk".into(),
        "|".into(),
        "|x".into(),
        "\n\n\n".into(),
        key.clone(),
        format!("{key}|"),
        format!("{key}|{jwt}|{jwt}"),
        format!("{key}|{}", &jwt[..jwt.len() - 1]),
        format!("{}|{jwt}", key.to_lowercase()),
        format!("../../{key}|{jwt}"),
        format!("{key} |{jwt}"),
        format!("{}|{jwt}", other.key()),
        format!("{}|{}", new.key(), jwt),
        format!("{key}|{}", "x".repeat(1_000_000)),
        "x".repeat(1_000_000),
        format!("{key}|{}", Operator::new().sign(&claims)),
        format!("{}|{}", new.key(), Operator::new().account(&new, 10)),
        format!("{key}|{}", account.sign(&claims)),
        format!("{key}|{}", fleet.operator.account(&account, 900)),
        format!("{}|{}", new.key(), fleet.operator.sign(&future)),
        format!("{}|{}", new.key(), fleet.operator.sign(&expired)),
        // As we hold them, in one message.
        format!("{key}|{jwt}\n{}|{of_other}\n", other.key()),
    ];
    let mut messages: Vec<Bytes> = texts.into_iter().map(Bytes::from).collect();
    messages.extend([Bytes::from_static(b"\xff\xfe|\xff"), END]);
    for packs in [1.0, 2.0] {
        responder.answer(&messages).await;
        until("the pack is heard", || async { packs_of(&fleet, "unchanged").await >= packs }).await;
    }
    assert_eq!(fleet.primary.http.metric("serial", "").await, serial);
    assert_eq!((fleet.held(&account).await, fleet.held(&new).await), (jwt, String::new()));
    let log = fleet.primary.log();
    assert!(log.contains("NATS pack is rejected: ") && log.contains("are no line of a pack"), "{log}");

    // Nor does more junk than anybody would send by mistake.
    let mut messages = vec![Bytes::from_static(b"junk"); 2000];
    let (good, of_good) = (Account::new(), fleet.operator.account(&new, 50));
    messages.extend([line(&new, &of_good), END]);
    responder.answer(&messages).await;
    until("the pack is given up", || async { packs_of(&fleet, "incomplete").await >= 1.0 }).await;
    assert_eq!(fleet.held(&new).await, "");
    // The next one is none the worse for it.
    responder.answer(&[line(&good, &fleet.operator.account(&good, 60)), END]).await;
    until("news are taken", || async { !fleet.held(&good).await.is_empty() }).await;

    // What was announced is the news, and nothing else.
    let update = within("an announcement", updates.next()).await.unwrap();
    assert!(update.subject.contains(&good.key()), "{update:?}");
    assert!(tokio::time::timeout(Duration::from_millis(300), updates.next()).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(10), deletions.next()).await.is_err());
    assert_eq!(fleet.primary.http.metric("healed_total", "").await, 0.0);
}

#[tokio::test]
async fn a_pack_that_does_not_end_is_bounded() {
    let fleet = fleet().await;
    let (account, jwt) = fleet.open(60).await;
    let mut responder = Responder::of(&fleet).await;
    let request = responder.request().await;
    let before = fleet.primary.peak_memory();
    let bulk = line(&account, &"x".repeat(1_000_000));
    let started = Instant::now();
    let mut sent = 0;
    // A slow machine takes longer for what is too much.
    while sent <= 320 || (started.elapsed() < Duration::from_secs(4) && sent < 3000) {
        responder.client.publish(request.reply.clone().unwrap(), bulk.clone()).await.unwrap();
        responder.client.flush().await.unwrap();
        sent += 1;
    }
    assert_eq!(fleet.held(&account).await, jwt);
    let more = (fleet.primary.peak_memory() - before) >> 20;
    assert!(more < 400, "{sent} MB made it grow by {more} MB");
    // What waits is read first, and a busy machine takes its time for hundreds of megabytes.
    let patience = Duration::from_secs(60);
    until_in(patience, "the pack is given up", || async { packs_of(&fleet, "incomplete").await >= 1.0 }).await;
    let good = Account::new();
    responder.answer(&[line(&good, &fleet.operator.account(&good, 60)), END]).await;
    until("news are taken", || async { !fleet.held(&good).await.is_empty() }).await;
}

#[tokio::test]
async fn what_came_before_a_crash_is_kept_and_the_rest_comes_with_the_next_pack() {
    let mut fleet = fleet().await;
    let accounts: Vec<Account> = (0..400).map(|_| Account::new()).collect();
    let lines = accounts.iter().map(|account| line(account, &fleet.operator.account(account, 60)));
    let mut lines: Vec<Bytes> = lines.collect();
    let mut responder = Responder::of(&fleet).await;
    responder.answer(&lines[..300]).await;
    until("the first ones are taken", || async { !fleet.held(&accounts[0]).await.is_empty() }).await;
    // It waits for the rest.
    fleet.primary = fleet.primary.restart().await;
    for account in &accounts[..250] {
        assert!(!fleet.held(account).await.is_empty(), "what was taken is lost");
    }
    assert_eq!(fleet.held(&accounts[350]).await, "");
    lines.push(END);
    responder.answer(&lines).await;
    until("all of them are held", || async {
        packs_of(&fleet, "merged").await >= 1.0 && !fleet.held(&accounts[399]).await.is_empty()
    })
    .await;
    for account in &accounts {
        assert!(!fleet.held(account).await.is_empty());
    }
}

async fn packs_of(fleet: &Fleet, result: &str) -> f64 {
    fleet.primary.http.metric("packs_asked_total", &format!("result=\"{result}\"")).await
}
