//! Starting, failing to start, and stopping.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use support::feed::Events;
use support::{Account, Launch, Operator, Server, until, within};
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
    let told = Instant::now();
    // Again and again: one that comes before the first was dealt with does not count.
    while !server.has_ended() {
        assert!(told.elapsed() < Duration::from_secs(3), "it does not end:\n{}", server.log());
        server.signal_if_running("TERM");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    let log = server.log();
    let mut rest = &*log;
    for line in [
        &format!("[INF] loading configuration from {conf:?}\n"),
        "[INF] starting NATS Account server, version ",
        "[INF] server time is ",
        &format!("[INF] loading operator from {}\n", jwt.display()),
        "[INF] Operator: O",
        "[INF] Operator Name: ",
        &format!("[INF] creating a store at {}\n", store.display()),
        "[INF] http listening on port ",
        "[INF] configure the nats-server with:\n",
        "[INF]   resolver: URL(http://127.0.0.1:",
        "[INF] NATS is not configured, server will not fire notifications on update\n",
        "[INF] nats-account-server is running\n",
        "[INF] received sig-terminated, shutting down\n",
        "[INF] stopping account server\n",
        "[INF] stopping http server\n",
        "[INF] http server stopped\n",
        "[INF] http stopped\n",
        "[INF] closed JWT store\n",
    ] {
        rest = rest.split_once(line).unwrap_or_else(|| panic!("{line:?} is missing or out of order in\n{log}")).1;
    }
}

#[tokio::test]
async fn a_hangup_does_not_end_it() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    server.signal("HUP");
    server.logs("received sig-hup").await;
    server.http.get("/readyz").await.expect(200);
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
        (
            here(Launch::primary(&operator).nats("nats://127.0.0.1:1", "/nowhere/creds".as_ref())),
            vec!["/nowhere/creds"],
        ),
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
