//! A TCP proxy between two processes: a network that can go silent, be cut, or lead elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::within;

/// What the proxy does with what passes through it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Forward,
    /// Each piece of an answer comes so much later.
    Far(Duration),
    /// What clients send gets through; what they are answered waits.
    Held,
    /// Connections stay, and come, but nothing gets through.
    Silent,
    /// Connections are closed, those that are there and those that come.
    Cut,
}

/// The mode, and a number that moves when the connections that are there shall end.
type State = (Mode, u64);

/// The proxy. Its address stays the same whatever happens behind it.
pub(crate) struct Proxy {
    address: String,
    target: Arc<Mutex<String>>,
    mode: watch::Sender<State>,
    /// Pieces of answers that were kept waiting since [`Proxy::hold`].
    held: watch::Sender<usize>,
    /// Bytes that have passed, in both directions.
    moved: Arc<AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Forwards to `target`, a host and port.
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = Arc::new(Mutex::new(target.to_owned()));
        let mode = watch::Sender::new((Mode::Forward, 0));
        let held = watch::Sender::new(0);
        let moved = Arc::default();
        let through = Through { held: held.clone(), moved: Arc::clone(&moved) };
        let accepting = tokio::spawn(accept(listener, target.clone(), mode.subscribe(), through));
        Self { address, target, mode, held, moved, accepting }
    }

    /// One that leads nowhere yet.
    pub(crate) async fn to_nowhere() -> Self {
        let proxy = Self::to("127.0.0.1:1").await;
        proxy.cut();
        proxy
    }

    /// Bytes that have passed so far, in both directions.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::SeqCst)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Forwards, from now on to `target`. What is connected elsewhere is cut off.
    pub(crate) fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.target.lock());
        self.mode.send_modify(|(mode, age)| (*mode, *age) = (Mode::Forward, *age + 1));
    }

    /// Forwards again.
    pub(crate) fn heal(&self) {
        self.mode.send_modify(|state| state.0 = Mode::Forward);
    }

    /// Lets every answer come so much later, until [`Proxy::heal`].
    pub(crate) fn far(&self, delay: Duration) {
        self.mode.send_modify(|state| state.0 = Mode::Far(delay));
    }

    /// Keeps answers waiting, until [`Proxy::heal`]. Requests get through.
    pub(crate) fn hold(&self) {
        self.held.send_replace(0);
        self.mode.send_modify(|state| state.0 = Mode::Held);
    }

    /// Waits until an answer is being kept waiting.
    pub(crate) async fn holds(&self) {
        within("an answer to hold", self.held.subscribe().wait_for(|held| *held > 0)).await.unwrap();
    }

    /// Lets nothing through any more, and keeps all connections open.
    pub(crate) fn black_hole(&self) {
        self.mode.send_modify(|state| state.0 = Mode::Silent);
    }

    /// Closes everything.
    pub(crate) fn cut(&self) {
        self.mode.send_modify(|(mode, age)| (*mode, *age) = (Mode::Cut, *age + 1));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What is counted of what passes.
#[derive(Clone)]
struct Through {
    held: watch::Sender<usize>,
    moved: Arc<AtomicU64>,
}

async fn accept(listener: TcpListener, target: Arc<Mutex<String>>, mode: watch::Receiver<State>, through: Through) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, target.clone(), mode.clone(), through.clone()));
    }
}

async fn connection(
    client: TcpStream,
    target: Arc<Mutex<String>>,
    mut mode: watch::Receiver<State>,
    Through { held, moved }: Through,
) {
    let Ok(state) = mode.wait_for(|(mode, _)| *mode != Mode::Silent).await.map(|state| *state) else { return };
    if state.0 == Mode::Cut {
        return;
    }
    let target = target.lock().clone();
    let Ok(Ok(server)) = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(target)).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, mode.clone(), &moved, None) => {}
        () = pump(from_server, to_client, mode.clone(), &moved, Some(held)) => {}
        _ = mode.wait_for(|(_, age)| *age != state.1) => {}
    }
}

/// `held`: counts what is kept waiting, if this is the way of the answers.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<State>,
    moved: &AtomicU64,
    held: Option<watch::Sender<usize>>,
) {
    let passes = |mode| matches!(mode, Mode::Forward | Mode::Far(_)) || mode == Mode::Held && held.is_none();
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let now = mode.borrow().0;
        if let (Mode::Far(delay), Some(_)) = (now, &held) {
            tokio::time::sleep(delay).await;
        }
        let is_held = now == Mode::Held;
        if let Some(held) = held.as_ref().filter(|_| is_held) {
            held.send_modify(|count| *count += 1);
        }
        if mode.wait_for(|(mode, _)| passes(*mode)).await.is_err() || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
        moved.fetch_add(length as u64, Ordering::SeqCst);
    }
}
