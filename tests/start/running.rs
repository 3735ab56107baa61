//! Starting, failing to start, and stopping.
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::feed::Events;
use crate::support::fleet::NEWEST;
use crate::support::{Account, Authority, Launch, NatsLaunch, Operator, Server, until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A push that the server has begun to read, and of which only the first half has been sent.
struct HalfPush {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl HalfPush {
    async fn new(server: &Server, account: &Account, jwt: &str) -> Self {
        let mut stream = TcpStream::connect(server.host()).await.unwrap();
        let (path, length) = (account.path(), jwt.len());
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut go_on = *b"HTTP/1.1 100 Continue\r\n\r\n";
        let expected = go_on;
        within("the server's consent", stream.read_exact(&mut go_on)).await.unwrap();
        assert_eq!(go_on, expected);
        let (first, rest) = jwt.as_bytes().split_at(length / 2);
        stream.write_all(first).await.unwrap();
        Self { stream, rest: rest.to_vec() }
    }

    /// Sends the other half and reads the answer.
    async fn finish(mut self) -> String {
        self.stream.write_all(&self.rest).await.unwrap();
        let mut answer = vec![0; 4096];
        let length = within("an answer", self.stream.read(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

#[tokio::test]
async fn a_signal_lets_a_request_under_way_finish_and_ends_the_process_with_0() {
    for signal in ["TERM", "INT"] {
        let (operator, account, dir) = (Operator::new(), Account::new(), tempfile::tempdir().unwrap());
        let mut server = Server::primary_in(&operator, dir.path()).await;
        let jwt = operator.account(&account, 10);
        let push = HalfPush::new(&server, &account, &jwt).await;
        server.signal(signal);
        server.logs("stopping http server").await;
        let answer = push.finish().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{signal}: {answer}");
        assert_eq!(server.exit().await.code(), Some(0), "{signal}: {}", server.log());
        assert!(server.log().contains("closed JWT store"), "{}", server.log());
        let server = Server::primary_in(&operator, dir.path()).await;
        assert_eq!(server.http.get(&account.path()).await.body, jwt, "{signal}");
    }
}

#[tokio::test]
async fn followers_and_idle_connections_do_not_delay_the_end() {
    let operator = Operator::new();
    let mut server = Server::primary(&operator).await;
    let replica = Server::replica(&operator, &server.url).await;
    let mut events = Events::open(&server.http, "").await;
    let http = server.http.clone();
    let polling = tokio::spawn(async move { http.get("/jwt/v1/changes?after=0&wait=60s").await });
    let mut idle = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(server.host()).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        idle.push(stream);
    }
    until("all are there", || async { server.http.metric("feed_followers", "").await == 2.0 }).await;
    let told = Instant::now();
    server.signal("TERM");
    within("the end of the stream", async { while events.next().await.is_some() {} }).await;
    within("the answer to the long-poll", polling).await.unwrap().expect(200);
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3), "it took {:?}", told.elapsed());
    replica.http.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (operator, account) = (Operator::new(), Account::new());
    let mut server = Server::primary(&operator).await;
    let _push = HalfPush::new(&server, &account, &operator.account(&account, 10)).await;
    server.signal("TERM");
    server.logs("stopping http server").await;
    server.ends_when_told_again().await;
    assert_eq!(server.exit().await.code(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn the_lines_that_scripts_wait_for_are_logged() {
    let operator = Operator::new();
    let folder = tempfile::tempdir().unwrap();
    let (conf, jwt, store) = (folder.path().join("x.conf"), folder.path().join("op.jwt"), folder.path().join("store"));
    std::fs::write(&jwt, operator.jwt()).unwrap();
    std::fs::write(&conf, format!("operatorjwtpath: {jwt:?}\nstore {{ dir: {store:?} }}")).unwrap();
    let mut server = Launch::default().flag("-c", &conf).start().await;
    server.signal("TERM");
    assert_eq!(server.exit().await.code(), Some(0));
    in_order(
        &server.log(),
        &[
            format!("[INF] loading configuration from {conf:?}\n"),
            "[INF] starting NATS Account server, version ".to_owned(),
            "[INF] server time is ".to_owned(),
            format!("[INF] loading operator from {}\n", jwt.display()),
            "[INF] Operator: O".to_owned(),
            "[INF] Operator Name: ".to_owned(),
            format!("[INF] creating a store at {}\n", store.display()),
            "[INF] http listening on port ".to_owned(),
            "[INF] configure the nats-server with:\n".to_owned(),
            "[INF]   resolver: URL(http://127.0.0.1:".to_owned(),
            "[INF] NATS is not configured, server will not fire notifications on update\n".to_owned(),
            "[INF] nats-account-server is running\n".to_owned(),
            "[INF] received sig-terminated, shutting down\n".to_owned(),
            "[INF] stopping account server\n".to_owned(),
            "[INF] stopping http server\n".to_owned(),
            "[INF] http server stopped\n".to_owned(),
            "[INF] http stopped\n".to_owned(),
            "[INF] closed JWT store\n".to_owned(),
        ],
    );
}

/// Fails the test unless a log has these texts one behind the other.
#[track_caller]
fn in_order(log: &str, texts: &[String]) {
    let mut rest = log;
    for text in texts {
        rest = rest.split_once(text).unwrap_or_else(|| panic!("{text:?} is missing or out of order in\n{log}")).1;
    }
}

/// Whatever a start is made of, the lines of v0.8.4 about it are there, in its words.
#[tokio::test]
async fn each_kind_of_store_and_connection_is_named_as_ever() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    let (tokens, snapshot, nsc) = (path("tokens"), path("snapshot"), path("nsc"));
    for dir in [&tokens, &nsc.join("accounts")] {
        std::fs::create_dir_all(dir).unwrap();
    }
    std::fs::write(nsc.join(".nsc"), r#"{"managed": false, "name": "O"}"#).unwrap();
    let system = path("sys.jwt");
    std::fs::write(&system, operator.account(operator.system(), 100)).unwrap();
    let (cert, key, authority) = (path("cert.pem"), path("key.pem"), Authority::new("A"));
    authority.server().write(&cert, &key);
    let away = "http://127.0.0.1:1";
    let operator_lines = || [format!("[INF] Operator: {}\n", operator.key()), "[INF] Operator Name: ".to_owned()];
    let system_lines = || {
        let name = "[INF] System Account Name: ".to_owned();
        let key = format!("[INF] System Account: {}\n", operator.system().key());
        [format!("[INF] loading system account from {}\n", system.display()), key, name]
    };
    let no_operator =
        "[WRN] No Operator is configured - You will NOT be able to push jwt to this account server\n".to_owned();
    let store = |what: &str, dir: &Path| format!("[INF] creating {what} at {}\n", dir.display());
    let in_memory = || "[INF] creating an in-memory store\n".to_owned();
    let replicated = || format!("[INF] starting in replicated mode, with primary at {away}\n");
    let http = |scheme: &str| {
        [
            format!("[INF] {scheme} listening on port "),
            "[INF] configure the nats-server with:\n".to_owned(),
            format!("[INF]   resolver: URL({scheme}://127.0.0.1:"),
        ]
    };
    let no_nats = "[INF] NATS is not configured, server will not fire notifications on update\n".to_owned();
    let running = || "[INF] nats-account-server is running\n".to_owned();
    let nats = [
        "[INF] connecting to NATS for notifications\n".to_owned(),
        "[WRN] failed to connect to NATS, ".to_owned(),
        "[INF] will try to connect again in 1000 milliseconds\n".to_owned(),
    ];
    let primary = || Launch::primary(&operator);
    let cases: Vec<(Launch, Vec<Vec<String>>)> = vec![
        (Launch::default(), vec![vec![no_operator, in_memory()], http("http").into(), vec![no_nats, running()]]),
        (
            primary().env("NAS_SYSTEM_ACCOUNT", system.to_str().unwrap()).dir(&tokens).flag("-ro", "-D"),
            vec![system_lines().into(), operator_lines().into(), vec![store("a read-only store", &tokens)]],
        ),
        (
            primary().flag("-nsc", &nsc),
            vec![operator_lines().into(), vec![store("a read-only store for the NSC folder", &nsc)]],
        ),
        (
            primary().flag("-primary", away).dir(&snapshot),
            vec![operator_lines().into(), vec![replicated(), store("a store", &snapshot)], http("http").into()],
        ),
        (
            Launch::default().flag("-primary", away).flag("-nats", "nats://127.0.0.1:1"),
            vec![vec![replicated(), in_memory()], http("http").into(), vec![nats[0].clone(), running()]],
        ),
        (
            primary().https(&cert, &key, authority.http_client(None)).flag("-nats", "nats://127.0.0.1:1"),
            vec![vec![in_memory()], http("https").into(), nats.into()],
        ),
    ];
    for (launch, lines) in cases {
        let lines = lines.concat();
        let server = launch.start_unready().await;
        server.logs(lines.last().unwrap()).await;
        in_order(&server.log(), &lines);
    }
}

#[tokio::test]
async fn the_switches_of_old_show_requests_and_settings() {
    let server = Launch::default().flag("-D", "-dump").start().await;
    server.logs("[INF]   \"http\": {").await;
    server.http.get("/healthz").await.expect(200);
    server.logs("[DBG] GET /healthz").await;
}

#[tokio::test]
async fn no_hangup_ends_it_and_it_stops_gently_afterwards() {
    let operator = Operator::new();
    let mut server = Server::primary(&operator).await;
    for times in 1..=3 {
        server.signal("HUP");
        server.logs_times("reloaded the settings", times).await;
        server.http.get("/readyz").await.expect(200);
    }
    server.signal("INT");
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(server.log().contains("closed JWT store"), "{}", server.log());
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said_in_a_clear_text() {
    let operator = Operator::new();
    let taken = Server::primary(&operator).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "no token").unwrap();
    let here = |launch: Launch| launch.flag("-hp", "127.0.0.1:0");
    let cases = [
        (Launch::primary(&operator).flag("-hp", taken.host()), vec!["cannot listen on", taken.host(), "in use"]),
        (
            here(Launch::default().flag("-operator", "/nowhere/operator.jwt")),
            vec!["operator JWT", "/nowhere/operator.jwt"],
        ),
        (here(Launch::default().flag("-operator", &file)), vec!["not a valid operator JWT"]),
        (
            here(Launch::default().flag("-operator", operator.account(operator.system(), 0))),
            vec!["not a valid operator JWT"],
        ),
        (here(Launch::primary(&operator).dir(&file)), vec!["cannot create folder", "file"]),
    ];
    for (launch, parts) in cases {
        let (code, text) = launch.fail().await;
        assert_eq!(code, Some(1), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[tokio::test]
async fn a_command_line_that_is_not_understood_ends_with_2() {
    for flag in ["-nonsense", "--hp-of-old"] {
        let (code, text) = Launch::default().flag(flag, "x").fail().await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(flag.trim_start_matches('-')), "{text}");
    }
}

#[tokio::test]
async fn nats_servers_that_are_away_are_named_without_a_password_and_only_now_and_then() {
    // Where attempts can be counted, and none succeeds.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Launch::default()
        .flag("-nats", format!("nats://name:secret@{address}"))
        .env("NAS_NATS__RECONNECT_WAIT", "50ms")
        .start()
        .await;
    for _ in 0..20 {
        drop(within("another attempt", listener.accept()).await.unwrap());
    }
    server.logs(&format!("failed to connect to NATS, nats://{address}: ")).await;
    let log = server.log();
    assert_eq!(log.matches("failed to connect to NATS, ").count(), 1, "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn the_printed_line_can_be_pasted_into_the_configuration_of_a_nats_server() {
    for (listen, host) in
        [("[::]:0", "[::1]"), ("0.0.0.0:0", "127.0.0.1"), (":0", "127.0.0.1"), ("127.0.0.1:0", "127.0.0.1")]
    {
        let operator = Operator::new();
        let server = Launch::primary(&operator).at(listen).start().await;
        let log = server.log();
        let line = log.lines().find_map(|line| line.find("resolver: ").map(|at| &line[at..])).unwrap();
        assert!(line.contains(&format!("URL(http://{host}:")), "{listen}: {line}");
        // It asks its resolver at the start, and does not start without an answer.
        let _nats = NatsLaunch::new(NEWEST, &operator).with(line).start().await;
        assert!(server.http.metric("http_requests_total", "route=\"probe\"").await >= 1.0, "{listen}");
        // The same line, and commands, from the page that a person reads.
        let address = format!("http://{host}:{}", server.url.rsplit(':').next().unwrap());
        let output = Command::new("curl").args(["-sS", "-g", &format!("{address}/jwt/v1/help")]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.lines().any(|shown| shown.trim() == line), "{listen}: {help}");
        let command = help.lines().find(|line| line.contains("curl") && line.contains("/livez")).unwrap();
        let ran = Command::new("sh").args(["-c", &format!("{command} --fail")]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "ok\n", "{command}: {ran:?}");
    }
}

#[tokio::test]
async fn every_request_is_a_line_for_who_looks_for_faults_and_for_nobody_else() {
    let (operator, account) = (Operator::new(), Account::new());
    let server = Launch::primary(&operator).flag("-D", "-V").start().await;
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let quiet = Launch::replica(&operator, &server.url).start().await;
    for path in [account.path(), format!("{}?text=true&token=s3cret", account.path()), Account::new().path()] {
        for server in [&server, &quiet] {
            server.http.get(&path).await;
            server.http.get(&path).await;
        }
    }
    let line = format!("[DBG] GET {}", account.path());
    server.logs_times(&line, 4).await;
    // Lines are written after the answers.
    server.logs("status=404").await;
    let log = server.log();
    let is_whole = |found: &str| found.contains("status=200") && found.contains("client=127.0.0.1");
    assert!(log.lines().any(|found| found.contains(&line) && is_whole(found)), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
    assert!(!quiet.log().contains("GET /jwt"), "{}", quiet.log());
}
