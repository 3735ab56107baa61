//! `cargo bench --bench journal`: the journal alone with a million accounts: durable commits of 64 writers, reads, and
//! what the accounts cost in the memory of a server that opens it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nats_account_server::gate::{Entry, Record, Via};
use nats_account_server::key::{AccountKey, Kind, PublicKey};
use nats_account_server::store::Journal;
use nats_account_server::store::journal::{Options, Write};
use nkeys::KeyPair;
use sha2::{Digest as _, Sha256};

const ACCOUNTS: u64 = 1_000_000;
const WRITERS: u64 = 64;
const SECONDS: u64 = 10;

/// An entry as an earlier admission left it: the journal does not look at signatures.
fn entry(n: u64, iat: i64) -> Arc<Entry> {
    let key: [u8; 32] = Sha256::digest(n.to_le_bytes()).into();
    let mut token = vec![b'x'; 1200];
    token[..8].copy_from_slice(&n.to_be_bytes());
    token[8..16].copy_from_slice(&iat.to_be_bytes());
    let digest = Sha256::digest(&token).into();
    let record = Record {
        key: AccountKey::from_raw(key),
        token: token.into(),
        digest,
        identity: digest,
        issuer: PublicKey::from_raw(Kind::Operator, [1; 32]),
        iat,
        exp: 0,
    };
    Arc::new(Entry::reopen(record).unwrap())
}

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let state = folder.path().join(".nats-account-server");
    std::fs::create_dir(&state).unwrap();
    let options = Options::primary(Some(state.join("journal.sqlite")), 4, 4);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let journal = Arc::new(Journal::open(&options, |_, _| {}).unwrap());
    let began = Instant::now();
    runtime.block_on(each(&journal, 256, move |writer, n| {
        let number = n * 256 + writer;
        (number < ACCOUNTS).then(|| entry(number, 1))
    }));
    println!("filled with {ACCOUNTS} accounts in {:.0} s", began.elapsed().as_secs_f64());

    let until = Instant::now() + Duration::from_secs(SECONDS);
    let mut times = runtime.block_on(each(&journal, WRITERS, move |writer, n| {
        // Random accounts, each writer its own share, always a newer version.
        let random = u64::from_le_bytes(Sha256::digest((writer << 40 | n).to_le_bytes())[..8].try_into().unwrap());
        let number = random % (ACCOUNTS / WRITERS) * WRITERS + writer;
        (Instant::now() < until).then(|| entry(number, 2 + n as i64))
    }));
    times.sort();
    println!(
        "{WRITERS} writers on random accounts: {:.0} durable commits/s, p50 {:.2} ms, p99 {:.2} ms",
        times.len() as f64 / SECONDS as f64,
        support::quantile(&times, 0.5),
        support::quantile(&times, 0.99)
    );
    let log = std::fs::metadata(state.join("journal.sqlite-wal")).unwrap().len();
    println!("log {} MiB", log >> 20);

    let began = Instant::now();
    let reads = 50_000u64;
    for n in 0..reads {
        let key = AccountKey::from_raw(Sha256::digest((n * 19 % ACCOUNTS).to_le_bytes()).into());
        assert!(journal.get(&key).unwrap().is_some());
    }
    println!("random reads: {:.1} us each", began.elapsed().as_secs_f64() * 1e6 / reads as f64);
    runtime.block_on(journal.close());
    drop(journal);

    memory(folder.path());
}

/// Runs writers at once, each committing what `next` gives it until that ends. Returns the time of every commit.
async fn each(
    journal: &Arc<Journal>,
    writers: u64,
    next: impl Fn(u64, u64) -> Option<Arc<Entry>> + Send + Sync + Copy + 'static,
) -> Vec<Duration> {
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for n in 0.. {
                    let Some(entry) = next(writer, n) else { break };
                    let began = Instant::now();
                    // A random account may come again with an older version; that is refused, and no commit.
                    if journal.commit(Write::Put(entry, Via::Post)).await.is_ok() {
                        times.push(began.elapsed());
                    }
                }
                times
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

/// What a server holds in memory for a million accounts, before and after it has served many of them.
fn memory(folder: &std::path::Path) {
    let operator = support::operator(&KeyPair::new_operator(), None);
    let (empty, _) = support::server(&["-operator", &operator]);
    std::thread::sleep(Duration::from_secs(1));
    let base = empty.anonymous();
    let (server, port) = support::server(&["-operator", &operator, "-dir", folder.to_str().unwrap()]);
    std::thread::sleep(Duration::from_secs(1));
    let opened = server.anonymous();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let requests = |connection: u64| {
        (0..4000u64)
            .map(|n| {
                let number = (connection * 4000 + n) * 7 % ACCOUNTS;
                let key = AccountKey::from_raw(Sha256::digest(number.to_le_bytes()).into());
                support::get(&format!("/jwt/v1/accounts/{key}"))
            })
            .collect()
    };
    let (times, whole) = runtime.block_on(support::load(port, (0..64).map(requests).collect()));
    println!(
        "cold GETs: {:.0}/s, p99 {:.2} ms",
        times.len() as f64 / whole.as_secs_f64(),
        support::quantile(&times, 0.99)
    );
    let served = server.anonymous();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "anonymous memory: {:.1} MiB empty, {:.1} MiB with {ACCOUNTS} accounts, {:.1} MiB after 256000 GETs (body cache 64 MiB)",
        mib(base),
        mib(opened),
        mib(served)
    );
    println!(
        "per account beyond the cache's bound: {:.0} bytes",
        (served as f64 - base as f64 - f64::from(64 << 20)).max(0.0) / ACCOUNTS as f64
    );
}
