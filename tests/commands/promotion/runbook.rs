//! The primary is lost: a mirror takes its place.

use nats_account_server::testkit::sign;
use nkeys::KeyPair;

use super::{ahead, compared, fetches, mirror, on, push, root, serves, state, stop};
use crate::support::command::run;
use crate::support::{Account, Launch, Operator, Server, free_address, now, until};

#[tokio::test]
async fn a_mirror_takes_the_place_of_a_lost_primary_and_nothing_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (operator, second) = (Operator::new(), KeyPair::new_operator());
    let file = dir.path().join("operator.jwt");
    std::fs::write(&file, operator.listing(&[&second], 5_000)).unwrap();
    let launch =
        |dir: &str, file: &std::path::Path| Launch::default().flag("-operator", file).dir(&file.with_file_name(dir));
    let mut primary = launch("primary", &file).start().await;
    let address = free_address();
    let both = format!("{},http://{address}", primary.url);
    let (mirrored, cached) = (dir.path().join("mirror"), dir.path().join("cache"));
    let replica = mirror(&operator, &primary.url, &mirrored).start().await;
    let kept = Launch::replica(&operator, &primary.url).dir(&cached).start().await;
    let listed = Launch::replica(&operator, &both).start().await;
    for replica in [&replica, &kept, &listed] {
        replica.follows().await;
    }

    let accounts: Vec<_> = (0..12).map(|_| Account::new()).collect();
    let first: Vec<_> = accounts.iter().map(|account| operator.account(account, 1_000)).collect();
    for (account, jwt) in accounts.iter().zip(&first) {
        push(&primary, account, jwt).await;
    }
    let [updated, tied, again, deleted, withheld, ..] = &accounts[..] else { panic!() };
    push(&primary, updated, &operator.account(updated, 900)).await;
    let [tie, winner] = [1, 2].map(|conn| operator.sign(&tied.with_connections(now() - 800, conn)));
    push(&primary, tied, &tie).await;
    push(&primary, tied, &winner).await;
    let request = operator.delete_request(&[again, deleted], 700);
    primary.http.delete(&deleted.path(), request.clone()).await.expect(200);
    push(&primary, again, &operator.account(again, 600)).await;
    let theirs = sign(&withheld.claims(now() - 500), &second);
    push(&primary, withheld, &theirs).await;
    let activation = accounts[7].activation(&accounts[8], "a.b", 10);
    primary.http.post("/jwt/v1/activations", activation.clone()).await.expect(200);
    let hash = nats_account_server::jwt::activation_hash_id(&accounts[7].key(), &accounts[8].key(), "a.b").unwrap();
    let hash = format!("/jwt/v1/activations/{hash}");
    // Everybody asks for everything while it is there.
    for replica in [&kept, &listed] {
        serves(replica, withheld, &theirs).await;
        for account in &accounts {
            replica.http.get(&account.path()).await;
        }
    }
    serves(&replica, withheld, &theirs).await;
    std::fs::write(&file, operator.listing(&[], 100)).unwrap();
    primary.signal("HUP");
    for server in [&primary, &replica, &kept, &listed] {
        until("the account is withheld", || async { server.http.get(&withheld.path()).await.status == 404 }).await;
    }
    let last = Account::new();
    push(&primary, &last, &operator.account(&last, 5)).await;
    serves(&replica, &last, &primary.http.get(&last.path()).await.body).await;

    let before = root(&primary).await;
    let mut current = Vec::new();
    for account in accounts.iter().chain([&last]) {
        current.push((account, primary.http.get(&account.path()).await));
    }
    primary.kill();
    stop(replica).await;

    // Without a word from the operator, nothing begins empty.
    let operator_file = file.to_str().unwrap();
    let begun = Launch::default().flag("-operator", &file).dir(&mirrored).fail().await;
    assert!(begun.0 == Some(1) && begun.1.contains("run `nats-account-server promote` with"), "{}", begun.1);
    assert!(begun.1.contains("to begin with nothing"), "{}", begun.1);
    let dry = run(on(&mirrored, operator_file, &["promote", "--dry-run"])).await.expect(0);
    assert!(
        dry.stdout.contains("12 accounts (1 of them withheld), 1 delete requests, 1 activations"),
        "{}",
        dry.stdout
    );
    let still = Launch::default().flag("-operator", &file).dir(&mirrored).fail().await;
    assert!(still.1.contains("run `nats-account-server promote` with"), "a dry run changes nothing: {}", still.1);
    let done = run(on(&mirrored, operator_file, &["promote"])).await.expect(0);
    assert!(done.stdout.contains("Next:"), "{}", done.stdout);
    let verified = run(on(&mirrored, operator_file, &["backup", dir.path().join("copy").to_str().unwrap()])).await;
    assert!(verified.expect(0).stdout.contains("12 accounts"));

    let promoted = launch("mirror", &file).at(&address).start().await;
    assert_eq!(root(&promoted).await, before, "what stands is the same");
    let asked = fetches(&listed).await;
    stop(kept).await;
    let kept = Launch::replica(&operator, &promoted.url).dir(&cached).start().await;
    compared(&kept, 1).await;
    compared(&listed, 2).await;
    for (account, reply) in current.iter().filter(|(account, reply)| account.key() != last.key() && reply.status == 200)
    {
        for server in [&kept, &listed] {
            assert_eq!(server.http.get(&account.path()).await.expect(200).body, reply.body);
        }
    }
    assert_eq!((fetches(&kept).await, fetches(&listed).await), (0.0, asked), "what is the same is not fetched again");
    for server in [&promoted, &kept, &listed] {
        for (account, reply) in &current {
            let now = server.http.get(&account.path()).await;
            assert_eq!((now.status, now.status != 200 || now.body == reply.body), (reply.status, true), "{}", now.body);
        }
        assert_eq!(server.http.get(&hash).await.expect(200).body, activation);
    }
    assert_eq!((ahead(&kept).await, ahead(&listed).await), (0.0, 0.0));

    // What was gone does not come back.
    for (account, jwt) in
        [(updated, &first[0]), (tied, &first[1]), (tied, &tie), (again, &first[2]), (deleted, &first[3])]
    {
        let refused = promoted.http.post(&account.path(), jwt.clone()).await;
        assert_eq!(refused.status, 409, "{}", refused.body);
    }
    promoted.http.post(&withheld.path(), theirs.clone()).await.expect(400);
    // What is new goes everywhere, and to the folder.
    let newest = operator.account(updated, 1);
    push(&promoted, updated, &newest).await;
    for server in [&kept, &listed] {
        serves(server, updated, &newest).await;
    }
    until("the folder follows", || async { mirrored.join(format!("{}.jwt", updated.key())).exists() }).await;
    // The withheld one was kept, and comes back with its key.
    std::fs::write(&file, operator.listing(&[&second], 50)).unwrap();
    promoted.signal("HUP");
    for server in [&promoted, &kept, &listed] {
        serves(server, withheld, &theirs).await;
    }
    // A new mirror takes all of it over.
    let next = mirror(&operator, &promoted.url, &dir.path().join("next")).start().await;
    compared(&next, 1).await;
    serves(&next, again, &promoted.http.get(&again.path()).await.body).await;
    assert_eq!(ahead(&next).await, 0.0);
}

