//! Connections that others hold: who gives way when there are too many, and what is kept for the server itself.
use std::time::{Duration, Instant};

use crate::support::feed::Events;
use crate::support::{Account, Authority, Connection, Launch, Operator, Server, now, until, within};
use nats_account_server::testkit;
use nkeys::KeyPair;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a client can hold a connection with.
const HOLDING: [&str; 3] = ["", "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", "GET /livez HTTP/1.1\r\nhost: x\r\nx-"];

/// Lets this process hold many connections.
fn raise() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// Opens connections that are not used any more, of every kind.
async fn hold(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for number in 0..count {
        let mut stream = within("a connection", TcpStream::connect(server.host())).await.unwrap();
        // One that gave way already takes nothing any more.
        let _ = stream.write_all(HOLDING[number % HOLDING.len()].as_bytes()).await;
        held.push(stream);
    }
    held
}

/// Whether the other side has closed it. What it sent before is read.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut piece = [0; 4096];
    loop {
        match tokio::time::timeout(Duration::from_millis(1), stream.read(&mut piece)).await {
            Err(_) => return false,
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
        }
    }
}

#[tokio::test]
async fn a_thousand_idle_connections_take_nothing_from_the_server_and_its_other_clients() {
    raise();
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let (conf, jwt, dir) = (folder.path().join("x.conf"), folder.path().join("op.jwt"), folder.path().join("store"));
    let key = KeyPair::new_operator();
    std::fs::write(&jwt, operator.jwt_with_signing_key(&key)).unwrap();
    std::fs::write(&conf, format!("operator: {jwt:?}\nstore {{ dir: {dir:?} }}\n")).unwrap();
    let server = Launch::default().flag("-c", &conf).open_files(600).start().await;
    assert!(server.log().contains("at most 344 connections of clients"), "{}", server.log());
    let by_the_key = Account::new();
    let signed = testkit::sign(&by_the_key.claims(now() - 10), &key);
    server.http.post(&by_the_key.path(), signed).await.expect(200);

    let held = hold(&server, 1000).await;
    std::fs::write(&jwt, operator.listing(&[], -1)).unwrap();
    server.signal("HUP");
    server.logs(&format!("signing key {} is withdrawn", key.public_key())).await;
    let account = Account::new();
    let (first, last) = (operator.account(&account, 20), operator.account(&account, 10));
    let began = Instant::now();
    for jwt in [&first, &last] {
        // Each on a connection of its own.
        let client = crate::support::Http::new(&server.url);
        client.post(&account.path(), jwt.clone()).await.expect(200);
        crate::support::Http::new(&server.url).get(&account.path()).await.expect(200);
        crate::support::Http::new(&server.url).get(&by_the_key.path()).await.expect(404);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    let file = dir.join(format!("{}.jwt", account.key()));
    until("the folder has it", || async { std::fs::read_to_string(&file).is_ok_and(|text| text == last) }).await;
    assert!(server.open_files() <= 600);
    assert!(server.http.metric("http_connections_shed_total", "").await >= 600.0);
    assert!(server.http.metric("http_connections", "").await <= 344.0);
    assert!(!server.log().contains("open files)\n") && !server.log().contains("Too many open"), "{}", server.log());
    drop(held);
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_goes_before_one_that_was_answered_and_who_is_busy_stays() {
    raise();
    let operator = Operator::new();
    let launch = Launch::primary(&operator).env("NAS_HTTP__WORKERS", "1").env("NAS_HTTP__MAX_CONNECTIONS", "64");
    let server = launch.env("NAS_HTTP__READ_TIMEOUT", "60s").start().await;
    let mut events = Events::open(&server.http, "").await;
    let mut answered = TcpStream::connect(server.host()).await.unwrap();
    answered.write_all(HOLDING[1].as_bytes()).await.unwrap();
    let mut uploading = TcpStream::connect(server.host()).await.unwrap();
    let head = "POST /jwt/v1/operator HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    uploading.write_all(head.as_bytes()).await.unwrap();
    let _ = hold(&server, 10).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.host()).await.unwrap());
    }
    // Long enough that nobody waits for their requests any more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut later = hold(&server, 50).await;
    until("some gave way", || async { server.http.metric("http_connections_shed_total", "").await >= 4.0 }).await;
    let mut gone = 0;
    for stream in &mut silent {
        gone += usize::from(is_closed(stream).await);
    }
    assert!(gone >= 4, "{gone}");
    assert!(!is_closed(&mut answered).await && !is_closed(&mut uploading).await);
    uploading.write_all(b"123456789").await.unwrap();
    let mut answer = [0; 12];
    within("an answer", uploading.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    assert!(events.next().await.is_some());
    later.clear();
}

