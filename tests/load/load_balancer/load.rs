//! Clients that never rest, and what became of their requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::support::{Account, Http, Operator, until};

/// Clients that read on connections of their own.
const READERS: usize = 6;
/// Clients that connect for every read.
const VISITORS: usize = 2;

/// The load, until it is ended.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

struct Shared {
    url: String,
    operator: Operator,
    accounts: Vec<Account>,
    ended: AtomicBool,
    reads: AtomicUsize,
    pushes: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Reads and pushes accounts that are there already.
    pub(crate) fn begin(http: &Http, operator: Operator, accounts: Vec<Account>) -> Self {
        let shared = Arc::new(Shared {
            url: http.base().to_owned(),
            operator,
            accounts,
            ended: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            pushes: AtomicUsize::new(0),
            failures: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        for n in 0..READERS + VISITORS {
            clients.spawn(shared.clone().read(n, usize::from(n < READERS)));
        }
        clients.spawn(shared.clone().push());
        Self { shared, clients }
    }

    pub(crate) fn operator(&self) -> &Operator {
        &self.shared.operator
    }

    /// Waits until many more requests were answered.
    pub(crate) async fn goes_on(&self) {
        let (reads, pushes) = (&self.shared.reads, &self.shared.pushes);
        let enough = (reads.load(Ordering::Relaxed) + 500, pushes.load(Ordering::Relaxed) + 10);
        until("the load goes on", || async {
            reads.load(Ordering::Relaxed) >= enough.0 && pushes.load(Ordering::Relaxed) >= enough.1
        })
        .await;
    }

    /// Ends it. Nothing may have failed.
    pub(crate) async fn end(mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let failures = self.shared.failures.lock();
        let reads = self.shared.reads.load(Ordering::Relaxed);
        assert!(
            failures.is_empty(),
            "{} of {reads} failed: {:#?}",
            failures.len(),
            &failures[..failures.len().min(20)]
        );
        println!("{reads} reads, {} pushes", self.shared.pushes.load(Ordering::Relaxed));
    }
}

impl Shared {
    async fn read(self: Arc<Self>, first: usize, kept_connections: usize) {
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(kept_connections);
        let http = Http::with(client.timeout(Duration::from_secs(5)).build().unwrap(), &self.url);
        for n in first.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let account = &self.accounts[n % self.accounts.len()];
            match http.try_get(&account.path()).await {
                Ok(reply) if reply.status == 200 && reply.body.starts_with("ey") => {}
                other => self.failed("GET", other),
            }
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn push(self: Arc<Self>) {
        let http = Http::new(&self.url);
        for n in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let account = &self.accounts[n % self.accounts.len()];
            let age = 900 - i64::try_from(n / self.accounts.len()).unwrap();
            match http.try_post(&account.path(), self.operator.account(account, age)).await {
                Ok(reply) if reply.status == 200 => {}
                other => self.failed("POST", other),
            }
            self.pushes.fetch_add(1, Ordering::Relaxed);
            // A few in a second: the reads are the load.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn failed(&self, method: &str, what: impl std::fmt::Debug) {
        self.failures.lock().push(format!("{method}: {what:?}"));
    }
}
