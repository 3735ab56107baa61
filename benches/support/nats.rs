//! nats-servers, and a client of theirs that costs next to nothing.

use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use nats_account_server::testkit::{self, sign, with};
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{EPOCH, Process};

/// A client that sends prepared bytes and looks at no more than where the messages begin and end.
pub(crate) struct Nats {
    stream: TcpStream,
    buffer: Box<[u8]>,
    filled: usize,
}

impl Nats {
    /// Connects as a user of the account, if the nats-server is there.
    pub(crate) fn connect(port: u16, account: &KeyPair) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut nats = Self { stream, buffer: vec![0; 256 << 10].into(), filled: 0 };
        let info = nats.line()?;
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
        let user = KeyPair::new_user();
        let signature = user.sign(info["nonce"].as_str().unwrap().as_bytes()).unwrap();
        let login = json!({
            "verbose": false, "pedantic": false, "jwt": user_jwt(&user, account), "sig": BASE64URL_NOPAD.encode(&signature)
        });
        nats.send(format!("CONNECT {login}\r\nPING\r\n").as_bytes())?;
        let answer = nats.line()?;
        if answer != "PONG" {
            return Err(std::io::Error::new(ErrorKind::ConnectionRefused, answer));
        }
        Ok(nats)
    }

    /// How long [`Self::messages`] waits.
    pub(crate) fn patience(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
    }

    pub(crate) fn send(&mut self, commands: &[u8]) -> Result<()> {
        self.stream.write_all(commands)
    }

    /// Hands on the bodies of the messages that are there; waits until there is one. Returns how many they were.
    pub(crate) fn messages(&mut self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        loop {
            let (mut count, mut from) = (0, 0);
            while let Some(end) = self.buffer[from..self.filled].windows(2).position(|two| two == b"\r\n") {
                let (line, body) = (&self.buffer[from..from + end], from + end + 2);
                if line.starts_with(b"MSG ") {
                    let size = line.rsplit(|byte| *byte == b' ').next().unwrap();
                    let size: usize = std::str::from_utf8(size).unwrap().parse().unwrap();
                    if body + size + 2 > self.filled {
                        break;
                    }
                    each(&self.buffer[body..body + size]);
                    count += 1;
                    from = body + size + 2;
                } else {
                    assert!(!line.starts_with(b"-ERR"), "{}", String::from_utf8_lossy(line));
                    if line == b"PING" {
                        self.stream.write_all(b"PONG\r\n")?;
                    }
                    from = body;
                }
            }
            self.buffer.copy_within(from..self.filled, 0);
            self.filled -= from;
            if count > 0 {
                return Ok(count);
            }
            self.fill()?;
        }
    }

    /// Keeps so many requests under way, for so long. Returns how many were answered, and the time that it took.
    pub(crate) fn load(&mut self, requests: &[String], in_flight: usize, time: Duration) -> (usize, Duration) {
        let (began, mut out, mut answered, mut sent, mut wanted) = (Instant::now(), Vec::new(), 0, 0, in_flight);
        loop {
            out.clear();
            for _ in 0..wanted {
                out.extend_from_slice(requests[rand::random_range(0..requests.len())].as_bytes());
            }
            self.send(&out).unwrap();
            sent += wanted;
            answered += self.messages(|body| assert!(!body.is_empty())).unwrap();
            let so_far = began.elapsed();
            if so_far >= time && answered == sent {
                return (answered, so_far);
            }
            wanted = if so_far < time { in_flight - (sent - answered) } else { 0 };
        }
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer[..self.filled].windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).trim().to_owned();
                self.buffer.copy_within(end + 2..self.filled, 0);
                self.filled -= end + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        match self.stream.read(&mut self.buffer[self.filled..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.filled += count;
                Ok(())
            }
        }
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a nats-server. It is `NATS_SERVER`, or the newest that the tests use.
pub(crate) fn nats_server(conf: &Path, text: &str) -> Process {
    std::fs::write(conf, text).unwrap();
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/nats-server-2.15.1/nats-server");
    let binary = std::env::var("NATS_SERVER").unwrap_or_else(|_| ours.into());
    Process(Command::new(binary).arg("-c").arg(conf).stderr(Stdio::null()).spawn().unwrap())
}

/// Credentials of a user of the account.
pub(crate) fn creds(user: &KeyPair, account: &KeyPair) -> String {
    testkit::creds(&user_jwt(user, account), user, "")
}

fn user_jwt(user: &KeyPair, account: &KeyPair) -> String {
    sign(&with(testkit::user(user, EPOCH), json!({ "name": "bench" })), account)
}
