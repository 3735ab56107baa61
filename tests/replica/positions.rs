//! What a replica confirms is true: nothing that it would serve without asking is from before that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nats_account_server::feed::wire::{FollowerReport, Item, Page};
use nats_account_server::feed::{Chain, Head, Operation, Session};
use nats_account_server::testkit;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::support::{Account, Answer, FakePrimary, Holdings, Launch, Operator, Proxy, Server, now, until};

/// A primary of the test's own, with a feed that says where it is, and digests that can be switched off.
#[derive(Clone)]
struct Script {
    at: Head,
    /// Changes that come to those who are at `at`.
    changes: Arc<Mutex<Vec<Item>>>,
    /// What is answered about any account.
    account: Arc<Mutex<Answer>>,
    /// What it holds, for those who compare.
    holdings: Holdings,
    /// Whether the operator can be.
    knows_operator: Arc<AtomicBool>,
    reports: u16,
}

impl Script {
    fn at(session: u8, serial: u64) -> Self {
        let at = Head { session: Session([session; 16]), serial, chain: Chain([session; 32]) };
        Self {
            at,
            changes: Arc::default(),
            account: Arc::new(Mutex::new(Answer::new(404, ""))),
            holdings: Holdings::new(at),
            knows_operator: Arc::new(AtomicBool::new(true)),
            reports: 204,
        }
    }

    fn answers(&self, answer: Answer) {
        *self.account.lock() = answer;
    }

    /// Whether accounts can be compared.
    fn compares(&self, compares: bool) {
        self.holdings.are_away(!compares);
    }

    /// Holds what a change puts.
    fn holds(&self, item: &Item) {
        self.holdings.hold(item);
    }

    /// Says a change, and holds what it puts.
    fn says(&self, item: Item) {
        self.holdings.stand_at(Head { serial: item.serial, chain: Chain::parse(&item.chain).unwrap(), ..self.at });
        self.holds(&item);
        self.changes.lock().push(item);
    }

    async fn start(&self) -> FakePrimary {
        let script = self.clone();
        FakePrimary::reading(move |path, body| script.answer(path, body)).await
    }

    fn answer(&self, path: &str, body: &str) -> Answer {
        let at = self.at;
        if let Some(query) = path.strip_prefix("/jwt/v1/changes") {
            let changes = self.changes.lock();
            let head = at.serial + changes.len() as u64;
            let page = serde_json::to_string(&Page::new(at, head, Vec::new())).unwrap();
            if query.contains("session=") && !query.contains(&at.session.to_string()) {
                return Answer::new(410, page);
            }
            let mut text = format!("event: hello\ndata: {page}\n\n");
            for change in changes.iter() {
                text.push_str(&format!("event: change\ndata: {}\n\n", serde_json::to_string(change).unwrap()));
            }
            return Answer::stream(text);
        }
        match path {
            "/jwt/v1/digests" if body.contains("[\"O") => match self.knows_operator.load(Ordering::SeqCst) {
                true => self.holdings.always_answer(path, body).unwrap(),
                false => Answer::new(503, ""),
            },
            "/jwt/v1/followers" => Answer::new(self.reports, ""),
            path if path.starts_with("/jwt/v1/accounts/") => self.account.lock().clone(),
            path => self.holdings.answer(path, body).unwrap_or_else(|| Answer::new(404, "")),
        }
    }

    /// A change that follows, of an account.
    fn change(&self, account: &Account, jwt: &str) -> Item {
        let serial = self.at.serial + 1;
        Item {
            serial,
            chain: self.at.chain.next(serial, Operation::Put, &Sha256::digest(jwt).into()).to_string(),
            at: now() * 1000,
            kind: "account".into(),
            op: "put".into(),
            key: Some(account.key()),
            jwt: Some(jwt.to_owned()),
            keys: Vec::new(),
            request: None,
            digest: None,
            identity: None,
            links: Vec::new(),
        }
    }
}

/// The positions that were reported to a server in its session.
fn confirmed(primary: &FakePrimary, script: &Script) -> Vec<u64> {
    let reports = primary.bodies("/jwt/v1/followers");
    let reports = reports.iter().map(|body| serde_json::from_str::<FollowerReport>(body).unwrap());
    let session = script.at.session.to_string();
    reports.filter(|report| report.session.as_ref() == Some(&session)).filter_map(|report| report.serial).collect()
}

async fn confirms(primary: &FakePrimary, script: &Script, serial: u64) {
    until(&format!("{serial} is confirmed"), || async { confirmed(primary, script).last() == Some(&serial) }).await;
}

