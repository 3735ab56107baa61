//! Paging while accounts change, and the same list at a mirror.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::{get, keys, mirror};
use crate::support::{Account, Http, Operator, Server, until};

/// Accounts that are there all the time.
const ACCOUNTS: usize = 2500;

/// All accounts that a query lists, page by page.
async fn all(http: &Http, query: &str) -> Vec<Value> {
    let (mut found, mut next) = (Vec::new(), String::new());
    // A page may be short, and each gets on by one account at least.
    for _ in 0..2 * ACCOUNTS {
        let page = get(http, &format!("accounts?{query}{next}")).await;
        found.extend(page["accounts"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return found,
        }
    }
    panic!("there is no end of pages");
}

async fn push_all(server: &Server, operator: &Operator, accounts: &[Account]) {
    for piece in accounts.chunks(50) {
        let pushed = piece
            .iter()
            .map(|account| async { server.http.post(&account.path(), operator.account(account, 100)).await });
        for reply in futures_util::future::join_all(pushed).await {
            reply.expect(200);
        }
    }
}

#[tokio::test]
async fn each_account_is_listed_once_while_others_come_and_it_changes() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let accounts: Vec<Account> = (0..ACCOUNTS).map(|_| Account::new()).collect();
    push_all(&server, &operator, &accounts).await;
    let is_done = AtomicBool::new(false);
    let pushing = async {
        let mut round = 0;
        while !is_done.load(Ordering::Relaxed) {
            let new = Account::new();
            server.http.post(&new.path(), operator.account(&new, 10)).await.expect(200);
            let old = &accounts[round % ACCOUNTS];
            server.http.post(&old.path(), operator.account(old, 50)).await.expect(200);
            round += 7;
        }
        round
    };
    let listing = async {
        let mut lists = Vec::new();
        for query in ["limit=100", "limit=7&name=a", "limit=1000&changed_since=1h"] {
            lists.push((query, all(&server.http, query).await));
        }
        is_done.store(true, Ordering::Relaxed);
        lists
    };
    let (lists, rounds) = tokio::join!(listing, pushing);
    assert!(rounds > 7, "nothing was pushed during the lists");
    for (query, list) in lists {
        let mut times: HashMap<&str, usize> = HashMap::new();
        for account in &list {
            *times.entry(account["key"].as_str().unwrap()).or_default() += 1;
        }
        assert!(times.values().all(|times| *times == 1), "{query}: an account is listed twice");
        assert!(accounts.iter().all(|account| times.contains_key(&*account.key())), "{query}: an account is missing");
    }
}

#[tokio::test]
async fn a_mirror_gives_the_same_list_as_its_primary_and_a_cache_names_it() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let accounts: Vec<Account> = (0..120).map(|number| Account::named(&format!("app-{number}"))).collect();
    push_all(&primary, &operator, &accounts).await;
    let gone = &accounts[..3].iter().collect::<Vec<_>>();
    primary.http.delete(&gone[0].path(), operator.delete_request(gone, 1)).await.expect(200);
    let mirror = mirror(&operator, &primary).await;
    // What comes later, comes by the feed.
    primary.http.post(&accounts[9].path(), operator.account(&accounts[9], 1)).await.expect(200);
    let head = get(&primary.http, "status").await["position"].clone();
    until("the mirror is there", || async { get(&mirror.http, "status").await["position"] == head }).await;
    for query in
        ["limit=50&state=live,expired,withheld,deleted,removed", "limit=50", "name=app-1*&limit=7", "state=deleted"]
    {
        let lists = [all(&primary.http, query).await, all(&mirror.http, query).await];
        // When and how a change came to a server is its own. Of what was deleted before it began, a mirror has the request.
        let shared = lists.map(|list| {
            let strip = |mut account: Value| {
                let is_deleted = account["state"] == "deleted";
                let is_shared = |fact: &str| match fact {
                    "changed_at" | "via" => false,
                    "name" | "issuer" | "iat" | "serial" => !is_deleted,
                    _ => true,
                };
                account.as_object_mut().unwrap().retain(|fact, _| is_shared(fact));
                account
            };
            list.into_iter().map(strip).collect::<Vec<_>>()
        });
        assert!(!shared[0].is_empty(), "{query}");
        assert_eq!(shared[0], shared[1], "{query}");
    }
    let lists = [get(&primary.http, "accounts").await, get(&mirror.http, "accounts").await];
    assert_eq!(lists[0]["position"], lists[1]["position"]);
    assert_eq!(keys(&lists[0]), keys(&lists[1]));
    let mine = format!("accounts/{}", accounts[9].key());
    for path in [mine.clone(), format!("{mine}/diff"), "operator".to_owned()] {
        let pages = [get(&primary.http, &path).await, get(&mirror.http, &path).await];
        for fact in ["claims", "identity", "digest", "etag", "state", "text", "changes", "key", "chain", "in_force"] {
            assert_eq!(pages[0].get(fact), pages[1].get(fact), "{path} {fact}");
        }
    }
    assert!(mirror.http.get("/api/v1/accounts").await.headers.contains_key("nas-primary-age"));
    let cache = Server::replica(&operator, &primary.url).await;
    for path in [
        "accounts",
        &mine,
        &format!("{mine}/versions"),
        &format!("{mine}/diff"),
        &format!("activations?account={}", accounts[0].key()),
    ] {
        let problem = cache.http.get(&format!("/api/v1/{path}")).await.expect(404).json();
        assert_eq!(problem["code"], "cache", "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(&primary.url), "{problem}");
    }
    let problem = cache.http.get("/api/v1/servers").await.expect(404).json();
    assert_eq!(problem["code"], "not_the_primary");
}
