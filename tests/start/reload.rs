//! SIGHUP: what changes while the server runs, what does not, and what is said about it.
use std::path::{Path, PathBuf};

use crate::support::{Account, Answer, Authority, Connection, FakePrimary, Launch, Operator, Server, now, until};
use nkeys::KeyPair;
use rustls::version::TLS13;

const DONE: &str = "reloaded the settings";

/// A server with a configuration file and an operator in a file.
struct Bench {
    operator: Operator,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { operator: Operator::new(), folder: tempfile::tempdir().unwrap() };
        std::fs::write(bench.file("operator.jwt"), bench.operator.jwt()).unwrap();
        bench.configure("");
        bench
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, lines: &str) {
        let operator = self.file("operator.jwt");
        std::fs::write(self.file("nas.conf"), format!("operator: {operator:?}\n{lines}\n")).unwrap();
    }

    fn launch(&self) -> Launch {
        Launch::default().flag("-c", self.file("nas.conf"))
    }
}

/// Hangs up, and waits until that was dealt with. `times`: how often it was before, and now.
async fn reload(server: &Server, times: usize) {
    server.signal("HUP");
    server.logs_times(DONE, times).await;
}

#[tokio::test]
async fn a_signing_key_that_the_operator_adds_counts_after_a_reload() {
    let (bench, account) = (Bench::new(), Account::new());
    let server = bench.launch().start().await;
    let key = KeyPair::new_operator();
    let jwt = nats_account_server::testkit::sign(&account.claims(now() - 10), &key);
    server.http.post(&account.path(), jwt.clone()).await.expect(400);
    std::fs::write(bench.file("operator.jwt"), bench.operator.jwt_with_signing_key(&key)).unwrap();
    reload(&server, 1).await;
    assert!(server.log().contains(&format!("signing key {} is new", key.public_key())), "{}", server.log());
    server.http.post(&account.path(), jwt).await.expect(200);
    assert_eq!(server.http.metric("reloads_total", "{result=\"ok\",what=\"operator\"}").await, 1.0);
    // The JWT of before does not come back; a new one without the key takes it away.
    std::fs::write(bench.file("operator.jwt"), bench.operator.jwt()).unwrap();
    reload(&server, 2).await;
    assert!(server.log().contains("the operator JWT in force is newer"), "{}", server.log());
    std::fs::write(bench.file("operator.jwt"), bench.operator.listing(&[], -1)).unwrap();
    reload(&server, 3).await;
    assert!(server.log().contains(&format!("signing key {} is withdrawn", key.public_key())), "{}", server.log());
}

#[tokio::test]
async fn an_operator_that_cannot_be_used_changes_nothing() {
    let (bench, account) = (Bench::new(), Account::new());
    let server = bench.launch().start().await;
    let cases = [
        ("no token".to_owned(), "not a valid operator JWT"),
        (bench.operator.account(&account, 0), "not a valid operator JWT"),
        (Operator::new().jwt(), "--change-operator"),
        (bench.operator.jwt()[..100].to_owned(), "not a valid operator JWT"),
    ];
    for (times, (content, said)) in cases.into_iter().enumerate() {
        std::fs::write(bench.file("operator.jwt"), content).unwrap();
        reload(&server, times + 1).await;
        assert!(server.log().lines().last().unwrap().contains(DONE), "{}", server.log());
        let log = server.log();
        let line = log.lines().rev().find(|line| line.contains("cannot use the new operator JWT"));
        assert!(line.is_some_and(|line| line.contains(said)), "{said:?} is not in {line:?}");
        server.http.post(&account.path(), bench.operator.account(&account, 90 - times as i64)).await.expect(200);
        assert_eq!(server.http.get("/jwt/v1/operator").await.expect(200).body, bench.operator.jwt());
    }
    std::fs::remove_file(bench.file("operator.jwt")).unwrap();
    reload(&server, 5).await;
    assert!(server.log().contains("cannot read the operator JWT"), "{}", server.log());
    assert_eq!(server.http.metric("reloads_total", "{result=\"failed\",what=\"operator\"}").await, 5.0);
}

#[tokio::test]
async fn the_operator_must_go_with_the_system_account() {
    let (bench, other) = (Bench::new(), Account::new());
    let system = bench.operator.system().key();
    bench.configure(&format!("system_account: {system}"));
    let server = bench.launch().start().await;
    std::fs::write(bench.file("operator.jwt"), bench.operator.jwt_with_system_account(&other)).unwrap();
    reload(&server, 1).await;
    let said = format!("the Operator System Account {} differs from configured System Account {system}", other.key());
    assert!(server.log().contains(&said), "{}", server.log());
    assert_eq!(server.http.get("/jwt/v1/operator").await.expect(200).body, bench.operator.jwt());
}

#[tokio::test]
async fn the_log_level_changes_with_the_file() {
    let bench = Bench::new();
    let server = bench.launch().start().await;
    let requests = || server.log().matches("GET /livez").count();
    server.http.get("/livez").await.expect(200);
    bench.configure("log { level: debug }");
    reload(&server, 1).await;
    server.http.get("/livez").await.expect(200);
    until("the request is in the log", || async { requests() == 1 }).await;
    bench.configure("");
    reload(&server, 2).await;
    server.http.get("/livez").await.expect(200);
    bench.configure("log { level: debug }");
    reload(&server, 3).await;
    server.http.get("/livez").await.expect(200);
    until("the request is in the log", || async { requests() == 2 }).await;
}

