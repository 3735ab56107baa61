//! Behind a primary of the old kind, without a change feed, entries are checked again after a time-to-live.

use crate::fetches;
use crate::restarts::ends;
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, until};

#[tokio::test]
async fn a_change_is_seen_after_the_time_to_live() {
    let operator = Operator::new();
    let account = Account::new();
    let mut current = operator.account(&account, 100);
    let answer = current.clone();
    let primary = FakePrimary::without_feed(move |_| Answer::new(200, answer.clone())).await;
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__TTL", "500ms").start_unready().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, current);
    replica.logs("has no change feed").await;
    replica.http.get("/readyz").await.expect(200);
    for _ in 0..20 {
        replica.http.get(&account.path()).await.expect(200);
    }
    assert!(fetches(&replica).await <= 2.0, "what is fresh is not asked about");
    for age in [50, 20] {
        current = operator.account(&account, age);
        let answer = current.clone();
        primary.now_answers(move |_| Answer::new(200, answer.clone()));
        until("the change is seen", || async { replica.http.get(&account.path()).await.body == current }).await;
    }
}

#[tokio::test]
async fn an_account_that_vanishes_there_stays_here() {
    let operator = Operator::new();
    let account = Account::new();
    let jwt = operator.account(&account, 100);
    let answer = jwt.clone();
    let primary = FakePrimary::without_feed(move |_| Answer::new(200, answer.clone())).await;
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__TTL", "200ms").start_unready().await;
    replica.http.get(&account.path()).await.expect(200);
    primary.now_answers(|_| Answer::new(404, "no\n"));
    until("its absence is seen", || async {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
        replica.http.metric("replica_fetches_total", "result=\"absent\"").await > 0.0
    })
    .await;
}

#[tokio::test]
async fn a_mirror_begins_with_the_pack_of_such_a_primary_and_serves_it_alone() {
    let operator = Operator::new();
    let [held, pulled, refused, bare] = [(); 4].map(|()| Account::new());
    let importer = Account::new();
    let [packed, newest] = [900, 100].map(|age| operator.account(&held, age));
    let hash = nats_account_server::jwt::activation_hash_id(&held.key(), &importer.key(), "orders").unwrap();
    let pack = [
        format!("{hash}|{}", held.activation(&importer, "orders", 10)),
        format!("{}|{packed}", held.key()),
        format!("{}|{}", refused.key(), Operator::new().account(&refused, 10)),
        format!("{}|{packed}", bare.key()),
        format!("{}|{}", pulled.key(), operator.account(&pulled, 10)),
    ];
    let pack = pack.join("\n");
    let primary = FakePrimary::new(move |path| match path {
        "/jwt/v1/pack?max=-1" => Answer::new(200, pack.clone()),
        _ => Answer::new(404, "404 page not found\n"),
    })
    .await;
    let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", "mirror");
    let replica = launch.env("NAS_REPLICA__TTL", "200ms").start_unready().await;
    replica.logs(&format!("2 JWTs of the pack of {} are at hand, 2 are refused", primary.url)).await;
    assert_eq!(primary.requests(), 0, "nothing was asked for");
    let answer = newest.clone();
    primary.now_answers(move |_| Answer::new(200, answer.clone()));
    // It is asked about as any other entry is.
    until("the newest is there", || async { replica.http.get(&held.path()).await.expect(200).body == newest }).await;
    drop(primary);
    replica.http.get(&pulled.path()).await.expect(200);
    assert_ne!(replica.http.get(&refused.path()).await.status, 200);
    assert_ne!(replica.http.get(&bare.path()).await.status, 200);
}

#[tokio::test]
async fn a_pack_that_is_missing_or_breaks_off_holds_nothing_up() {
    let operator = Operator::new();
    let account = Account::new();
    let first = operator.account(&account, 100);
    let others = (0..100).map(|_| Account::new()).map(|other| (other.key(), operator.account(&other, 100)));
    let pack = pack_of(std::iter::once((account.key(), first.clone())).chain(others));
    let cases = [
        (Answer::new(404, "404 page not found\n"), "it answered with status 404 Not Found"),
        (Answer::new(200, pack).cut_off(), "its pack broke off"),
        (Answer::new(200, "x".repeat(2 << 20)), "its pack cannot be read: line 1 is longer than any line of a pack"),
    ];
    for (answer, why) in cases {
        let pulled = first.clone();
        let primary = FakePrimary::new(move |path| match path {
            "/jwt/v1/pack?max=-1" => answer.clone(),
            path if path.starts_with("/jwt/v1/accounts/") => Answer::new(200, pulled.clone()),
            _ => Answer::new(404, "404 page not found\n"),
        })
        .await;
        let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", "mirror");
        let replica = launch.start_unready().await;
        replica.logs(&format!("unable to initialize from primary, {}: {why}", primary.url)).await;
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, first, "{why}");
    }
}

fn pack_of(lines: impl IntoIterator<Item = (String, String)>) -> String {
    lines.into_iter().map(|(key, jwt)| format!("{key}|{jwt}")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_pack_that_the_memory_has_no_room_for_is_taken_whole_and_served_alone() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let accounts: Vec<_> = (0..100).map(|_| Account::new()).collect();
    let jwts: Vec<_> = accounts.iter().map(|account| operator.account(account, 100)).collect();
    let pack = pack_of(accounts.iter().map(Account::key).zip(jwts.iter().cloned()));
    let primary = FakePrimary::new(move |path| match path {
        "/jwt/v1/pack?max=-1" => Answer::new(200, pack.clone()),
        _ => Answer::new(404, "404 page not found\n"),
    })
    .await;
    let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", "mirror").dir(folder.path());
    let launch = launch.env("NAS_REPLICA__CACHE_BYTES", "64KiB");
    let replica = launch.clone().start_unready().await;
    replica.logs(&format!("100 JWTs of the pack of {} are at hand, 0 are refused", primary.url)).await;
    assert_eq!(primary.requests(), 0, "nothing was asked for one by one");
    drop(primary);
    ends(replica).await;
    let replica = launch.start_unready().await;
    for (account, jwt) in accounts.iter().zip(&jwts) {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
}

#[tokio::test]
async fn a_cache_that_is_not_to_fill_itself_does_not_ask_for_the_pack() {
    let operator = Operator::new();
    let primary = FakePrimary::without_feed(|_| Answer::new(404, "no\n")).await;
    let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__WARM", "false");
    let replica = launch.start_unready().await;
    replica.logs("has no change feed").await;
    replica.http.get("/readyz").await.expect(200);
    assert!(primary.heads("/jwt/v1/pack").is_empty());
}

#[tokio::test]
async fn what_was_pulled_while_the_pack_came_stays_at_the_same_iat() {
    let operator = Operator::new();
    let account = Account::new();
    let mut claims = account.claims(crate::support::now() - 100);
    let packed = operator.sign(&claims);
    claims["name"] = "corrected in the same second".into();
    let current = operator.sign(&claims);
    let (pack, answer) = (format!("{}|{packed}", account.key()), current.clone());
    let primary = FakePrimary::new(move |path| match path {
        "/jwt/v1/pack?max=-1" => Answer::new(200, pack.clone()).after(std::time::Duration::from_secs(1)),
        path if path.starts_with("/jwt/v1/accounts/") => Answer::new(200, answer.clone()),
        _ => Answer::new(404, "404 page not found\n"),
    })
    .await;
    let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__MODE", "mirror");
    let replica = launch.start_unready().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, current);
    replica.logs(&format!("0 JWTs of the pack of {} are at hand, 0 are refused", primary.url)).await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, current);
}
