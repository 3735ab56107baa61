//! The primary comes back from an old copy: its replicas hand back what it lacks.

use std::fs;

use super::{ahead, compared, mirror, push, serves, stop};
use crate::support::command::{copy, run};
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Proxy, Server, until};

#[tokio::test]
async fn a_primary_that_was_set_back_gets_back_what_its_replicas_hold() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (folder, backup) = (dir.path().join("primary"), dir.path().join("backup"));
    let launch = Launch::primary(&operator).dir(&folder);
    let primary = launch.clone().start().await;
    let [same, newer, gone, only, tied] = std::array::from_fn(|_| Account::new());
    let old = operator.account(&newer, 1_000);
    push(&primary, &newer, &old).await;
    for account in [&same, &gone] {
        push(&primary, account, &operator.account(account, 1_000)).await;
    }
    let [tie, winner] = [1, 2].map(|conn| operator.sign(&tied.with_connections(1_700_000_000, conn)));
    push(&primary, &tied, &tie).await;
    stop(primary).await;
    copy(&folder, &backup);

    let primary = launch.clone().start().await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = mirror(&operator, &proxy.url(), &dir.path().join("mirror")).start().await;
    let cache = Launch::replica(&operator, &proxy.url()).env("NAS_REPLICA__WARM", "false").start().await;
    replica.follows().await;
    let newest = operator.account(&newer, 500);
    push(&primary, &newer, &newest).await;
    push(&primary, &only, &operator.account(&only, 500)).await;
    push(&primary, &tied, &winner).await;
    primary.http.delete(&gone.path(), operator.delete_request(&[&gone], 400)).await.expect(200);
    for account in [&same, &newer, &only, &tied] {
        let jwt = primary.http.get(&account.path()).await.expect(200).body;
        serves(&replica, account, &jwt).await;
        serves(&cache, account, &jwt).await;
    }
    until("the deletion arrives", || async { replica.http.get(&gone.path()).await.status == 404 }).await;
    stop(primary).await;
    fs::remove_dir_all(&folder).unwrap();
    copy(&backup, &folder);
    let primary = launch.start().await;
    proxy.lead_to(primary.host());
    proxy.cut();
    proxy.heal();
    compared(&replica, 2).await;
    compared(&cache, 2).await;
    // The cache does not hold the deletion.
    until("what is newer is counted", || async { (ahead(&replica).await, ahead(&cache).await) == (4.0, 3.0) }).await;
    serves(&primary, &newer, &old).await;

    let other = Server::primary(&Operator::new()).await;
    let refused = run(["restore", "--from", &replica.url, "--to", &other.url]).await.expect(1);
    assert_eq!(refused.count("rejected"), 4, "{}", refused.stdout);
    let dry = run(["restore", "--from", &replica.url, "--dry-run"]).await.expect(0);
    assert_eq!(dry.count("would be handed back"), 4, "{}", dry.stdout);
    // By the port alone one server of a machine is told from another.
    assert!(dry.stdout.contains(&format!("from {} to {}:", replica.url, proxy.url())), "{}", dry.stdout);
    serves(&primary, &newer, &old).await;
    let at_primary = run(["restore", "--from", &primary.url]).await.expect(1);
    assert!(at_primary.stderr.contains("is a primary"), "{}", at_primary.stderr);
    let of_cache = run(["restore", "--from", &cache.url]).await.expect(0);
    assert_eq!(of_cache.count("handed back"), 3, "{}", of_cache.stdout);
    until("those are level", || async { (ahead(&replica).await, ahead(&cache).await) == (1.0, 0.0) }).await;
    let done = run(["restore", "--from", &replica.url, "--to", &primary.url]).await.expect(0);
    assert_eq!(done.count("handed back"), 1, "{}", done.stdout);
    serves(&primary, &newer, &newest).await;
    serves(&primary, &tied, &winner).await;
    primary.http.get(&gone.path()).await.expect(404);
    until("all is level", || async { ahead(&replica).await == 0.0 }).await;
    assert_eq!(run(["restore", "--from", &replica.url]).await.expect(0).count("handed back"), 0);
}

/// What a replica names as its primary may be anybody's. Our credentials are for the servers that we named ourselves.
#[tokio::test]
async fn credentials_are_not_shown_to_a_server_that_only_a_replica_names() {
    let (operator, account, folder) = (Operator::new(), Account::new(), tempfile::tempdir().unwrap());
    let named = FakePrimary::without_feed(|_| Answer::new(404, "no\n")).await;
    let page = serde_json::json!({
        "primary": named.url, "accounts": [{ "key": account.key(), "jwt": operator.account(&account, 10) }]
    });
    let replica = FakePrimary::new(move |_| Answer::new(200, page.to_string())).await;
    let (config, pem) = (folder.path().join("nas.yaml"), folder.path().join("client.pem"));
    let authority = crate::support::Authority::new("Tests");
    authority.client().write(&pem, &folder.path().join("client.key"));
    let tls = format!("replica:\n  tls:\n    cert: {0}/client.pem\n    key: {0}/client.key\n", folder.path().display());
    let restore = |settings: String, more: &[&str]| {
        fs::write(&config, settings).unwrap();
        let args = ["-c", config.to_str().unwrap(), "restore", "--from", &replica.url];
        run(args.into_iter().chain(more.iter().copied()).map(str::to_owned).collect::<Vec<_>>())
    };
    for credentials in ["replica:\n  token: hush\n", &tls] {
        let refused = restore(credentials.to_owned(), &[]).await.expect(1);
        assert!(refused.stderr.contains("--to") && refused.stderr.contains(&named.url), "{}", refused.stderr);
        assert_eq!(named.requests(), 0);
        // As the primary of these settings, a person has named it.
        restore(format!("primary: {}\n{credentials}", named.url), &["--dry-run"]).await.expect(0);
        restore(credentials.to_owned(), &["--to", &named.url, "--dry-run"]).await.expect(0);
        assert_eq!(named.requests(), 2);
        named.forget();
    }
    // Where there is nothing to show, nothing can be shown.
    restore(String::new(), &["--dry-run"]).await.expect(0);
}
