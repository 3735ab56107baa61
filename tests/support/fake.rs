//! A primary of the tests' own, which answers as it is told: wrongly, slowly, or as servers of old did.
//!
//! It shows that it is an older account server, unless it is a stranger: to `GET /jwt/v1/accounts/` it answers 200 and nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PROBE: &str = "/jwt/v1/accounts/";

/// An answer to one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    body: String,
    delay: Duration,
    /// Send the body, but do not end the answer.
    open: bool,
    /// Header lines, each with its end.
    headers: String,
    /// Say that more will come than comes, and close.
    cut_off: bool,
    /// The pause between two bytes of the body.
    drip: Option<Duration>,
    /// What comes after the body, again and again, and the pause before each.
    again: Option<(String, Duration)>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            body: body.into(),
            delay: Duration::ZERO,
            open: false,
            headers: String::new(),
            cut_off: false,
            drip: None,
            again: None,
        }
    }

    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// The body comes byte by byte.
    pub(crate) fn drip(self, every: Duration) -> Self {
        Self { drip: Some(every), ..self }
    }

    /// After the body comes this, again and again, until the other side goes.
    pub(crate) fn then_again(self, piece: impl Into<String>, every: Duration) -> Self {
        Self { open: true, again: Some((piece.into(), every)), ..self }
    }

    /// A body without end, as fast as it is taken.
    pub(crate) fn endless(status: u16) -> Self {
        Self::new(status, "").then_again("x".repeat(1 << 16), Duration::ZERO)
    }

    /// The connection ends before the body does.
    pub(crate) fn cut_off(self) -> Self {
        Self { cut_off: true, ..self }
    }

    /// Another body, made of this one.
    pub(crate) fn map(self, change: impl FnOnce(String) -> String) -> Self {
        Self { body: change(self.body), ..self }
    }

    /// An event stream that begins with this text and stays open.
    pub(crate) fn stream(text: impl Into<String>) -> Self {
        Self { open: true, ..Self::new(200, text) }.header("content-type", "text/event-stream")
    }
}

/// The head and the body of each request.
type Heads = Arc<Mutex<Vec<(String, String)>>>;

type Script = dyn Fn(&str, &str) -> Answer + Send + Sync;

/// The server. Every request has a connection of its own.
pub(crate) struct FakePrimary {
    pub(crate) url: String,
    script: Arc<Mutex<Arc<Script>>>,
    requests: Arc<AtomicUsize>,
    heads: Heads,
    is_stranger: Arc<AtomicBool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl FakePrimary {
    /// Answers by `script`, which is given the path and query.
    pub(crate) async fn new(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::reading(move |path, _| script(path)).await
    }

    /// Answers by `script`, which is given the path and query, and the body.
    pub(crate) async fn reading(script: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script: Arc<Mutex<Arc<Script>>> = Arc::new(Mutex::new(Arc::new(script)));
        let requests = Arc::new(AtomicUsize::new(0));
        let heads = Arc::default();
        let is_stranger = Arc::new(AtomicBool::new(false));
        let all = (script.clone(), requests.clone(), Arc::clone(&heads), is_stranger.clone());
        let accepting = tokio::spawn(accept(listener, all));
        Self { url, script, requests, heads, is_stranger, accepting }
    }

    /// No account server: it answers by `script` whatever it is asked.
    pub(crate) async fn stranger(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let server = Self::new(script).await;
        server.is_stranger(true);
        server
    }

    /// Whether it is no account server from now on.
    pub(crate) fn is_stranger(&self, is_stranger: bool) {
        self.is_stranger.store(is_stranger, Ordering::SeqCst);
    }

    /// Without a change feed: answers every account's GET with `answer`.
    pub(crate) async fn without_feed(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::new(accounts_only(answer)).await
    }

    /// Changes what is answered from now on.
    pub(crate) fn now_answers(&self, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        self.now_says(accounts_only(answer));
    }

    /// Answers by another script from now on.
    pub(crate) fn now_says(&self, script: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        *self.script.lock() = Arc::new(move |path: &str, _: &str| script(path));
    }

    /// The heads of all GETs that came for a path.
    pub(crate) fn heads(&self, path: &str) -> Vec<String> {
        self.heads_of("GET", path)
    }

    /// The heads of all requests with this method that came for a path.
    pub(crate) fn heads_of(&self, method: &str, path: &str) -> Vec<String> {
        let start = format!("{method} {path}");
        self.heads.lock().iter().map(|(head, _)| head).filter(|head| head.starts_with(&start)).cloned().collect()
    }

    /// The bodies of all POSTs that came for a path.
    pub(crate) fn bodies(&self, path: &str) -> Vec<String> {
        let start = format!("POST {path} ");
        let heads = self.heads.lock();
        heads.iter().filter(|(head, _)| head.starts_with(&start)).map(|(_, body)| body.clone()).collect()
    }

    /// Counts requests from zero.
    pub(crate) fn forget(&self) {
        self.requests.store(0, Ordering::SeqCst);
    }

    /// How many requests for accounts have come.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for FakePrimary {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn accounts_only(answer: impl Fn(&str) -> Answer) -> impl Fn(&str) -> Answer {
    move |path| match path.strip_prefix("/jwt/v1/accounts/") {
        Some(key) => answer(key),
        None => Answer::new(404, "404 page not found\n"),
    }
}

/// What it answers, how often accounts were asked for, what came, and whether it is no account server.
type All = (Arc<Mutex<Arc<Script>>>, Arc<AtomicUsize>, Heads, Arc<AtomicBool>);

async fn accept(listener: TcpListener, all: All) {
    while let Ok((stream, _)) = listener.accept().await {
        let all = all.clone();
        tokio::spawn(async move { serve(stream, &all).await });
    }
}

async fn serve(mut stream: TcpStream, (script, requests, heads, is_stranger): &All) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; lengths.map(|length| length.parse::<usize>().unwrap()).sum()];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let said = String::from_utf8_lossy(&body).into_owned();
    heads.lock().push((head.clone(), said.clone()));
    let path = head.split(' ').nth(1).unwrap_or_default();
    let is_probe = path == PROBE && !is_stranger.load(Ordering::SeqCst);
    if path.starts_with(PROBE) && path != PROBE {
        requests.fetch_add(1, Ordering::SeqCst);
    }
    let script = script.lock().clone();
    let Answer { status, body, delay, open, headers, cut_off, drip, again } =
        if is_probe { Answer::new(200, "") } else { script(path, &said) };
    tokio::time::sleep(delay).await;
    let length =
        if open { String::new() } else { format!("content-length: {}\r\n", body.len() + usize::from(cut_off)) };
    let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{length}{headers}\r\n");
    // Who asked may have gone.
    let _ = stream.write_all(head.as_bytes()).await;
    match drip {
        None => _ = stream.write_all(body.as_bytes()).await,
        Some(every) => {
            for byte in body.bytes() {
                if stream.write_u8(byte).await.is_err() {
                    return;
                }
                tokio::time::sleep(every).await;
            }
        }
    }
    if let Some((piece, every)) = again {
        while stream.write_all(piece.as_bytes()).await.is_ok() {
            tokio::time::sleep(every).await;
        }
        return;
    }
    if open {
        // Until the other side goes.
        let _ = stream.read_u8().await;
    }
}