#[tokio::test]
async fn a_replica_on_the_folder_of_a_former_primary_says_what_its_journal_means() {
    let (operator, dir, account) = (Operator::new(), tempfile::tempdir().unwrap(), Account::new());
    let former = Launch::primary(&operator).dir(dir.path()).start().await;
    let jwt = operator.account(&account, 100);
    push(&former, &account, &jwt).await;
    stop(former).await;
    let primary = Launch::primary(&operator).start().await;
    let replica = Launch::replica(&operator, &primary.url).dir(dir.path()).start().await;
    replica.logs(&format!("{} is the journal of a primary", state(dir.path(), "journal.sqlite").display())).await;
    compared(&replica, 1).await;
    serves(&replica, &account, &jwt).await;
    assert_eq!(ahead(&replica).await, 1.0);
    stop(replica).await;
    // What has followed another primary does not become one again by itself.
    let refused = Launch::primary(&operator).dir(dir.path()).fail().await;
    assert!(refused.0 == Some(1) && refused.1.contains("run `nats-account-server promote` with"), "{}", refused.1);
    let fresh = tempfile::tempdir().unwrap();
    let fresh = Launch::replica(&operator, &primary.url).dir(fresh.path()).start().await;
    assert!(!fresh.log().contains("is the journal of a primary"), "{}", fresh.log());
}

#[tokio::test]
async fn what_was_replaced_in_its_second_before_a_mirror_came_does_not_come_back_once_it_is_promoted() {
    let (operator, other) = (Operator::new(), tempfile::tempdir().unwrap());
    let (dir, jwt) = (other.path().join("mirror"), operator.jwt());
    let (primary, account) = (Server::primary(&operator).await, Account::new());
    let start = now();
    let at = |age: i64, bulk: usize| operator.sign(&account.with_bulk(start - age, bulk));
    let [replaced, current] = [10, 20].map(|bulk| at(100, bulk));
    push(&primary, &account, &replaced).await;
    push(&primary, &account, &current).await;
    // It compares, and learns what is current.
    let replica = mirror(&operator, &primary.url, &dir).start().await;
    compared(&replica, 1).await;
    serves(&replica, &account, &current).await;
    stop(replica).await;
    stop(primary).await;
    let promoted = run(on(&dir, &jwt, &["promote"])).await;
    assert_eq!(promoted.status, 0, "{promoted:?}");

    let primary = Server::primary_in(&operator, &dir).await;
    let text = primary.http.post(&account.path(), replaced).await.expect(409).body;
    assert!(text.contains("before this server became the primary") && text.contains("re-sign"), "{text}");
    push(&primary, &account, &current).await;
    serves(&primary, &account, &current).await;
    // From now on it knows what it replaces.
    let [first, second] = [30, 40].map(|bulk| at(50, bulk));
    push(&primary, &account, &first).await;
    push(&primary, &account, &second).await;
    assert!(primary.http.post(&account.path(), first).await.expect(409).body.contains("was replaced by a later one"));
    serves(&primary, &account, &second).await;
}
