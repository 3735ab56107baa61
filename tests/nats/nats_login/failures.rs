//! Each failure to connect is one line of the log that says what to do, and one when it is over.

use std::path::PathBuf;

use super::{connected, lines, nats, preloaded};
use crate::support::{Authority, Launch, Operator, Proxy, Server, now, until};

/// A state in which nobody can connect.
struct Case {
    name: &'static str,
    /// Where the address leads first.
    bad: String,
    scheme: &'static str,
    root: Option<PathBuf>,
    creds: String,
    /// What the one warning says.
    said: &'static str,
}

/// So many attempts are worth one line.
const ATTEMPTS: usize = 12;

#[tokio::test]
async fn each_failure_is_one_warning_that_helps_and_its_end_one_line() {
    let operator = Operator::new();
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("Ours"), Authority::new("Theirs"));
    let root = ours.write(&folder.path().join("ours.pem"));
    let tls = |name: &str, pair: crate::support::Pair| {
        let (cert, key) = (folder.path().join(format!("{name}.pem")), folder.path().join(format!("{name}.key")));
        pair.write(&cert, &key);
        preloaded(&operator, "").with(&format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}")).start()
    };
    let (plain, secure) = (nats(&operator).await, tls("good", ours.server()).await);
    let wrong_authority = tls("wrong", theirs.server()).await;
    let (elsewhere, expired) = (
        tls("elsewhere", ours.server_until(2090, "elsewhere.example")).await,
        tls("expired", ours.server_until(2021, "127.0.0.1")).await,
    );
    let full = preloaded(&operator, "").with("max_connections: 1").start().await;
    let stranger = nats(&Operator::new()).await;
    let system = operator.system();
    let good = system.user().creds();
    let old = system.user_until(now() - 100, now() - 50).creds();
    let case = |name, bad: &str, scheme, root, creds: &str, said| Case {
        name,
        bad: bad.to_owned(),
        scheme,
        root,
        creds: creds.to_owned(),
        said,
    };
    let root = || Some(root.clone());
    let cases = [
        case("nothing listens", "", "nats", None, &good, "failed to connect to NATS"),
        case(
            "another authority",
            wrong_authority.address(),
            "nats",
            root(),
            &good,
            "UnknownIssuer; nats.tls.root must name",
        ),
        case("another name", elsewhere.address(), "nats", root(), &good, "use a name in nats.servers"),
        case("an expired certificate", expired.address(), "nats", root(), &good, "renew the nats-server's certificate"),
        case("TLS to a plain port", plain.address(), "tls", root(), &good, "there is no TLS at this address"),
        case(
            "a user that is not known",
            stranger.address(),
            "nats",
            None,
            &good,
            "NATS rejects this user; if the system account's JWT has not been pushed yet, push it now",
        ),
        case("an expired user", plain.address(), "nats", None, &old, "the user's JWT in nats.creds expired on"),
        case("too many connections", full.address(), "nats", None, &good, "raise max_connections"),
    ];
    let all = cases.into_iter().map(|case| {
        let good_end = if case.root.is_some() { secure.address() } else { plain.address() };
        let file = folder.path().join(format!("{}.creds", case.name));
        check(case, &operator, file, good_end, &good)
    });
    futures_util::future::join_all(all).await;
}

async fn check(case: Case, operator: &Operator, file: PathBuf, good_end: &str, good: &str) {
    let Case { name, bad, scheme, root, creds, said } = case;
    std::fs::write(&file, creds).unwrap();
    let wire = Proxy::to_nowhere().await;
    if !bad.is_empty() {
        wire.lead_to(&bad);
    }
    let mut launch = Launch::primary(operator)
        .nats(&format!("{scheme}://{}", wire.address()), &file)
        .env("NAS_NATS__RECONNECT_WAIT", "100ms")
        .env("NAS_LOG__LEVEL", "debug");
    if let Some(root) = &root {
        launch = launch.path("NAS_NATS__TLS__ROOT", root);
    }
    let server = launch.start().await;
    until(&format!("{name}: {ATTEMPTS} attempts"), || async {
        server.log().matches("an attempt to connect to NATS failed").count() >= ATTEMPTS
    })
    .await;
    helps(name, &server, said);
    std::fs::write(&file, good).unwrap();
    wire.lead_to(good_end);
    server.logs("connected to NATS for account and activation notifications").await;
    server.logs("connected to NATS for JWT syncing").await;
    connected(&server, 1.0).await;
    // The switch may cut an attempt, which is another failure; the first one is not repeated.
    let log = server.log();
    assert!(log.matches(said).count() == 1 && lines(&log, "ERR").is_empty(), "{name}: {log}");
    assert_eq!(log.matches("connected to NATS for").count(), 2, "{name}: {log}");
}

fn helps(name: &str, server: &Server, said: &str) {
    let log = server.log();
    let warnings = lines(&log, "WRN");
    assert!(warnings.len() == 1 && warnings[0].contains(said), "{name}: {warnings:#?}\n{log}");
    assert!(lines(&log, "ERR").is_empty(), "{name}: {log}");
    for path in [".cargo", ".rs:", env!("CARGO_MANIFEST_DIR")] {
        assert!(!log.contains(path), "{name}: {path} is in {log}");
    }
}

#[tokio::test]
async fn the_end_of_a_nats_server_is_one_warning_and_its_return_one_line() {
    let (operator, folder, wire) = (Operator::new(), tempfile::tempdir().unwrap(), Proxy::to_nowhere().await);
    let creds = folder.path().join("system.creds");
    std::fs::write(&creds, operator.system().user().creds()).unwrap();
    let first = nats(&operator).await;
    wire.lead_to(first.address());
    let server = Launch::primary(&operator).nats(wire.address(), &creds).start().await;
    connected(&server, 1.0).await;
    // Lame duck mode, and then nothing.
    first.signal("USR2");
    server.logs("the connected nats-server is about to stop").await;
    drop(first);
    wire.cut();
    connected(&server, 0.0).await;
    server.logs("failed to connect to NATS").await;
    let second = nats(&operator).await;
    wire.lead_to(second.address());
    connected(&server, 1.0).await;
    server.logs("nats reconnected").await;
    let log = server.log();
    assert!(lines(&log, "WRN").len() == 1 && lines(&log, "ERR").is_empty(), "{log}");
    for line in ["nats disconnected", "nats reconnected", "about to stop"] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
}

#[tokio::test]
async fn a_host_that_is_unknown_is_one_warning() {
    let server = Launch::primary(&Operator::new())
        .flag("-nats", "nats://no-such-host.invalid:4222")
        .env("NAS_NATS__RECONNECT_WAIT", "100ms")
        .env("NAS_LOG__LEVEL", "debug")
        .start()
        .await;
    server.logs("no-such-host.invalid:4222: the host name cannot be resolved").await;
    assert!(lines(&server.log(), "WRN").len() == 1 && lines(&server.log(), "ERR").is_empty(), "{}", server.log());
}