/// Waits until the server was asked for the operator, and again and again for accounts. What was to be reported since is.
async fn asked_again(primary: &FakePrimary) {
    let named = |of: &str| primary.bodies("/jwt/v1/digests").iter().filter(|body| body.contains(of)).count();
    until("it was asked for the operator", || async { named("[\"O") > 0 }).await;
    let asked = || named("[\"A") + primary.heads("/jwt/v1/digests").len();
    let before = asked();
    until("it was asked again what differs", || async { asked() >= before + 2 }).await;
}

/// Pulls an account through a replica.
async fn pulls(replica: &Server, script: &Script, account: &Account, jwt: &str) {
    script.answers(Answer::new(200, jwt));
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
}

#[tokio::test]
async fn what_is_being_compared_is_not_confirmed() {
    let (operator, account) = (Operator::new(), Account::new());
    let (first, second) = (Script::at(1, 5), Script::at(2, 9));
    let primaries = [first.start().await, second.start().await];
    let way = Proxy::to(primaries[0].url.trim_start_matches("http://")).await;
    let replica = Launch::replica(&operator, &way.url()).start().await;
    confirms(&primaries[0], &first, 5).await;
    let jwt = operator.account(&account, 100);
    pulls(&replica, &first, &account, &jwt).await;
    second.holds(&second.change(&account, &jwt));
    second.compares(false);
    way.lead_to(primaries[1].url.trim_start_matches("http://"));
    replica.follows().await;
    asked_again(&primaries[1]).await;
    confirms(&primaries[1], &second, 0).await;
    assert!(confirmed(&primaries[1], &second).iter().all(|serial| *serial == 0));
    second.compares(true);
    confirms(&primaries[1], &second, 9).await;
    let last = primaries[1].bodies("/jwt/v1/followers").pop().unwrap();
    let last: FollowerReport = serde_json::from_str(&last).unwrap();
    assert_eq!((last.chain, &*last.mode, last.lasting), (Some(second.at.chain.to_string()), "cache", false));
}

#[tokio::test]
async fn a_change_that_the_gate_refuses_is_not_confirmed() {
    let (operator, account) = (Operator::new(), Account::new());
    let script = Script::at(1, 5);
    let primary = script.start().await;
    let way = Proxy::to(primary.url.trim_start_matches("http://")).await;
    let replica = Launch::replica(&operator, &way.url()).start().await;
    confirms(&primary, &script, 5).await;
    let first = script.change(&account, &operator.account(&account, 100));
    pulls(&replica, &script, &account, first.jwt.as_ref().unwrap()).await;
    // Of another operator: it is refused in the feed, and when it is found by comparing.
    script.says(script.change(&account, &Operator::new().account(&account, 50)));
    way.cut();
    way.heal();
    until("the change has come", || async { replica.http.metric("serial", "").await == 6.0 }).await;
    asked_again(&primary).await;
    assert!(confirmed(&primary, &script).iter().all(|serial| *serial <= 5));
    script.holds(&first);
    confirms(&primary, &script, 6).await;
}

#[tokio::test]
async fn what_another_server_gave_is_not_confirmed_until_it_is_compared() {
    let (operator, account) = (Operator::new(), Account::new());
    let (followed, other) = (Script::at(1, 5), Script::at(1, 2));
    let primaries = [followed.start().await, other.start().await];
    let list = format!("{},{}", primaries[0].url, primaries[1].url);
    let folder = tempfile::tempdir().unwrap();
    let replica = Launch::replica(&operator, &list).dir(folder.path()).start().await;
    confirms(&primaries[0], &followed, 5).await;
    followed.compares(false);
    // The one that is followed cannot say, and the other one is further behind.
    followed.answers(Answer::new(503, ""));
    other.answers(Answer::new(200, operator.account(&account, 100)).header("nas-primary-age", "7"));
    replica.http.get(&account.path()).await.expect(200);
    confirms(&primaries[0], &followed, 0).await;
    asked_again(&primaries[0]).await;
    assert_eq!(confirmed(&primaries[0], &followed).last(), Some(&0));
    assert!(confirmed(&primaries[1], &other).is_empty());
    // Nor is it by another process.
    let before = confirmed(&primaries[0], &followed).len();
    let replica = replica.stop_and_start().await;
    replica.follows().await;
    asked_again(&primaries[0]).await;
    assert!(confirmed(&primaries[0], &followed)[before..].iter().all(|serial| *serial == 0));
    followed.compares(true);
    confirms(&primaries[0], &followed, 5).await;
    assert!(confirmed(&primaries[1], &other).is_empty());
}

