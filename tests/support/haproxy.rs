//! A real HAProxy with the configuration that we ship.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::server::Log;
use super::{Http, until};

/// Hosts and ports that a configuration can name before anybody listens there.
pub(crate) struct Ports {
    listen: String,
    pub(crate) primary: String,
    pub(crate) replicas: [String; 2],
}

/// A running HAProxy, its master and its worker, ended when it is dropped.
pub(crate) struct HaProxy {
    master: Child,
    log: Log,
    url: String,
    pub(crate) http: Http,
}

impl HaProxy {
    /// Where everything will be. `None`: there is no HAProxy here.
    pub(crate) fn or_skip() -> Option<Ports> {
        if !binary().exists() {
            println!("skipped: {} is missing: run tests/get-haproxy.sh", binary().display());
            return None;
        }
        Some(Ports { listen: free(), primary: free(), replicas: [free(), free()] })
    }

    /// Starts it and waits until it has found all servers.
    pub(crate) async fn start(ports: &Ports) -> Self {
        let mut master = Command::new(binary())
            .args(["-W", "-db", "-f"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/haproxy.cfg"))
            .env("LB_LISTEN", &ports.listen)
            .env("LB_PRIMARY", &ports.primary)
            .env("LB_REPLICA_1", &ports.replicas[0])
            .env("LB_REPLICA_2", &ports.replicas[1])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::of(master.stderr.take().unwrap());
        let url = format!("http://{}", ports.listen);
        let proxy = Self { master, log, http: Http::new(&url), url };
        until("HAProxy serves", || async {
            proxy.http.try_get("/jwt/v1/accounts/").await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
        proxy
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Loads the configuration anew: another worker takes over, the one before finishes what it has begun.
    pub(crate) async fn reload(&self) {
        let workers = self.workers();
        self.signal("USR2");
        until("a new worker serves", || async { self.workers() > workers }).await;
    }

    /// Workers that were started so far.
    fn workers(&self) -> usize {
        self.log.text().matches("New worker").count()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.master.id().to_string()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        // The master passes it on to its workers.
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let told = Instant::now();
        while self.master.try_wait().is_ok_and(|status| status.is_none()) && told.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.master.kill();
        let _ = self.master.wait();
        if std::thread::panicking() {
            println!("--- log of HAProxy at {}:\n{}", self.url, self.log.text());
        }
    }
}

fn binary() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/haproxy/haproxy")
}

/// A port that nobody gets by chance while its owner is restarted: systems give out higher ones.
fn free() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1000).unwrap() * 10;
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}
