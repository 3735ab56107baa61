//! `backup`, `export` and `restore` with the store of a mirror.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{file, on, run, stop};
use crate::support::{Account, Launch, Operator, Proxy, Server, now, until};

fn replica(operator: &Operator, primary: &str, mode: &str, dir: &Path) -> Launch {
    Launch::replica(operator, primary).env("NAS_REPLICA__MODE", mode).dir(dir)
}

async fn push(server: &Server, account: &Account, jwt: &str) {
    server.http.post(&account.path(), jwt.to_owned()).await.expect(200);
}

async fn serves(server: &Server, account: &Account, jwt: &str) {
    until("the JWT is served", || async { server.http.get(&account.path()).await.body == jwt }).await;
}

/// The root of a server's digest tree.
async fn root(server: &Server) -> String {
    let page: Value = serde_json::from_str(&server.http.get("/jwt/v1/digests").await.expect(200).body).unwrap();
    page["sum"].as_str().unwrap().to_owned()
}

/// What a folder holds of an account.
fn written(dir: &Path, account: &Account) -> Option<String> {
    fs::read_to_string(file(dir, account)).ok()
}

#[tokio::test]
async fn a_mirror_is_backed_up_and_exported_and_its_backup_becomes_the_state_of_a_primary() {
    let (operator, other) = (Operator::new(), tempfile::tempdir().unwrap());
    let (place, jwt) = (|name: &str| other.path().join(name), operator.jwt());
    let first = Server::primary(&operator).await;
    let link = Proxy::to(first.host()).await;
    let dir = place("mirror");
    let mirror = replica(&operator, &link.url(), "mirror", &dir).start().await;
    mirror.follows().await;
    let [same, ahead, newer, deleted, early] = std::array::from_fn(|_| Account::new());
    let jwts = [&same, &ahead, &newer, &deleted, &early].map(|account| operator.account(account, 100));
    for (account, jwt) in [&same, &ahead, &newer, &deleted, &early].into_iter().zip(&jwts) {
        push(&first, account, jwt).await;
        serves(&mirror, account, jwt).await;
    }
    first.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 50)).await.expect(200);
    until("the deletion arrives", || async { mirror.http.get(&deleted.path()).await.status == 404 }).await;

    // The primary is replaced by one that lacks something, so the mirror serves what its upstream has not ordered.
    let second = Server::primary(&operator).await;
    push(&second, &same, &jwts[0]).await;
    push(&second, &early, &operator.account(&early, 500)).await;
    let newest = operator.account(&newer, 20);
    push(&second, &newer, &newest).await;
    let activation = same.activation(&newer, "a.b", 10);
    second.http.post("/jwt/v1/activations", activation.clone()).await.expect(200);
    let hash = nats_account_server::jwt::activation_hash_id(&same.key(), &newer.key(), "a.b").unwrap();
    link.lead_to(second.host());
    serves(&mirror, &newer, &newest).await;
    mirror.logs_times("in sync with ", 2).await;
    mirror.follows().await;
    // The deletion is newer here as well.
    until("it is ahead", || async { mirror.http.metric("replica_ahead_accounts", "").await == 3.0 }).await;
    // And something comes by the feed.
    let (late, again) = (Account::new(), operator.account(&newer, 10));
    let late_jwt = operator.account(&late, 5);
    push(&second, &late, &late_jwt).await;
    push(&second, &newer, &again).await;
    serves(&mirror, &newer, &again).await;
    let served = [(&same, &jwts[0]), (&ahead, &jwts[1]), (&newer, &again), (&early, &jwts[4]), (&late, &late_jwt)];

    // While it runs, and with the settings of the mirror; and when it has stopped.
    let (backup, url) = (place("backup"), link.url());
    let name = backup.to_str().unwrap();
    let exports = [place("running"), place("stopped")];
    let made = run(on(&dir, &jwt, &["backup", name])).await.expect(0);
    assert!(made.stdout.contains("5 accounts, 1 deleted"), "{}", made.stdout);
    run(on(&dir, &jwt, &["-primary", &url, "export", exports[0].to_str().unwrap()])).await.expect(0);
    stop(mirror).await;
    let again = run(on(&dir, &jwt, &["-primary", &url, "backup", "--overwrite", name])).await.expect(0);
    assert!(again.stdout.contains("5 accounts, 1 deleted"), "{}", again.stdout);
    run(on(&dir, &jwt, &["export", exports[1].to_str().unwrap()])).await.expect(0);
    for export in &exports {
        for (account, jwt) in served {
            assert_eq!(written(export, account).as_ref(), Some(jwt), "{}", export.display());
        }
        assert_eq!(written(export, &deleted), None);
    }

    let restored = run(on(&place("primary"), &jwt, &["restore", name])).await.expect(0);
    assert!(restored.stdout.contains("5 accounts, 1 deleted"), "{}", restored.stdout);
    let primary = Server::primary_in(&operator, &place("primary")).await;
    for (account, jwt) in served {
        assert_eq!(primary.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    assert_eq!(primary.http.get(&format!("/jwt/v1/activations/{hash}")).await.expect(200).body, activation);
    primary.http.get(&deleted.path()).await.expect(404);
    for (account, jwt) in [(&deleted, &jwts[3]), (&newer, &newest), (&early, &operator.account(&early, 400))] {
        primary.http.post(&account.path(), jwt.clone()).await.expect(409);
    }
    // It is a primary as any other: it orders changes, and is followed and backed up.
    let newest = operator.sign(&newer.with_connections(now(), 7));
    push(&primary, &newer, &newest).await;
    let follower = replica(&operator, &primary.url, "mirror", &place("follower")).start().await;
    serves(&follower, &newer, &newest).await;
    let whole = root(&primary).await;
    until("the follower has everything", || async { root(&follower).await == whole }).await;
    assert_eq!(follower.http.metric("replica_ahead_accounts", "").await, 0.0);
    run(on(&place("primary"), &jwt, &["backup", place("again").to_str().unwrap()])).await.expect(0);
}

#[tokio::test]
async fn what_may_lack_accounts_is_neither_backed_up_nor_exported_nor_restored() {
    let (operator, other, account) = (Operator::new(), tempfile::tempdir().unwrap(), Account::new());
    let (jwt, nowhere) = (operator.jwt(), Proxy::to_nowhere().await);
    let primary = Server::primary(&operator).await;
    push(&primary, &account, &operator.account(&account, 100)).await;
    let [begun, cache] = ["mirror", "cache"].map(|mode| other.path().join(mode));
    let mirror = replica(&operator, &nowhere.url(), "mirror", &begun).start_unready().await;
    let cached = replica(&operator, &primary.url, "cache", &cache).start().await;
    cached.follows().await;
    cached.http.get(&account.path()).await.expect(200);
    stop(mirror).await;
    stop(cached).await;
    let (target, backup) = (other.path().join("target"), other.path().join("backup"));
    for (dir, why) in [(&begun, "it has received nothing yet"), (&cache, "it is a cache's")] {
        for command in [["backup", backup.to_str().unwrap()], ["export", target.to_str().unwrap()]] {
            let ran = run(on(dir, &jwt, &command)).await.expect(1);
            assert!(ran.stderr.contains(why) && ran.stderr.contains("a mirror that is in sync"), "{}", ran.stderr);
        }
        assert!(!backup.exists() && written(&target, &account).is_none());
        let copy = dir.join(".nats-account-server/journal.sqlite");
        let place = other.path().join("place");
        let ran = run(on(&place, &jwt, &["restore", copy.to_str().unwrap()])).await.expect(1);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(!place.join(".nats-account-server/journal.sqlite").exists());
    }
}
