//! Editors that empty a file before they write it, at the very moment when the server looks.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{file, refused};
use crate::support::{Account, Operator, Server, until};

/// File systems show that a file was emptied a moment before they show when that was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_emptied_while_it_is_looked_at_is_not_taken_for_an_empty_one() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Arc::new(Server::primary_in(&operator, dir.path()).await);
    let mut editors = JoinSet::new();
    for _ in 0..300 {
        let account = Account::new();
        let [first, second, third] = [300, 200, 100].map(|age| operator.account(&account, age));
        let (path, server) = (file(dir.path(), &account), server.clone());
        server.http.post(&account.path(), first).await.expect(200);
        editors.spawn(async move {
            // It has been still for longer than the server waits.
            let age = || fs::metadata(&path).ok()?.modified().ok()?.elapsed().ok();
            until("the file is old", || async { age().is_some_and(|age| age > Duration::from_millis(1_100)) }).await;
            // The server looks at it after a push.
            server.http.post(&account.path(), second).await.expect(200);
            let (pushed, pause) = (Instant::now(), Duration::from_micros(rand::random_range(0..1_000)));
            while pushed.elapsed() < pause {}
            let mut open = fs::File::create(&path).unwrap();
            open.write_all(third.as_bytes()).unwrap();
        });
    }
    while let Some(ended) = editors.join_next().await {
        ended.unwrap();
    }
    // What was written last is judged after that.
    let last = Account::new();
    let jwt = operator.account(&last, 100);
    fs::write(file(dir.path(), &last), &jwt).unwrap();
    until("the last file is taken in", || async { server.http.get(&last.path()).await.body == jwt }).await;
    assert!(refused(dir.path()).is_empty(), "{:?}", refused(dir.path()));
}
