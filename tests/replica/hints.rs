//! What others say over NATS is a hint: an old JWT that is repeated takes no replica back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions};
use nats_account_server::jwt::HashId;

use crate::restarts::ends;
use crate::support::{
    Account, Answer, FakePrimary, Launch, NatsLaunch, NatsServer, Operator, Proxy, Server, now, until, within,
};

const VERSION: &str = "2.15.1";

/// A nats-server and a tool of the system account, which says what it likes.
struct Tool {
    operator: Operator,
    nats: NatsServer,
    client: Client,
    creds: PathBuf,
    /// Every replica knows it. A newer JWT of it is applied at once, so everything said before was heard.
    marker: Account,
    marked: AtomicI64,
    _folder: tempfile::TempDir,
}

impl Tool {
    async fn start() -> Self {
        let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
        let system = operator.system();
        let creds = folder.path().join("system.creds");
        std::fs::write(&creds, system.user().creds()).unwrap();
        let preload = format!("{}: {}", system.key(), operator.account(system, 90_000));
        let lines = format!("resolver: MEMORY\nresolver_preload: {{ {preload} }}");
        let nats = NatsLaunch::new(VERSION, &operator).with(&lines).start().await;
        let options = ConnectOptions::with_credentials_file(&creds).await.unwrap();
        let client = within("a connection", options.connect(format!("nats://{}", nats.address()))).await.unwrap();
        let marked = AtomicI64::new(now() - 50_000);
        Self { operator, nats, client, creds, marker: Account::new(), marked, _folder: folder }
    }

    /// A replica that hears what is said, and knows the marker.
    async fn replica(&self, primary: &str, prepare: impl FnOnce(Launch) -> Launch) -> Server {
        let launch = Launch::replica(&self.operator, primary).nats(self.nats.address(), &self.creds);
        let replica = prepare(launch).start_unready().await;
        until("the replica knows the marker", || async { replica.http.get(&self.marker.path()).await.status == 200 })
            .await;
        until("the replica hears what is said", || async {
            let jwt = self.mark().await;
            replica.http.get(&self.marker.path()).await.body == jwt
        })
        .await;
        replica
    }

    /// The first JWT of the marker, for the primary.
    fn marker_jwt(&self) -> String {
        self.operator.account(&self.marker, 60_000)
    }

    async fn mark(&self) -> String {
        let iat = self.marked.fetch_add(1, Ordering::SeqCst);
        let jwt = self.operator.sign(&self.marker.claims(iat));
        self.says(&self.marker, &jwt).await;
        jwt
    }

