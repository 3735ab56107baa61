//! Clients that ask and do not read.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::feed::Events;
use crate::support::{Account, Launch, Operator, Server, until};

const TIMEOUT: Duration = Duration::from_millis(700);

struct Setup {
    server: Server,
    account: Account,
}

impl Setup {
    async fn new(write_timeout: &str) -> Self {
        let (operator, account) = (Operator::new(), Account::new());
        let server = Launch::primary(&operator).env("NAS_HTTP__WRITE_TIMEOUT", write_timeout).start().await;
        let jwt = operator.sign(&account.with_bulk(crate::support::now() - 10, 600_000));
        server.http.post(&account.path(), jwt).await.expect(200);
        Self { server, account }
    }

    /// A client that asks for more than all buffers between hold, and reads nothing.
    async fn asks_and_does_not_read(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8192).unwrap();
        let mut stream = socket.connect(self.server.host().parse().unwrap()).await.unwrap();
        let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", self.account.path());
        stream.write_all(request.repeat(30).as_bytes()).await.unwrap();
        stream
    }
}

/// Whether the server has given up a connection: what is sent to one that it does not know is refused.
fn is_cut(stream: &TcpStream) -> bool {
    stream.try_write(b"G").is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_the_others_are_not() {
    let setup = Setup::new("700ms").await;
    let unlimited = Setup::new("0").await;
    // Heartbeats come more rarely than the time-out.
    let mut events = Events::open(&setup.server.http, "").await;
    let patient = unlimited.asks_and_does_not_read().await;
    let began = Instant::now();
    let stream = setup.asks_and_does_not_read().await;
    until("the client is cut off", || async { is_cut(&stream) }).await;
    let took = began.elapsed();
    assert!(took >= TIMEOUT && took < Duration::from_secs(4), "it took {took:?}");
    assert!(!is_cut(&patient), "zero is no limit");
    for _ in 0..2 {
        assert!(events.next().await.is_some(), "a follower that reads is not cut off");
    }
    setup.server.http.get(&setup.account.path()).await.expect(200);
}
