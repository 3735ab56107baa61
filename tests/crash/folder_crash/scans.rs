//! Kills while a folder is taken in for the first time.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use tokio::time::sleep;

use super::{file, refused};
use crate::support::feed::history;
use crate::support::{Account, Launch, Operator, until};

#[tokio::test]
async fn a_first_scan_that_is_killed_again_and_again_takes_in_everything_once() {
    const FILES: usize = 4_000;
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut given = HashMap::new();
    for number in 0..FILES {
        let account = Account::new();
        let jwt = operator.account(&account, 1000);
        // One in so many is torn, and stays as it is: the account has never been heard of.
        let text = if number % 100 == 0 { jwt[..200].to_owned() } else { jwt };
        fs::write(file(dir.path(), &account), &text).unwrap();
        given.insert(account.key(), (account, text, number % 100 != 0));
    }
    let launch = Launch::primary(&operator).dir(dir.path());
    let (pushed, mut interrupted) = (Account::new(), 0);
    for round in 0..5_i64 {
        let mut server = launch.clone().start_unready().await;
        // A push does not wait for the scan, and is not undone by it.
        let jwt = operator.account(&pushed, 500 - round);
        server.http.post(&pushed.path(), jwt.clone()).await.expect(200);
        sleep(Duration::from_millis(rand::random_range(0..300))).await;
        interrupted += usize::from(server.http.get("/readyz").await.status == 503);
        server.kill();
        given.insert(pushed.key(), (Account::new(), jwt, true));
    }
    assert!(interrupted > 0, "no scan was interrupted");
    let server = launch.start().await;
    let mut taken = HashMap::new();
    for change in history(&server.http).await.changes.iter().filter(|change| change.kind == "account") {
        *taken.entry(change.key.clone().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(taken.remove(&pushed.key()), Some(5));
    assert!(taken.values().all(|times| *times == 1), "no file is a change twice");
    for (key, (_, text, is_whole)) in &given {
        let reply = server.http.get(&format!("/jwt/v1/accounts/{key}")).await;
        assert_eq!((reply.status, reply.body == *text), if *is_whole { (200, true) } else { (404, false) }, "{key}");
        assert!(taken.contains_key(key) == (*is_whole && *key != pushed.key()));
    }
    until("the pushed JWT is in the folder", || async {
        fs::read_to_string(file(dir.path(), &pushed)).is_ok_and(|text| text == given[&pushed.key()].1)
    })
    .await;
    for (key, (_, text, _)) in &given {
        assert_eq!(fs::read_to_string(dir.path().join(format!("{key}.jwt"))).unwrap(), *text);
    }
    assert!(refused(dir.path()).is_empty());
}