    async fn says(&self, account: &Account, jwt: &str) {
        let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", account.key());
        self.client.publish(subject, jwt.to_owned().into()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    /// Says something, and waits until a replica has heard it.
    async fn is_heard(&self, replica: &Server, account: &Account, jwt: &str) {
        self.says(account, jwt).await;
        let mark = self.mark().await;
        until("what was said before the mark is heard", || async {
            replica.http.get(&self.marker.path()).await.body == mark
        })
        .await;
    }
}

fn ttl(launch: Launch, ttl: &str) -> Launch {
    launch.env("NAS_REPLICA__TTL", ttl)
}

async fn is_gone(server: &Server, account: &Account) {
    until("the account is gone", || async { server.http.get(&account.path()).await.status == 404 }).await;
}

/// Whether a replica counts an account as newer than at its primary.
async fn is_ahead(replica: &Server, account: &Account) -> bool {
    replica.http.get("/jwt/v1/ahead").await.expect(200).body.contains(&account.key())
}

/// How many hints came to this end.
async fn hints(replica: &Server, outcome: &str) -> f64 {
    replica.http.metric("replica_hints_total", &format!("outcome=\"{outcome}\"")).await
}

/// The status stays the same for a while, in which an entry would be asked about several times.
async fn stays(replica: &Server, account: &Account, status: u16) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1_200) {
        replica.http.get(&account.path()).await.expect(status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_account_that_was_deleted_before_a_replica_began_does_not_come_back() {
    let tool = Tool::start().await;
    let primary = Server::primary(&tool.operator).await;
    let account = Account::new();
    let old = tool.operator.account(&account, 1_000);
    primary.http.post(&tool.marker.path(), tool.marker_jwt()).await.expect(200);
    primary.http.post(&account.path(), old.clone()).await.expect(200);
    primary.http.delete(&account.path(), tool.operator.delete_request(&[&account], 0)).await.expect(200);
    for mode in ["cache", "mirror"] {
        let replica = tool.replica(&primary.url, |launch| ttl(launch, "200ms").env("NAS_REPLICA__MODE", mode)).await;
        replica.follows().await;
        replica.http.get(&account.path()).await.expect(404);
        tool.is_heard(&replica, &account, &old).await;
        stays(&replica, &account, 404).await;
    }
}

fn file(folder: &Path, account: &Account) -> PathBuf {
    folder.join(format!("{}.jwt", account.key()))
}

#[tokio::test]
async fn an_account_that_left_a_read_only_folder_does_not_come_back() {
    let (tool, folder) = (Tool::start().await, tempfile::tempdir().unwrap());
    let account = Account::new();
    let old = tool.operator.account(&account, 1_000);
    std::fs::write(file(folder.path(), &tool.marker), tool.marker_jwt()).unwrap();
    std::fs::write(file(folder.path(), &account), &old).unwrap();
    let launch = Launch::primary(&tool.operator).dir(folder.path()).env("NAS_STORE__READONLY", "true");
    let primary = launch.start().await;
    let mut replicas = Vec::new();
    for mode in ["cache", "mirror"] {
        let replica = tool.replica(&primary.url, |launch| ttl(launch, "200ms").env("NAS_REPLICA__MODE", mode)).await;
        replica.follows().await;
        replica.http.get(&account.path()).await.expect(200);
        replicas.push(replica);
    }
    std::fs::remove_file(file(folder.path(), &account)).unwrap();
    is_gone(&primary, &account).await;
    for replica in &replicas {
        is_gone(replica, &account).await;
        tool.is_heard(replica, &account, &old).await;
        stays(replica, &account, 404).await;
        until("the primary was asked instead", || async { hints(replica, "asked").await >= 1.0 }).await;
        stays(replica, &account, 404).await;
    }
    // The folder's owner decides.
    std::fs::write(file(folder.path(), &account), &old).unwrap();
    for replica in &replicas {
        until("it is back", || async { replica.http.get(&account.path()).await.status == 200 }).await;
    }
}

#[tokio::test]
async fn an_old_jwt_that_comes_while_the_primary_is_asked_does_not_win_over_its_answer() {
    let tool = Tool::start().await;
    let (first, held) = (Account::new(), Account::new());
    let [oldest, old, new] = [3_000, 2_000, 1_000].map(|age| tool.operator.account(&first, age));
    let [held_oldest, held_old, held_new] = [3_000, 2_000, 1_000].map(|age| tool.operator.account(&held, age));
    let (marker, marker_jwt) = (tool.marker.key(), tool.marker_jwt());
    let known = held.key();
    let answers = move |key: &str| match key {
        key if key == marker => Answer::new(200, marker_jwt.clone()),
        key if key == known => Answer::new(200, held_oldest.clone()),
        _ => Answer::new(404, "no\n"),
    };
    let primary = FakePrimary::without_feed(answers.clone()).await;
    let replica = tool.replica(&primary.url, |launch| ttl(launch, "1s")).await;
    replica.http.get(&held.path()).await.expect(200);
    for (account, old, new) in [(&first, &old, &new), (&held, &held_old, &held_new)] {
        let (answers, key, answer) = (answers.clone(), account.key(), new.clone());
        primary.now_answers(move |asked| {
            if asked == key {
                Answer::new(200, answer.clone()).after(Duration::from_millis(500))
            } else {
                answers(asked)
            }
        });
        let asked = primary.heads(&account.path()).len();
        let is_asked = || async {
            // What is held is asked about when it is older than the time-to-live.
            let _ = replica.http.get(&account.path()).await;
            primary.heads(&account.path()).len() > asked
        };
        let (reply, ()) = tokio::join!(
            async {
                until("the primary is asked", is_asked).await;
                replica.http.get(&account.path()).await
            },
            async {
                until("the primary is being asked", || async { primary.heads(&account.path()).len() > asked }).await;
                tool.is_heard(&replica, account, old).await;
            }
        );
        assert_eq!(reply.expect(200).body, **new);
        for _ in 0..20 {
            assert_eq!(replica.http.get(&account.path()).await.body, **new);
        }
    }
    // It can be too old for that as well.
    tool.is_heard(&replica, &first, &oldest).await;
    assert_eq!(replica.http.get(&first.path()).await.body, new);
}

/// What a primary without a feed answers: the marker's JWT, and what else is known.
fn knows(tool: &Tool, known: &[(&Account, &str)]) -> impl Fn(&str) -> Answer + Send + Sync + 'static {
    let marker = (tool.marker.key(), tool.marker_jwt());
    let known: Vec<_> = known.iter().map(|(account, jwt)| (account.key(), (*jwt).to_owned())).chain([marker]).collect();
    move |asked: &str| {
        let found = known.iter().find(|(key, _)| key == asked);
        found.map_or_else(|| Answer::new(404, "no\n"), |(_, jwt)| Answer::new(200, jwt.clone()))
    }
}

#[tokio::test]
async fn what_only_the_primary_can_tell_it_is_asked() {
    let tool = Tool::start().await;
    let (held, unknown, unasked) = (Account::new(), Account::new(), Account::new());
    let second = now() - 1_000;
    let [first, other, third] = [1, 2, 3].map(|count| tool.operator.sign(&held.with_connections(second, count)));
    let primary = FakePrimary::without_feed(knows(&tool, &[(&held, &first)])).await;
    let slow = |launch: Launch| ttl(launch, "1h").env("NAS_REPLICA__NEGATIVE_TTL", "1h");
    let replica = tool.replica(&primary.url, slow).await;
    assert_eq!(replica.http.get(&held.path()).await.expect(200).body, first);
    replica.http.get(&unknown.path()).await.expect(404);

    tool.is_heard(&replica, &held, &first).await;
    tool.is_heard(&replica, &unasked, &tool.operator.account(&unasked, 10)).await;
    assert_eq!((hints(&replica, "asked").await, primary.heads(&unasked.path()).len()), (0.0, 0));
    assert_eq!(hints(&replica, "ignored").await, 2.0, "it is served, or no client wants it");

    // Of two of one second.
    tool.is_heard(&replica, &held, &other).await;
    until("the primary has answered", || async { hints(&replica, "asked").await == 1.0 }).await;
    assert_eq!(replica.http.get(&held.path()).await.body, first);
    primary.now_answers(knows(&tool, &[(&held, &other)]));
    tool.says(&held, &third).await;
    until("its answer counts", || async { replica.http.get(&held.path()).await.body == other }).await;

    // What is remembered as unknown.
    let jwt = tool.operator.account(&unknown, 10);
    tool.is_heard(&replica, &unknown, &jwt).await;
    until("the primary has answered", || async { hints(&replica, "asked").await == 3.0 }).await;
    replica.http.get(&unknown.path()).await.expect(404);
    primary.now_answers(knows(&tool, &[(&held, &other), (&unknown, &jwt)]));
    tool.says(&unknown, &jwt).await;
    until("it is known", || async { replica.http.get(&unknown.path()).await.status == 200 }).await;
    assert_eq!(primary.heads(&unknown.path()).len(), 3);
}

#[tokio::test]
async fn what_is_newer_is_served_while_the_primary_is_away_and_counts_as_ahead_when_it_has_less() {
    let (tool, folder) = (Tool::start().await, tempfile::tempdir().unwrap());
    let account = Account::new();
    let [oldest, old, new, newest] = [400, 300, 200, 100].map(|age| tool.operator.account(&account, age));
    let primary = FakePrimary::without_feed(knows(&tool, &[(&account, &oldest)])).await;
    let link = Proxy::to(primary.url.trim_start_matches("http://")).await;
    let url = link.url();
    let begin = || tool.replica(&url, |launch| ttl(launch, "1h").dir(folder.path()));
    let replica = begin().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, oldest);
    link.cut();
    tool.is_heard(&replica, &account, &new).await;
    tool.is_heard(&replica, &account, &old).await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, new);

