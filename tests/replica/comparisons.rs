//! What a comparison costs.

use std::fs;
use std::path::Path;

use crate::fetches;
use crate::support::{Account, Http, Launch, Operator, Proxy, Server, until};

const ACCOUNTS: usize = 3_000;
/// The most that a lost session with one change may move, in bytes.
const MOST: u64 = 16 << 10;

/// A primary whose folder has these JWTs.
async fn primary_of(operator: &Operator, dir: &Path, jwts: &[(Account, String)]) -> Server {
    fs::create_dir(dir).unwrap();
    for (account, jwt) in jwts {
        fs::write(dir.join(format!("{}.jwt", account.key())), jwt).unwrap();
    }
    let primary = Server::primary_in(operator, dir).await;
    until("all is read", || async {
        // The first change is the operator's JWT.
        primary.http.get("/jwt/v1/changes").await.json()["head"].as_u64() == Some(jwts.len() as u64 + 1)
    })
    .await;
    primary
}

/// The bytes that a request moves, with its answer.
async fn cost(way: &Proxy, path: &str) -> u64 {
    let (http, before) = (Http::new(&way.url()), way.moved());
    http.get(path).await.expect(200);
    way.moved() - before
}

#[tokio::test]
async fn a_cache_that_lost_its_session_moves_a_few_kilobytes_for_one_change() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut held: Vec<_> = (0..ACCOUNTS)
        .map(|_| Account::new())
        .map(|account| {
            let jwt = operator.account(&account, 1_000);
            (account, jwt)
        })
        .collect();
    let first = primary_of(&operator, &dir.path().join("first"), &held).await;
    held[0].1 = operator.account(&held[0].0, 500);
    let second = primary_of(&operator, &dir.path().join("second"), &held).await;
    let way = Proxy::to(first.host()).await;
    let launch = Launch::replica(&operator, &way.url()).dir(&dir.path().join("replica"));
    // A cache that fills itself moves more, at moments of its own.
    let replica = launch.env("NAS_REPLICA__WARM", "false").start().await;
    replica.logs("in sync with").await;
    replica.follows().await;
    for (account, _) in &held[..20] {
        replica.http.get(&account.path()).await.expect(200);
    }
    let asked = fetches(&replica).await;
    assert_eq!(asked, 20.0);

    let before = way.moved();
    way.lead_to(second.host());
    replica.logs_times("in sync with", 2).await;
    replica.follows().await;
    let moved = way.moved() - before;
    for (account, jwt) in &held[..20] {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    assert_eq!(fetches(&replica).await, asked, "what is the same, and what was compared, is not asked for");
    // What it does not hold, it knows of.
    replica.http.get(&held[20].0.path()).await.expect(200);
    replica.http.get(&Account::new().path()).await.expect(404);
    let prefix = data_encoding::HEXLOWER.encode(&raw(&held[0].0)[..2]);
    let measured = Proxy::to(second.host()).await;
    let [root, node, bucket] = [
        cost(&measured, "/jwt/v1/digests").await,
        cost(&measured, &format!("/jwt/v1/digests?prefix={}", &prefix[..2])).await,
        cost(&measured, &format!("/jwt/v1/digests?prefix={prefix}")).await,
    ];
    let parts = format!("{moved} bytes were moved; the root costs {root}, its node {node}, its bucket {bucket}");
    assert!(moved <= MOST, "{parts}");
    assert!(root + node + bucket < moved, "{parts}");
}

fn raw(account: &Account) -> [u8; 32] {
    *nats_account_server::key::AccountKey::parse(&account.key()).unwrap().raw()
}

#[tokio::test]
async fn a_cache_that_restarts_where_it_was_compares_nothing() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let account = Account::new();
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let replica = Launch::replica(&operator, &primary.url).dir(dir.path()).start().await;
    let is_warm = || async { replica.http.metric("accepted_total", "path=\"upstream\"").await == 1.0 };
    until("it has fetched the JWT", is_warm).await;
    let before = primary.http.metric("http_requests_total", "route=\"digests\"").await;
    assert!(before > 0.0);
    let replica = replica.stop_and_start().await;
    replica.follows().await;
    replica.http.get(&account.path()).await.expect(200);
    assert_eq!(primary.http.metric("http_requests_total", "route=\"digests\"").await, before);
}
