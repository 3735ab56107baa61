//! Bare connections to a nats-server: for many logins, and to know when a connection was closed.

use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::mint::User;
use super::{until_in, within};

/// A user that is logged in. Its connection is closed when this is dropped.
pub(crate) struct Session {
    ended: watch::Receiver<Option<(Instant, String)>>,
    reading: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Whether the connection is open.
    pub(crate) fn is_up(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Waits until the connection is closed, which has to be so `limit` after `since`. Returns what the nats-server said
    /// last.
    pub(crate) async fn ends_in(&self, limit: Duration, since: Instant) -> String {
        until_in(limit.saturating_sub(since.elapsed()), "the connection is closed", || async { !self.is_up() }).await;
        let (ended, said) = self.ended.borrow().clone().unwrap();
        let took = ended.saturating_duration_since(since);
        assert!(took <= limit, "the connection was closed after {took:?}");
        said
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// What a nats-server at `address` says of itself to a client that connects.
pub(crate) async fn info(address: &str) -> serde_json::Value {
    greeting(&mut connect(address).await).await
}

/// Logs in. `Err`: what the nats-server says against it.
pub(crate) async fn login(address: &str, user: &User) -> Result<Session, String> {
    let mut stream = connect(address).await;
    let nonce = greeting(&mut stream).await["nonce"].as_str().unwrap().to_owned();
    let signature = BASE64URL_NOPAD.encode(&user.sign(&nonce));
    let options = serde_json::json!({ "jwt": user.jwt, "sig": signature, "verbose": false, "protocol": 1 });
    let text = format!("CONNECT {options}\r\nPING\r\n");
    // A nats-server that refuses may have closed its side.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.flush().await;
    let mut line = String::new();
    while let Ok(1..) = within("an answer", stream.read_line(&mut line)).await {
        if line.starts_with("PONG") {
            let (end, ended) = watch::channel(None);
            let reading = tokio::spawn(async move {
                let said = read(stream).await;
                end.send_replace(Some((Instant::now(), said)));
            });
            return Ok(Session { ended, reading });
        }
        if line.starts_with("-ERR") {
            break;
        }
        line.clear();
    }
    Err(line)
}

/// Reads until the connection is closed, and answers what keeps it open. Returns the last error.
async fn read(mut stream: BufStream<TcpStream>) -> String {
    let (mut error, mut line) = (String::new(), String::new());
    while let Ok(1..) = stream.read_line(&mut line).await {
        if line.starts_with("PING") && (stream.write_all(b"PONG\r\n").await.is_err() || stream.flush().await.is_err()) {
            break;
        }
        if line.starts_with("-ERR") {
            error = line.trim().to_owned();
        }
        line.clear();
    }
    error
}

async fn connect(address: &str) -> BufStream<TcpStream> {
    BufStream::new(within("a connection", TcpStream::connect(address)).await.unwrap())
}

async fn greeting(stream: &mut BufStream<TcpStream>) -> serde_json::Value {
    let mut line = String::new();
    within("a greeting", stream.read_line(&mut line)).await.unwrap();
    serde_json::from_str(line.trim_start_matches("INFO ")).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}