    ends(replica).await;
    let replica = begin().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, new);
    tool.is_heard(&replica, &account, &newest).await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, newest);
    assert!(!is_ahead(&replica, &account).await);

    // The primary never had it: newer never yields to older.
    link.heal();
    until("what was only heard is asked about", || async {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, newest);
        is_ahead(&replica, &account).await
    })
    .await;
    primary.now_answers(knows(&tool, &[(&account, &newest)]));
    ends(replica).await;
    let replica = begin().await;
    until("it is level", || async {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, newest);
        !is_ahead(&replica, &account).await
    })
    .await;
}

#[tokio::test]
async fn a_tool_that_repeats_everything_makes_few_requests_and_keeps_no_client_waiting() {
    let tool = Tool::start().await;
    let accounts: Vec<_> = (0..300).map(|_| Account::new()).collect();
    let jwts: Vec<_> = accounts.iter().map(|account| tool.operator.account(account, 100)).collect();
    let primary = FakePrimary::without_feed(knows(&tool, &[])).await;
    let mirror = |launch: Launch| ttl(launch, "1h").env("NAS_REPLICA__MODE", "mirror");
    let replica = tool.replica(&primary.url, mirror).await;
    let (asked, began) = (primary.requests(), Instant::now());
    for _ in 0..3 {
        for (account, jwt) in accounts.iter().zip(&jwts) {
            tool.says(account, jwt).await;
        }
    }
    let mark = tool.mark().await;
    until("all of it is heard", || async { replica.http.get(&tool.marker.path()).await.body == mark }).await;
    let stranger = Account::new();
    let waited = Instant::now();
    replica.http.get(&stranger.path()).await.expect(404);
    assert!(waited.elapsed() < Duration::from_millis(500), "{:?}", waited.elapsed());
    let made = |requests: usize| requests - asked - primary.heads(&stranger.path()).len();
    until("nothing waits any more", || async {
        let seconds = began.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss)]
        let made = made(primary.requests()) as f64;
        assert!(made <= 40.0 + 40.0 * (seconds + 0.2), "{made} requests within {seconds} s");
        let mut all = 0.0;
        for outcome in ["asked", "joined", "dropped", "settled"] {
            all += hints(&replica, outcome).await;
        }
        all == 900.0
    })
    .await;
    assert!(hints(&replica, "joined").await > 0.0);
    assert_eq!(hints(&replica, "dropped").await, 0.0);
    for account in accounts.iter().step_by(30) {
        replica.http.get(&account.path()).await.expect(404);
    }
}

