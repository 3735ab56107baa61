//! What is not whole is promoted only by who says so, and then still lets nothing go back.

use super::{ahead, compared, mirror, on, push, serves, stop};
use crate::support::command::run;
use crate::support::{Account, Launch, Operator, Server};

#[tokio::test]
async fn what_lacks_something_says_what_and_keeps_barring_what_is_older() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let folder = dir.path().join("mirror");
    let accounts: Vec<_> = (0..60).map(|_| Account::new()).collect();
    let older: Vec<_> = accounts.iter().map(|account| operator.account(account, 200)).collect();
    let jwts: Vec<_> = accounts.iter().map(|account| operator.account(account, 100)).collect();
    for (account, jwt) in accounts.iter().zip(&jwts) {
        push(&primary, account, jwt).await;
    }
    // A cache knows all of them, and has the JWTs that it was asked for.
    let cache = Launch::replica(&operator, &primary.url).dir(&folder).env("NAS_REPLICA__WARM", "false");
    let replica = cache.start().await;
    compared(&replica, 1).await;
    for (account, jwt) in accounts.iter().zip(&jwts).take(40) {
        serves(&replica, account, jwt).await;
    }
    let other = mirror(&operator, &primary.url, &dir.path().join("other")).start().await;
    compared(&other, 1).await;
    stop(replica).await;
    let jwt = operator.jwt();
    let refused = run(on(&folder, &jwt, &["promote"])).await.expect(1);
    assert!(refused.stdout.contains("accounts have no JWT here"), "{}", refused.stdout);
    assert!(refused.stderr.contains("--incomplete"), "{}", refused.stderr);
    run(on(&folder, &jwt, &["promote", "--incomplete"])).await.expect(0);
    run(on(&folder, &jwt, &["promote"])).await.expect(1);

    let promoted = Launch::primary(&operator).dir(&folder).start().await;
    let mut lacking = Vec::new();
    for n in 0..accounts.len() {
        if promoted.http.get(&accounts[n].path()).await.status == 404 {
            lacking.push(n);
        } else {
            assert_eq!(promoted.http.post(&accounts[n].path(), older[n].clone()).await.status, 409);
        }
    }
    assert_eq!(lacking.len(), 20);
    // Another mirror has them, goes on serving them, and hands them back.
    stop(other).await;
    let other = mirror(&operator, &promoted.url, &dir.path().join("other")).start().await;
    compared(&other, 1).await;
    for (account, jwt) in accounts.iter().zip(&jwts) {
        serves(&other, account, jwt).await;
    }
    let count = lacking.len();
    assert_eq!(ahead(&other).await as usize, count);
    let back = run(["restore", "--from", &other.url]).await.expect(0);
    assert_eq!(back.count("handed back"), count as u64, "{}", back.stdout);
    for (account, jwt) in accounts.iter().zip(&jwts) {
        serves(&promoted, account, jwt).await;
    }
    // Also after a restart.
    let promoted = promoted.stop_and_start().await;
    for (account, jwt) in accounts.iter().zip(&jwts) {
        serves(&promoted, account, jwt).await;
    }
}

#[tokio::test]
async fn what_is_no_whole_mirror_is_refused_and_left_as_it_is() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let account = Account::new();
    let token = operator.account(&account, 100);
    push(&primary, &account, &token).await;
    let folder = dir.path().join("cache");
    let cache = Launch::replica(&operator, &primary.url).dir(&folder).start().await;
    serves(&cache, &account, &token).await;
    let jwt = operator.jwt();
    let in_use = run(on(&folder, &jwt, &["promote", "--incomplete"])).await.expect(1);
    assert!(in_use.stderr.contains("in use"), "{}", in_use.stderr);
    stop(cache).await;
    let refused = run(on(&folder, &jwt, &["promote"])).await.expect(1);
    assert!(refused.stdout.contains("it is a cache's"), "{}", refused.stdout);
    let other = Operator::new().jwt();
    let foreign = run(on(&folder, &other, &["promote", "--incomplete"])).await.expect(1);
    assert!(foreign.stderr.contains("is configured"), "{}", foreign.stderr);
    let nothing = run(on(&dir.path().join("nothing"), &jwt, &["promote"])).await.expect(1);
    assert!(nothing.stderr.contains("no store of a replica"), "{}", nothing.stderr);
    assert!(!dir.path().join("nothing").exists());
    // It goes on as a cache where it was refused.
    Launch::replica(&operator, &primary.url).dir(&folder).start().await.follows().await;
}
