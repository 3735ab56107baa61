//! The first start with a folder that is full already: whoever asks meanwhile is never told that an account is absent.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use nats_account_server::key::AccountKey;

use super::activations::places;
use super::file;
use super::support::fleet::{NEWEST, lookup, tool};
use super::support::{Account, Http, Launch, NatsLaunch, Operator, now, within};

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

    /// Fails the test if something was missed, or if too little was asked for to tell.
    fn judge(&self, how: &str, enough: usize) {
        let (found, missed) = (self.found.load(Ordering::Relaxed), self.missed.load(Ordering::Relaxed));
        assert_eq!(missed, 0, "{how}: of {} requests so many were told that there is nothing", found + missed);
        assert!(found >= enough, "{how}: only {found} requests were answered during the import");
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

/// Starts the server, asks for what its folder holds until it is ready, and judges what was answered.
async fn ask_while_importing(launch: Launch, accounts: &[Account], activations: Vec<String>, nats: Option<Client>) {
    let keys = Arc::new(accounts.iter().map(Account::key).collect::<Vec<_>>());
    let paths = Arc::new(accounts.iter().map(Account::path).collect::<Vec<_>>());
    let activations = Arc::new(activations);
    let all: [Arc<Asked>; 3] = Default::default();
    let [gets, lookups, of_activations] = &all;
    let mut asking = tokio::task::JoinSet::new();
    if let Some(client) = &nats {
        for from in starts(&keys) {
            asking.spawn(look_up_all(client.clone(), keys.clone(), lookups.clone(), from));
        }
    }
    let server = launch.start_unready().await;
    for from in starts(&paths) {
        asking.spawn(get_all(Http::new(&server.url), paths.clone(), gets.clone(), from));
    }
    if !activations.is_empty() {
        asking.spawn(get_all(Http::new(&server.url), activations.clone(), of_activations.clone(), 0));
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
    gets.judge("GET", AT_ONCE);
    lookups.judge("LOOKUP", if nats.is_some() { AT_ONCE } else { 0 });
    of_activations.judge("GET of an activation", usize::from(!activations.is_empty()));
    assert_eq!(server.http.metric("accounts", "").await, accounts.len() as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_the_folder_holds_is_absent_over_http_or_nats() {
    let (operator, dir, own) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let accounts = accounts(FILES);
    for account in &accounts {
        fs::write(file(dir.path(), account), operator.account(account, 100)).unwrap();
    }
    let mut activations = Vec::new();
    for pair in accounts.chunks_exact(FILES / 20) {
        let (path, route) = places(dir.path(), &pair[0], &pair[1]);
        fs::write(path, pair[0].activation(&pair[1], "orders", 50)).unwrap();
        activations.push(route);
    }
    let (system, creds) = (operator.system(), own.path().join("system.creds"));
    fs::write(&creds, system.user().creds()).unwrap();
    let preload = operator.sign(&system.claims(now() - 1_000));
    let resolver = format!("resolver: MEMORY\nresolver_preload: {{ {}: {preload} }}", system.key());
    let nats = NatsLaunch::new(NEWEST, &operator).with(&resolver).start().await;
    let client = tool(&creds, nats.address()).await;
    let launch = Launch::primary(&operator).dir(dir.path()).nats(nats.address(), &creds);
    ask_while_importing(launch, &accounts, activations, Some(client)).await;
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
    let launch = || Launch::primary(&operator);
    for launch in [
        launch().dir(copies.path()),
        launch().dir(copies.path()).env("NAS_STORE__READONLY", "true"),
        launch().flag("-nsc", nsc.path()),
    ] {
        ask_while_importing(launch, &accounts, Vec::new(), None).await;
    }
}