#[tokio::test]
async fn an_old_activation_that_comes_while_the_primary_is_asked_does_not_win_over_its_answer() {
    let tool = Tool::start().await;
    let (exporter, importer) = (Account::named("exporter"), Account::new());
    let [first, old, new] = [300, 200, 100].map(|age| exporter.activation(&importer, "orders", age));
    let hash = HashId::of(&exporter.key(), &importer.key(), "orders").unwrap();
    let path = format!("/jwt/v1/activations/{hash}");
    let jwts = [(&exporter, tool.operator.account(&exporter, 1_000)), (&tool.marker, tool.marker_jwt())];
    let jwts = jwts.map(|(account, jwt)| (account.path(), Answer::new(200, jwt)));
    let answers = |activation: Answer| {
        let answers: HashMap<_, _> = jwts.iter().cloned().chain([(path.clone(), activation)]).collect();
        move |asked: &str| answers.get(asked).cloned().unwrap_or_else(|| Answer::new(404, "no\n"))
    };
    let primary = FakePrimary::new(answers(Answer::new(200, first.clone()))).await;
    let link = Proxy::to(primary.url.trim_start_matches("http://")).await;
    let replica = tool.replica(&link.url(), |launch| ttl(launch, "1s")).await;
    assert_eq!(replica.http.get(&path).await.expect(200).body, first);
    primary.now_says(answers(Answer::new(200, new.clone()).after(Duration::from_millis(700))));
    let asked = primary.heads(&path).len();
    tokio::join!(
        until("the answer has come", || async { replica.http.get(&path).await.expect(200).body == new }),
        async {
            until("the primary is asked", || async { primary.heads(&path).len() > asked }).await;
            let subject = format!("$SYS.ACCOUNT.{}.CLAIMS.ACTIVATE.{hash}", exporter.key());
            // The junk after it is counted, so the activation was judged by then.
            for text in [&*old, "junk"] {
                tool.client.publish(subject.clone(), text.to_owned().into()).await.unwrap();
            }
            tool.client.flush().await.unwrap();
            until("it is heard", || async {
                replica.http.metric("refused_total", "path=\"hint\",reason=\"undecodable\"").await == 1.0
            })
            .await;
        }
    );
    // The one that was answered stays, although it has to be asked about again.
    link.cut();
    for _ in 0..20 {
        assert_eq!(replica.http.get(&path).await.expect(200).body, new);
    }
}
