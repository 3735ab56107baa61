//! A way to a server that counts what passes, and can be closed and led elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    target: watch::Sender<Option<u16>>,
    routes: Arc<Mutex<BTreeMap<String, Route>>>,
}

/// What passed of the requests for one route, since the proxy was led to its server.
#[derive(Default)]
struct Route {
    moved: Moved,
    /// When it was requested for the first time.
    first: Option<Instant>,
    /// When the last bytes of an answer came.
    last: Option<Instant>,
}

/// Bytes that passed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Moved {
    pub(crate) to_server: u64,
    pub(crate) from_server: u64,
}

impl Moved {
    /// Both directions together.
    pub(crate) fn both(self) -> f64 {
        (self.to_server + self.from_server) as f64
    }
}

impl Proxy {
    /// Opens a way to this port.
    pub(crate) async fn open(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, receiver) = watch::channel(Some(target));
        let routes = Arc::new(Mutex::default());
        let counted = Arc::clone(&routes);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if let Some(target) = *receiver.borrow() {
                    tokio::spawn(pass(client, target, receiver.clone(), counted.clone()));
                }
            }
        });
        Self { port, target: sender, routes }
    }

    /// Ends all connections, and every new one at once.
    pub(crate) fn close(&self) {
        self.target.send_replace(None);
    }

    /// Lets clients through again, to this port. The counts begin again.
    pub(crate) fn lead_to(&self, target: u16) {
        self.routes.lock().clear();
        self.target.send_replace(Some(target));
    }

    /// What passed since it was led to its server.
    pub(crate) fn moved(&self) -> Moved {
        let routes = self.routes.lock();
        let sum = |of: fn(&Moved) -> u64| routes.values().map(|route| of(&route.moved)).sum();
        Moved { to_server: sum(|moved| moved.to_server), from_server: sum(|moved| moved.from_server) }
    }

    /// The same by route, as in `/jwt/v1/digests`.
    pub(crate) fn by_route(&self) -> Vec<(String, Moved)> {
        self.routes.lock().iter().map(|(path, route)| (path.clone(), route.moved)).collect()
    }

    /// When a route was requested for the first time since the proxy was led to its server.
    pub(crate) fn first_request(&self, path: &str) -> Option<Instant> {
        self.routes.lock().get(path)?.first
    }

    /// When the last bytes of this route's answers came.
    pub(crate) fn last_answer(&self, path: &str) -> Option<Instant> {
        self.routes.lock().get(path)?.last
    }
}

async fn pass(
    client: TcpStream,
    target: u16,
    mut goes: watch::Receiver<Option<u16>>,
    routes: Arc<Mutex<BTreeMap<String, Route>>>,
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    server.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // One request at a time is under way on a connection, so what comes back belongs to the last one.
    let current = Mutex::new(String::new());
    let requests = |bytes: &[u8]| {
        let mut current = current.lock();
        let mut routes = routes.lock();
        if let Some(path) = requested(bytes) {
            routes.entry(path.clone()).or_default().first.get_or_insert_with(Instant::now);
            *current = path;
        }
        routes.entry(current.clone()).or_default().moved.to_server += bytes.len() as u64;
    };
    let answers = |bytes: &[u8]| {
        let current = current.lock();
        let mut routes = routes.lock();
        let route = routes.entry(current.clone()).or_default();
        route.moved.from_server += bytes.len() as u64;
        route.last = Some(Instant::now());
    };
    tokio::select! {
        () = copy(from_client, to_server, requests) => {}
        () = copy(from_server, to_client, answers) => {}
        _ = goes.wait_for(|goes| *goes != Some(target)) => {}
    }
}

/// The first three parts of the path, if these bytes begin a request.
fn requested(bytes: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(bytes.split(|byte| *byte == b'\r').next()?).ok()?;
    let (_, path) = line.split_once(' ').filter(|(method, _)| ["GET", "POST"].contains(method))?;
    let path = path.split([' ', '?']).next()?;
    Some(path.split('/').take(4).collect::<Vec<_>>().join("/"))
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        count(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
