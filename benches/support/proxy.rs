//! A way to a server that counts what passes, and can be closed and led elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A way to the primary that counts what passes in both directions, and can be closed and led elsewhere.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    target: watch::Sender<Option<u16>>,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    moved: AtomicU64,
    /// When somebody came for the first time since it was led elsewhere.
    first: Mutex<Option<Instant>>,
}

impl Proxy {
    pub(crate) async fn open(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, receiver) = watch::channel(Some(target));
        let count = Arc::new(Count::default());
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if let Some(target) = *receiver.borrow() {
                    counted.first.lock().get_or_insert_with(Instant::now);
                    tokio::spawn(pass(client, target, receiver.clone(), counted.clone()));
                }
            }
        });
        Self { port, target: sender, count }
    }

    pub(crate) fn close(&self) {
        self.target.send_replace(None);
    }

    pub(crate) fn lead_to(&self, target: u16) {
        *self.count.first.lock() = None;
        self.target.send_replace(Some(target));
    }

    pub(crate) fn moved(&self) -> u64 {
        self.count.moved.load(Ordering::Relaxed)
    }

    pub(crate) fn since_first(&self) -> Duration {
        self.count.first.lock().map_or(Duration::ZERO, |first| first.elapsed())
    }
}

async fn pass(client: TcpStream, target: u16, mut goes: watch::Receiver<Option<u16>>, count: Arc<Count>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    server.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let copy = async |from: &mut tokio::net::tcp::OwnedReadHalf, to: &mut tokio::net::tcp::OwnedWriteHalf| {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read) = from.read(&mut buffer).await {
            if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
            count.moved.fetch_add(read as u64, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = copy(&mut from_client, &mut to_server) => {}
        () = copy(&mut from_server, &mut to_client) => {}
        _ = goes.wait_for(|goes| *goes != Some(target)) => {}
    }
}