#[tokio::test]
async fn a_broken_configuration_is_reported_as_at_start_and_changes_nothing() {
    let bench = Bench::new();
    let server = bench.launch().start().await;
    let broken =
        ["http { port: x }", "http {", "nats { tls { cert: a } }", "log { level: debug }\nstore { history: 0 }"];
    for (times, lines) in broken.into_iter().enumerate() {
        bench.configure(lines);
        let (_, text) = bench.launch().fail().await;
        let text = text.trim().trim_start_matches("nats-account-server: ").to_owned();
        assert!(text.starts_with("cannot use the settings: "), "{text}");
        server.signal("HUP");
        for line in text.lines() {
            server.logs(line).await;
        }
        until("it is counted", || async {
            server.http.metric("reloads_total", "{result=\"failed\",what=\"settings\"}").await == times as f64 + 1.0
        })
        .await;
    }
    assert!(!server.log().contains(DONE), "{}", server.log());
    server.http.get("/livez").await.expect(200);
    assert!(!server.log().contains("GET /livez"), "the log level changed");
    bench.configure("");
    reload(&server, 1).await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let bench = Bench::new();
    let server = bench.launch().start().await;
    bench.configure("store { history: 7 }\nnats { tls { root: /a } }\nnonsense: 1");
    for times in 1..=2 {
        reload(&server, times).await;
        for said in [
            "store.history has changed; it takes effect at the next start",
            "nats.tls.root has changed; it takes effect at the next start",
            "unknown key nonsense",
        ] {
            assert_eq!(server.log().matches(said).count(), times, "{said}: {}", server.log());
        }
    }
    bench.configure("");
    reload(&server, 3).await;
    assert_eq!(server.log().matches("takes effect at the next start").count(), 4, "{}", server.log());
}

#[tokio::test]
async fn certificates_are_loaded_at_every_hangup_while_a_connection_lives_on() {
    let (bench, authority) = (Bench::new(), Authority::new("Tests"));
    let config = authority.client_config(None, &[&TLS13]);
    let pairs: Vec<_> = (0..6).map(|_| authority.server()).collect();
    let write = |number: usize| {
        let (cert, key) = (bench.file(&format!("{number}.pem")), bench.file(&format!("{number}.key")));
        pairs[number].write(&cert, &key);
        bench.configure(&format!("http {{ tls {{ cert: {cert:?}, key: {key:?} }} }}"));
        (cert, key)
    };
    // The file says where they are; the flags of `https` would be in its way.
    write(0);
    let server = bench.launch().client(authority.http_client(None)).start().await;
    let mut living = Connection::open(server.host(), &config).unwrap();
    for (number, pair) in pairs.iter().enumerate().skip(1) {
        write(number);
        reload(&server, number).await;
        assert_eq!(Connection::open(server.host(), &config).unwrap().certificate(), pair.der());
        assert!(living.get("/livez").unwrap().starts_with("HTTP/1.1 200"));
        assert_eq!(living.certificate(), pairs[0].der());
    }
    assert!(!server.log().contains("next start"), "{}", server.log());
    // A key that is not there, and who is asked for a certificate.
    std::fs::remove_file(bench.file("5.key")).unwrap();
    reload(&server, 6).await;
    assert!(server.log().contains("5.key: the file cannot be read"), "{}", server.log());
    assert_eq!(Connection::open(server.host(), &config).unwrap().certificate(), pairs[5].der());
    let root = authority.write(&bench.file("ca.pem"));
    let (cert, key) = (bench.file("0.pem"), bench.file("0.key"));
    bench.configure(&format!(
        "http {{ tls {{ cert: {cert:?}, key: {key:?}, root: {root:?}, client_auth: required }} }}"
    ));
    reload(&server, 7).await;
    assert!(Connection::open(server.host(), &config).is_err());
    let own = authority.client();
    assert!(Connection::open(server.host(), &authority.client_config(Some(&own), &[&TLS13])).is_ok());
    assert!(living.get("/livez").unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_replica_shows_another_token_after_a_reload() {
    let bench = Bench::new();
    let primary = FakePrimary::without_feed(|_| Answer::new(404, "")).await;
    let configure = |token: &str| bench.configure(&format!("primary: {:?}\nreplica {{ token: {token} }}", primary.url));
    configure("first");
    let server = bench.launch().start_unready().await;
    let shown = |token: &str| {
        let wanted = format!("Bearer {token}\r\n");
        primary.heads("/jwt/v1/accounts/").last().is_some_and(|head| head.contains(&wanted))
    };
    server.http.get(&Account::new().path()).await.expect(404);
    assert!(shown("first"));
    configure("second");
    reload(&server, 1).await;
    server.http.get(&Account::new().path()).await.expect(404);
    assert!(shown("second"));
    assert!(!server.log().contains("next start") && !server.log().contains("second"), "{}", server.log());
}

#[tokio::test]
async fn https_itself_needs_a_restart() {
    let bench = Bench::new();
    let server = bench.launch().start().await;
    let (cert, key): (&Path, &Path) = (&bench.file("a.pem"), &bench.file("a.key"));
    Authority::new("Tests").server().write(cert, key);
    bench.configure(&format!("http {{ tls {{ cert: {cert:?}, key: {key:?} }} }}"));
    reload(&server, 1).await;
    assert!(server.log().contains("http.tls.cert has changed; it takes effect at the next start"), "{}", server.log());
    server.http.get("/livez").await.expect(200);
}
