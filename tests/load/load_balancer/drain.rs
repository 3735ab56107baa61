//! Between SIGTERM and the end: not ready, but everything is answered.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::feed::Events;
use crate::support::{Account, Launch, Operator, Server, within};

/// A server with that delay, and an account that it holds.
async fn draining_for(delay: &str) -> (Server, Operator, Account) {
    let (operator, account) = (Operator::new(), Account::new());
    let server = Launch::primary(&operator).env("NAS_HTTP__DRAIN_DELAY", delay).start().await;
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    (server, operator, account)
}

/// Asks again and again on one connection, until an answer announces its end. Returns how many were answered.
async fn stay(server: String, path: String) -> usize {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut answers = 0;
    loop {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a connection whose end was not announced");
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "after {answers} answers: {answer}");
        answers += 1;
        if answer.contains("connection: close\r\n") {
            let end = within("the end", stream.read(&mut [0])).await.expect("an orderly end");
            assert_eq!(end, 0);
            return answers;
        }
    }
}

/// The head of an answer; what follows it is read as well.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("content-length: ").map_or("0", |(_, rest)| rest.lines().next().unwrap());
            if body.len() >= length.parse::<usize>().unwrap() {
                return head.replace("http/1.1", "HTTP/1.1") + "\r\n";
            }
        }
        let read = within("an answer", stream.read_buf(&mut bytes)).await.expect("an answer");
        assert!(read > 0, "the connection ended in the middle of {text:?}");
    }
}

#[tokio::test]
async fn while_it_drains_it_is_not_ready_but_answers_and_sends_clients_away() {
    let (server, operator, account) = draining_for("10m").await;
    let mut events = Events::open(&server.http, "").await;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        clients.spawn(stay(server.host().to_owned(), account.path()));
    }
    server.signal("TERM");
    server.logs("not ready any more").await;
    let reply = server.http.get("/readyz").await.expect(503);
    assert!(reply.body.contains("[-] process: is stopping"), "{}", reply.body);
    let answers = within("the clients to leave", clients.join_all()).await;
    assert!(answers.iter().all(|answers| *answers > 0), "{answers:?}");
    // Whoever comes is answered as ever, and may change something.
    let reply = server.http.get(&account.path()).await.expect(200);
    assert_eq!(reply.header("connection"), "close");
    server.http.get("/livez").await.expect(200);
    server.http.post(&account.path(), operator.account(&account, 5)).await.expect(200);
    assert_eq!(within("the change", events.next_change()).await["key"], account.key());
}

#[tokio::test]
async fn it_ends_when_it_has_drained() {
    let (mut server, ..) = draining_for("300ms").await;
    let mut events = Events::open(&server.http, "").await;
    let told = Instant::now();
    server.signal("TERM");
    within("the end of the stream", async { while events.next().await.is_some() {} }).await;
    assert!(told.elapsed() >= Duration::from_millis(300), "it took {:?}", told.elapsed());
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(server.log().contains("closed JWT store"), "{}", server.log());
}

#[tokio::test]
async fn a_second_signal_ends_the_draining() {
    let (mut server, ..) = draining_for("10m").await;
    server.signal("TERM");
    server.logs("not ready any more").await;
    server.ends_when_told_again().await;
    assert_eq!(server.exit().await.code(), Some(0), "{}", server.log());
}
