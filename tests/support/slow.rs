//! Clients from other addresses of this machine, which read slowly or not at all.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::Http;

/// Bytes that the system keeps for a client that does not read.
const RECEIVED: u32 = 4096;

/// A request whose answer is read by hand.
pub(crate) struct Slow {
    stream: TcpStream,
}

impl Slow {
    /// Asks from `127.0.0.<from>`, and reads the head of the answer. Returns its status.
    pub(crate) async fn get(http: &Http, from: u8, path: &str, accept: &str) -> (Self, u16) {
        let server: SocketAddr = http.base().trim_start_matches("http://").parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVED).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
        let mut stream = socket.connect(server).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (Self { stream }, status)
    }

    /// An event stream.
    pub(crate) async fn follow(http: &Http, from: u8, query: &str) -> (Self, u16) {
        Self::get(http, from, &format!("/jwt/v1/changes{query}"), "text/event-stream").await
    }

    /// Whether the server has ended the answer, after all that is on its way is read.
    pub(crate) async fn has_ended(&mut self) -> bool {
        let mut some = vec![0; 1 << 16];
        loop {
            match tokio::time::timeout(Duration::from_millis(50), self.stream.read(&mut some)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => {}
                Err(_) => return false,
            }
        }
    }

    /// Goes on reading, a little at a time, until the end or the test ends.
    pub(crate) fn drip(mut self, bytes: usize, every: Duration) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let mut some = vec![0; bytes];
            while let Ok(1..) = self.stream.read(&mut some).await {
                tokio::time::sleep(every).await;
            }
        })
    }
}
