//! The first start with a folder that is full already: whoever asks meanwhile is never told that an account is absent.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use nats_account_server::key::AccountKey;
use tokio::task::JoinSet;

use super::activations::places;
use super::file;
use crate::support::fleet::{NEWEST, lookup, tool};
use crate::support::{Account, Http, Launch, NatsLaunch, Operator, Server, now, within};

/// So many files are imported for a moment only, but for one in which thousands of requests are answered.
const FILES: usize = 1_500;
/// Requests that wait at the same time, on each way.
const AT_ONCE: usize = 4;

/// Accounts in the order in which the scan comes to them, so that requests meet their files again and again.
fn accounts(count: usize) -> Vec<Account> {
    let mut accounts: Vec<_> = (0..count).map(|_| Account::new()).collect();
    accounts.sort_by_cached_key(|account| *AccountKey::parse(&account.key()).unwrap().raw());
    accounts
}

/// What came of asking.
#[derive(Debug, Default)]
struct Asked {
    found: AtomicUsize,
    missed: AtomicUsize,
    is_over: AtomicBool,
}

impl Asked {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn count(&self, is_found: bool) {
        let counter = if is_found { &self.found } else { &self.missed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Fails the test if something was missed. Returns whether enough was found to tell.
    fn judge(&self, how: &str) -> bool {
        let (found, missed) = (self.found.load(Ordering::Relaxed), self.missed.load(Ordering::Relaxed));
        assert_eq!(missed, 0, "{how}: of {} requests so many were told that there is nothing", found + missed);
        found >= AT_ONCE
    }
}

/// Asks for one path after another until the import is over.
async fn get_all(http: Http, paths: Arc<Vec<String>>, asked: Arc<Asked>, from: usize) {
    for path in paths.iter().cycle().skip(from) {
        if asked.is_over() {
            return;
        }
        let status = http.get(path).await.status;
        // 503 is an answer where no name leads to a file.
        assert!(matches!(status, 200 | 404 | 503), "{status}");
        asked.count(status != 404);
    }
}

/// The same over NATS, where whoever has no JWT says nothing.
async fn look_up_all(client: Client, keys: Arc<Vec<String>>, asked: Arc<Asked>, from: usize) {
    for key in keys.iter().cycle().skip(from) {
        if asked.is_over() {
            return;
        }
        match client.request(lookup(key), "".into()).await {
            Ok(answer) => asked.count(!answer.payload.is_empty()),
            // The primary has not come to NATS yet.
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) if error.kind() == RequestErrorKind::TimedOut => asked.count(false),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Where each of those begins that ask at the same time.
fn starts<T>(all: &[T]) -> impl Iterator<Item = usize> {
    let count = all.len();
    (0..AT_ONCE).map(move |number| count * number / AT_ONCE)
}

/// What a folder holds, and how it can be asked for.
struct Folder {
    dir: PathBuf,
    keys: Arc<Vec<String>>,
    activations: Arc<Vec<String>>,
    nats: Option<Client>,
}

impl Folder {
    fn of(dir: &Path, accounts: &[Account]) -> Self {
        let keys = Arc::new(accounts.iter().map(Account::key).collect());
        Self { dir: dir.to_owned(), keys, activations: Arc::default(), nats: None }
    }

    /// Starts the server for the first time, until enough was asked for in every way during the import.
    async fn is_never_absent(&self, launch: &Launch) {
        for _ in 0..10 {
            if self.is_asked_enough(launch.clone().start_unready()).await {
                return;
            }
            // The next start is a first one, too.
            let _ = fs::remove_dir_all(self.dir.join(".nats-account-server"));
        }
        panic!("each time the import was over before enough was asked for");
    }

    /// Asks for everything until the server is ready, and judges what was answered.
    async fn is_asked_enough(&self, start: impl Future<Output = Server>) -> bool {
        let all: [Arc<Asked>; 3] = Default::default();
        let [gets, lookups, of_activations] = &all;
        let mut asking = JoinSet::new();
        if let Some(client) = &self.nats {
            for from in starts(&self.keys) {
                asking.spawn(look_up_all(client.clone(), self.keys.clone(), lookups.clone(), from));
            }
        }
        let paths = Arc::new(self.keys.iter().map(|key| format!("/jwt/v1/accounts/{key}")).collect::<Vec<_>>());
        let server = start.await;
        for from in starts(&paths) {
            asking.spawn(get_all(server.http.clone(), paths.clone(), gets.clone(), from));
        }
        if !self.activations.is_empty() {
            asking.spawn(get_all(server.http.clone(), self.activations.clone(), of_activations.clone(), 0));
        }
        within("the end of the import", async {
            while server.http.get("/readyz").await.status != 200 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        for asked in &all {
            asked.is_over.store(true, Ordering::Relaxed);
        }
        while let Some(ended) = asking.join_next().await {
            ended.unwrap();
        }
        assert_eq!(server.http.metric("accounts", "").await, self.keys.len() as f64);
        let enough = [
            gets.judge("GET"),
            lookups.judge("LOOKUP") || self.nats.is_none(),
            of_activations.judge("GET of an activation") || self.activations.is_empty(),
        ];
        enough == [true; 3]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_the_folder_holds_is_absent_over_http_or_nats() {
    let (operator, dir, own) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let accounts = accounts(FILES);
    for account in &accounts {
        fs::write(file(dir.path(), account), operator.account(account, 100)).unwrap();
    }
    let mut folder = Folder::of(dir.path(), &accounts);
    let mut activations = Vec::new();
    for pair in accounts.as_chunks::<{ FILES / 20 }>().0 {
        let (path, route) = places(dir.path(), &pair[0], &pair[1]);
        fs::write(path, pair[0].activation(&pair[1], "orders", 50)).unwrap();
        activations.push(route);
    }
    let (system, creds) = (operator.system(), own.path().join("system.creds"));
    fs::write(&creds, system.user().creds()).unwrap();
    let preload = operator.sign(&system.claims(now() - 1_000));
    let resolver = format!("resolver: MEMORY\nresolver_preload: {{ {}: {preload} }}", system.key());
    let nats = NatsLaunch::new(NEWEST, &operator).with(&resolver).start().await;
    folder.activations = Arc::new(activations);
    folder.nats = Some(tool(&creds, nats.address()).await);
    folder.is_never_absent(&Launch::primary(&operator).dir(dir.path()).nats(nats.address(), &creds)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_an_account_to_whose_file_no_name_leads() {
    let (operator, accounts) = (Operator::new(), accounts(FILES / 5));
    let copies = tempfile::tempdir().unwrap();
    let folder = copies.path().join("copies of somebody");
    fs::create_dir(&folder).unwrap();
    let nsc = tempfile::tempdir().unwrap();
    fs::write(nsc.path().join(".nsc"), r#"{"managed": false, "name": "O"}"#).unwrap();
    for (number, account) in accounts.iter().enumerate() {
        let jwt = operator.account(account, 100);
        fs::write(file(&folder, account), &jwt).unwrap();
        fs::write(super::nsc::place(nsc.path(), &format!("account-{number}")), &jwt).unwrap();
    }
    let launch = Launch::primary(&operator);
    let (of_copies, of_nsc) = (Folder::of(copies.path(), &accounts), Folder::of(nsc.path(), &accounts));
    let own = launch.clone().dir(copies.path());
    of_copies.is_never_absent(&own).await;
    of_copies.is_never_absent(&own.env("NAS_STORE__READONLY", "true")).await;
    of_nsc.is_never_absent(&launch.flag("-nsc", nsc.path())).await;
}
