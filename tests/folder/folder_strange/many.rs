//! A hundred thousand files that are no JWTs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nats_account_server::key::AccountKey;
use rand::RngExt as _;

use super::file;
use crate::support::{Account, Launch, Operator, Server, until};

/// Names like those of accounts, and names that are not.
const EACH: usize = 50_000;

/// A name like an account's. Nobody has the private key, and to make one takes longer than all the rest.
fn name() -> String {
    let mut raw = [0; 32];
    rand::rng().fill(&mut raw);
    AccountKey::from_raw(raw).text()
}

fn scatter(dir: &Path, count: usize) {
    // Names for few files: to make and remove that many files takes longer than all the rest.
    let junk: Vec<_> = (0..10).map(|number| dir.join(format!("junk-{number}"))).collect();
    junk.iter().for_each(|path| fs::write(path, "junk").unwrap());
    for number in 0..count {
        let other = ["report-%.jwt", "%.txt", "%.jwt.bak", ".%.jwt.swp"][number % 4];
        let names = [format!("{}.jwt", name()), other.replace('%', &number.to_string())];
        names.iter().for_each(|name| fs::hard_link(&junk[number % 10], dir.join(name)).unwrap());
    }
}

/// The resident memory of a server, in MiB.
async fn memory(server: &Server) -> f64 {
    server
        .http
        .get("/metrics")
        .await
        .expect(200)
        .body
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes ")?.parse::<f64>().ok())
        .unwrap()
        / f64::from(1 << 20)
}

#[tokio::test]
async fn a_folder_full_of_junk_holds_nothing_up_and_fills_neither_log_nor_memory() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let path = dir.path().to_owned();
    tokio::task::spawn_blocking(move || scatter(&path, EACH)).await.unwrap();
    let (good, pushed) = (Account::new(), Account::new());
    let jwt = operator.account(&good, 100);
    fs::write(file(dir.path(), &good), &jwt).unwrap();
    let began = Instant::now();
    let server = Launch::primary(&operator).dir(dir.path()).start_unready().await;
    assert_eq!(server.http.get(&good.path()).await.expect(200).body, jwt);
    let answered = began.elapsed();
    assert!(answered < Duration::from_secs(3), "the first answer took {answered:?}");
    let of_pushed = operator.account(&pushed, 100);
    server.http.post(&pushed.path(), of_pushed.clone()).await.expect(200);
    until("all was looked at", || async { server.http.get("/readyz").await.status == 200 }).await;
    let scanned = began.elapsed();
    // The look that follows finds nothing that was not said.
    until("the pushed JWT is in the folder", || async {
        fs::read_to_string(file(dir.path(), &pushed)).is_ok_and(|text| text == of_pushed)
    })
    .await;
    let late = Account::new();
    let of_late = operator.account(&late, 100);
    fs::write(file(dir.path(), &late), &of_late).unwrap();
    until("what is dropped is taken in", || async { server.http.get(&late.path()).await.body == of_late }).await;
    let (lines, memory) = (server.log().lines().count(), memory(&server).await);
    println!("answered after {answered:?}, all looked at after {scanned:?}; {lines} lines, {memory:.0} MiB");
    assert!(lines < 500, "{lines} lines of log");
    assert!(memory < 150.0, "{memory} MiB");
    assert_eq!(server.http.metric("accounts", "").await, 3.0);
    server.logs("further files that are refused are counted, not named").await;
    // Another look through everything: an operator who comes back finds his folder in the log no worse.
    let server = server.stop_and_start().await;
    until("what is dropped is taken in", || async { server.http.get(&late.path()).await.body == of_late }).await;
    let lines = server.log().lines().count();
    assert!(lines < 500, "{lines} lines of log after the second start");
}

#[tokio::test]
async fn junk_that_is_dropped_in_heaps_is_named_in_part() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Server::primary_in(&operator, dir.path()).await;
    let path = dir.path().to_owned();
    tokio::task::spawn_blocking(move || scatter(&path, 3_000)).await.unwrap();
    server.logs("further files that are refused are counted, not named").await;
    let late = Account::new();
    let jwt = operator.account(&late, 100);
    fs::write(file(dir.path(), &late), &jwt).unwrap();
    until("what is dropped is taken in", || async { server.http.get(&late.path()).await.body == jwt }).await;
    until("all are counted", || async { server.http.metric("refused_total", "path=\"file\"").await >= 3_000.0 }).await;
    let lines = server.log().lines().count();
    assert!(lines < 200, "{lines} lines of log");
}