#[tokio::test]
async fn connections_in_a_handshake_give_way_too() {
    raise();
    let (operator, authority, folder) = (Operator::new(), Authority::new("Tests"), tempfile::tempdir().unwrap());
    let (cert, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    authority.server().write(&cert, &key);
    let server = Launch::primary(&operator)
        .https(&cert, &key, authority.http_client(None))
        .env("NAS_HTTP__READ_TIMEOUT", "60s")
        .env("NAS_HTTP__MAX_CONNECTIONS", "32")
        .start()
        .await;
    let mut held = hold(&server, 100).await;
    let config = authority.client_config(None, &[&rustls::version::TLS13]);
    let began = Instant::now();
    assert!(Connection::open(server.host(), &config).unwrap().get("/livez").unwrap().starts_with("HTTP/1.1 200 "));
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    held.clear();
}

#[tokio::test]
async fn a_second_request_has_to_come_to_its_end_as_the_first() {
    let server = Launch::primary(&Operator::new()).env("NAS_HTTP__READ_TIMEOUT", "500ms").start().await;
    let mut slow = TcpStream::connect(server.host()).await.unwrap();
    slow.write_all(HOLDING[1].as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    within("an answer", slow.read_exact(&mut answer)).await.unwrap();
    let began = Instant::now();
    // A byte now and then is no progress.
    while began.elapsed() < Duration::from_secs(10) && slow.write_all(b"G").await.is_ok() && !is_closed(&mut slow).await
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(6), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_head_without_an_end_is_cut_off() {
    let server = Server::primary(&Operator::new()).await;
    let before = server.peak_memory();
    for (piece, pieces) in [
        ("x-header: ".to_owned() + &"x".repeat(1000) + "\r\n", 2000),
        ("x: x\r\n".repeat(100), 20),
        ("y".repeat(1000), 2000),
    ] {
        let mut stream = TcpStream::connect(server.host()).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        let mut sent = 0;
        for _ in 0..pieces {
            if stream.write_all(piece.as_bytes()).await.is_err() {
                break;
            }
            sent += piece.len();
        }
        let mut answer = String::new();
        let _ = within("the end", stream.read_to_string(&mut answer)).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(sent < 8 << 20, "{sent}");
    }
    assert!(server.peak_memory() < before + (20 << 20));
    server.http.get("/livez").await.expect(200);
}

#[tokio::test]
async fn heads_that_are_not_complete_have_a_bound_together() {
    raise();
    let server = Launch::primary(&Operator::new()).env("NAS_HTTP__READ_TIMEOUT", "60s").start().await;
    let before = server.peak_memory();
    let part = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-large: {}", "x".repeat(120_000));
    let mut held = Vec::new();
    for _ in 0..2_000 {
        let mut stream = within("a connection", TcpStream::connect(server.host())).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        held.push(stream);
    }
    until("the largest gave way", || async { server.http.metric("http_connections_shed_total", "").await >= 1_400.0 })
        .await;
    let peak = server.peak_memory() - before;
    assert!(peak < 200 << 20, "{} MiB", peak >> 20);
    crate::support::Http::new(&server.url).get("/livez").await.expect(200);
    // What others hold is no reason to reject a head that is complete.
    let whole = format!("{part}\r\nconnection: close\r\n\r\n");
    assert!(server.http.raw(whole.as_bytes()).await.starts_with("HTTP/1.1 200 "));
}