#[tokio::test]
async fn a_history_whose_operator_is_not_known_yet_is_not_confirmed() {
    let operator = Operator::new();
    let script = Script::at(1, 5);
    script.knows_operator.store(false, Ordering::SeqCst);
    let newer = operator.listing(&[&nkeys::KeyPair::new_operator()], 0);
    let item = Item {
        kind: "operator".into(),
        key: Some(operator.key()),
        jwt: Some(newer.clone()),
        ..script.change(&Account::new(), "")
    };
    script.holds(&item);
    let primary = script.start().await;
    let replica = Launch::replica(&operator, &primary.url).start().await;
    until("it was asked for the operator", || async { primary.bodies("/jwt/v1/digests").len() >= 2 }).await;
    confirms(&primary, &script, 0).await;
    assert_eq!(replica.http.get("/jwt/v1/operator").await.expect(200).body, operator.jwt());
    script.knows_operator.store(true, Ordering::SeqCst);
    confirms(&primary, &script, 5).await;
    assert_eq!(replica.http.get("/jwt/v1/operator").await.expect(200).body, newer);
}

#[tokio::test]
async fn a_change_to_an_operator_that_cannot_be_connected_is_not_confirmed() {
    let operator = Operator::new();
    let script = Script::at(1, 5);
    let primary = script.start().await;
    let folder = tempfile::tempdir().unwrap();
    let replica = Launch::replica(&operator, &primary.url).dir(folder.path()).start().await;
    confirms(&primary, &script, 5).await;
    let unlisted = nkeys::KeyPair::new_operator();
    let jwt = testkit::sign(&operator.claims(&[&unlisted], now() + 1), &unlisted);
    let change = script.change(&Account::new(), &jwt);
    let item = Item { kind: "operator".into(), key: Some(operator.key()), ..change };
    script.says(item);
    let before = primary.bodies("/jwt/v1/digests").len();
    let replica = replica.stop_and_start().await;
    until("the change has come", || async { replica.http.metric("replica_operator_unconnected", "").await == 1.0 })
        .await;
    until("it was asked again for the operator", || async { primary.bodies("/jwt/v1/digests").len() >= before + 2 })
        .await;
    confirms(&primary, &script, 5).await;
    assert!(!confirmed(&primary, &script).contains(&6));
}

#[tokio::test]
async fn an_operator_that_was_not_applied_limits_the_position_after_a_restart_as_well() {
    let operator = Operator::new();
    let before = Script::at(1, 5);
    let primary = before.start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut replica = Launch::replica(&operator, &primary.url).dir(folder.path()).start().await;
    confirms(&primary, &before, 5).await;
    let unlisted = nkeys::KeyPair::new_operator();
    let jwt = testkit::sign(&operator.claims(&[&unlisted], now() + 1), &unlisted);
    let change = before.change(&Account::new(), &jwt);
    let item = Item { kind: "operator".into(), key: Some(operator.key()), ..change };
    before.says(item.clone());
    replica = replica.stop_and_start().await;
    until("the change has come", || async { replica.http.metric("serial", "").await == 6.0 }).await;
    replica.signal("TERM");
    replica.exit().await;
    // The same history, one change later. Nothing brings the operator JWT but the question for it.
    let chain = Chain::parse(&item.chain).unwrap();
    let after = Script { at: Head { serial: 6, chain, ..before.at }, ..Script::at(1, 6) };
    after.holdings.stand_at(after.at);
    after.holds(&item);
    after.knows_operator.store(false, Ordering::SeqCst);
    let later = after.start().await;
    let replica = Launch::replica(&operator, &later.url).dir(folder.path()).start().await;
    replica.follows().await;
    confirms(&later, &after, 0).await;
    after.knows_operator.store(true, Ordering::SeqCst);
    until("it cannot be connected", || async { replica.http.metric("replica_operator_unconnected", "").await == 1.0 })
        .await;
    assert!(!confirmed(&later, &after).contains(&6), "{:?}", confirmed(&later, &after));
    let signed = operator.listing(&[&unlisted], 0);
    after.holds(&Item { jwt: Some(signed), ..item });
    confirms(&later, &after, 6).await;
}

#[tokio::test]
async fn a_server_that_does_not_know_reports_gets_few() {
    for status in [404, 405, 501] {
        let operator = Operator::new();
        let script = Script { reports: status, ..Script::at(1, 5) };
        let primary = script.start().await;
        let replica = Launch::replica(&operator, &primary.url).start().await;
        replica.follows().await;
        until("it was told", || async { !primary.bodies("/jwt/v1/followers").is_empty() }).await;
        let told = primary.bodies("/jwt/v1/followers").len();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let again = primary.bodies("/jwt/v1/followers").len() - told;
        assert!(again <= if status == 501 { 4 } else { 0 }, "{status} {again}");
        assert!(!replica.log().contains("[ERR]"), "{}", replica.log());
    }
}
