//! A primary with many accounts, its replicas, and what all parts ask of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::figure::figure;
use crate::support::folder::Folder;
use crate::support::{self, Connection, Process, get, ready};

/// A bound within which all bodies fit. With the default one, a replica would evict some of them.
pub(crate) const AMPLE: &str = "4GiB";
/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(900);
/// The number of connections that request everything.
const CONNECTIONS: usize = 32;

/// A folder with JWTs, and a place for what the servers store. It is another one in each run, so builds with other formats do not meet.
pub(crate) struct World {
    pub(crate) folder: Folder,
    /// A request for each account.
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
    operator: String,
    state: TempDir,
}

impl World {
    /// Opens the folder. The first primary imports it.
    pub(crate) fn open(accounts: usize) -> Self {
        let folder = Folder::open("replication", accounts);
        let operator = support::operator(&folder.operator, None);
        let requests = folder.keys.iter().map(|key| get(&format!("/jwt/v1/accounts/{key}"))).collect();
        let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { folder, requests: Arc::new(requests), operator, state }
    }

    /// Lets a primary import the folder, which leaves its state for the next one.
    pub(crate) async fn import(&self) {
        let began = Instant::now();
        let (primary, _) = self.primary(&[]).await;
        figure("scan of the folder, time", began.elapsed().as_secs_f64(), "s");
        figure("scan of the folder, CPU", primary.cpu().as_secs_f64(), "s");
        support::stop(primary);
    }

    /// Starts the primary and waits until it is ready.
    pub(crate) async fn primary(&self, settings: &[(&str, &str)]) -> (Process, u16) {
        let (process, port) = self.scanning_primary(settings);
        ready(port).await;
        (process, port)
    }

    /// Starts the primary. It may still scan its folder.
    pub(crate) fn scanning_primary(&self, settings: &[(&str, &str)]) -> (Process, u16) {
        let (tokens, state) = (self.folder.tokens(), self.at("primary"));
        let settings = [settings, &[("NAS_STORE__STATE_DIR", state.as_str())]].concat();
        support::server_with(&["-operator", &self.operator, "-dir", tokens.to_str().unwrap()], &settings)
    }

    /// The primary loses its state, and with it its session. It must be stopped.
    pub(crate) fn lose_session(&self) {
        if std::fs::exists(self.at("primary")).unwrap() {
            std::fs::remove_dir_all(self.at("primary")).unwrap();
        }
    }

    /// Starts a replica of this name, with a folder of its own that outlives it.
    pub(crate) fn replica(&self, name: &str, mode: &str, upstream: u16, cache_bytes: &str) -> (Process, u16) {
        let (url, dir) = (format!("http://127.0.0.1:{upstream}"), self.at(name));
        support::server_with(
            &["-operator", &self.operator, "-primary", &url, "-dir", &dir],
            &[("NAS_REPLICA__MODE", mode), ("NAS_REPLICA__CACHE_BYTES", cache_bytes), ("NAS_REPLICA__NAME", name)],
        )
    }

    /// Starts a cache without a folder. It has its default bound if none is given.
    pub(crate) fn passing_cache(&self, upstream: u16, settings: &[(&str, &str)]) -> (Process, u16) {
        let url = format!("http://127.0.0.1:{upstream}");
        support::server_with(&["-operator", &self.operator, "-primary", &url], settings)
    }

    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The first requests, dealt to connections. They begin again after the last account.
    pub(crate) fn deal(&self, count: usize) -> Vec<Vec<Vec<u8>>> {
        let mut dealt = vec![Vec::new(); CONNECTIONS];
        for (place, request) in self.requests.iter().cycle().take(count).enumerate() {
            dealt[place % CONNECTIONS].push(request.clone());
        }
        dealt
    }

    fn at(&self, name: &str) -> String {
        self.state.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Waits until a replica has confirmed its primary's latest position: until nothing that it serves is older.
pub(crate) async fn in_sync(primary: u16, name: &str) {
    let (mut connection, began) = (Connection::open(primary).await, Instant::now());
    let is_there = |list: &Value| {
        let mut followers = list["followers"].as_array().unwrap().iter();
        followers.any(|one| {
            one["name"] == name
                && one["state"] != "left"
                && one["session_ok"] == true
                && one["serial"] == list["serial"]
        })
    };
    while began.elapsed() < PATIENCE {
        let (status, _) = connection.send(&get("/jwt/v1/followers")).await;
        if status == 200 && is_there(&serde_json::from_str(connection.body()).unwrap()) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{name} is not in sync after {PATIENCE:?}");
}

/// Sends these requests. Returns how many were answered with 200.
pub(crate) async fn served(port: u16, requests: Vec<Vec<Vec<u8>>>) -> usize {
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|requests| {
            tokio::spawn(async move {
                let (mut connection, mut served) = (Connection::open(port).await, 0);
                for request in &requests {
                    served += usize::from(connection.send(request).await.0 == 200);
                }
                served
            })
        })
        .collect();
    let mut served = 0;
    for task in tasks {
        served += task.await.unwrap();
    }
    served
}
