//! `GET /jwt/v1/digests?leaves=true`: all leaves of a place, page by page.

use std::collections::BTreeSet;

use nats_account_server::feed::Subject;
use nats_account_server::feed::digest::ListedLeaf;
use nats_account_server::feed::wire::DigestPage;

use crate::support::{Account, Http, Operator, Server};

/// The most leaves of a page.
const PAGE: usize = 20_000;

async fn read(http: &Http, query: &str) -> DigestPage {
    let reply = http.get(&format!("/jwt/v1/digests?{query}")).await.expect(200);
    assert_eq!((reply.header("cache-control"), reply.header("content-type")), ("no-store", "application/json"));
    assert!(reply.body.len() < 2 << 20, "{} bytes", reply.body.len());
    serde_json::from_str(&reply.body).unwrap()
}

/// All leaves of a place, and how many there are in each page.
async fn list(http: &Http, place: &str) -> (Vec<ListedLeaf>, Vec<usize>) {
    let (mut all, mut sizes, mut after) = (Vec::new(), Vec::new(), String::new());
    let place_sum = read_place(http, place).await.sum;
    loop {
        let page = read(http, &format!("leaves=true{place}{after}")).await;
        assert_eq!((&page.sum, page.children.is_none()), (&place_sum, true));
        let items = page.items.unwrap();
        sizes.push(items.len());
        all.extend(items);
        match page.next {
            Some(next) => {
                assert_eq!(next, all.last().unwrap().key.text());
                after = format!("&after={next}");
            }
            None => return (all, sizes),
        }
    }
}

/// The place without its leaves.
async fn read_place(http: &Http, place: &str) -> DigestPage {
    read(http, place.trim_start_matches('&')).await
}

/// The leaves as buckets give them, one after another.
async fn of_buckets(http: &Http, nodes: impl IntoIterator<Item = String>) -> Vec<ListedLeaf> {
    let mut all = Vec::new();
    for node in nodes {
        for low in read(http, &format!("prefix={node}")).await.children.unwrap().into_keys() {
            all.extend(read(http, &format!("prefix={node}{low}")).await.items.unwrap());
        }
    }
    all.sort_by_key(|listed| listed.key);
    all
}

#[tokio::test]
async fn leaves_are_listed_by_kind_and_key() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let http = &server.http;
    let accounts: Vec<_> = (0..20).map(|_| Account::new()).collect();
    for account in &accounts {
        http.post(&account.path(), operator.account(account, 10)).await.expect(200);
    }
    http.delete(&accounts[0].path(), operator.delete_request(&[&accounts[0]], 5)).await.expect(200);
    http.post("/jwt/v1/activations", accounts[1].activation(&accounts[2], "subject", 5)).await.expect(200);

    let nodes = read(http, "").await.children.unwrap();
    let wanted = of_buckets(http, nodes.keys().cloned()).await;
    assert_eq!(wanted.len(), 22, "20 accounts, the operator, an activation");
    assert_eq!(list(http, "").await, (wanted.clone(), vec![22]));
    for (query, count) in [("leaves=TRUE&prefix=&after=", 22), ("leaves=true&leaves=no", 22)] {
        assert_eq!(read(http, query).await.items.unwrap().len(), count, "{query}");
    }
    for node in nodes.keys() {
        let under: Vec<_> = wanted.iter().filter(|listed| digits(&listed.key, 1) == *node).copied().collect();
        assert_eq!(list(http, &format!("&prefix={node}")).await.0, under);
        let bucket = digits(&under[0].key, 2);
        let inside = read(http, &format!("prefix={bucket}")).await;
        let listed = read(http, &format!("prefix={bucket}&leaves=true")).await;
        assert_eq!((listed.items, listed.sum, listed.serial), (inside.items, inside.sum, inside.serial));
    }
    // From any key on, whether or not it is there.
    for (n, listed) in wanted.iter().enumerate() {
        let page = read(http, &format!("leaves=true&after={}", listed.key.text())).await;
        assert_eq!((page.items.unwrap(), page.next), (wanted[n + 1..].to_vec(), None));
    }
    let stranger = Subject::parse(&Account::new().key()).unwrap();
    let page = read(http, &format!("leaves=true&after={}", stranger.text())).await;
    assert_eq!(page.items.unwrap(), wanted.iter().filter(|listed| listed.key > stranger).copied().collect::<Vec<_>>());
    // A place alone has no use for a key.
    assert_eq!(read(http, "after=x").await.children, Some(nodes));
    let head = http.send("HEAD", "/jwt/v1/digests?leaves=true", &[]).await.expect(200);
    assert_eq!(
        (head.header("content-type"), head.header("cache-control"), &*head.body),
        ("application/json", "no-store", "")
    );
}

fn digits(key: &Subject, bytes: usize) -> String {
    data_encoding::HEXLOWER.encode(&key.raw()[..bytes])
}

/// Many accounts in few requests: what is deleted has a leaf.
#[tokio::test]
async fn many_leaves_come_in_several_pages_also_through_a_cache() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let accounts: Vec<_> = (0..2 * PAGE + 100).map(|_| Account::new()).collect();
    for some in accounts.chunks(PAGE / 2) {
        let some: Vec<_> = some.iter().collect();
        server.http.delete(&some[0].path(), operator.delete_request(&some, 5)).await.expect(200);
    }
    let (all, sizes) = list(&server.http, "").await;
    assert_eq!(sizes, [PAGE, PAGE, 101], "the operator's JWT is the last one");
    assert!(all.is_sorted_by(|one, other| one.key < other.key));
    let keys: BTreeSet<_> = all.iter().map(|listed| listed.key.text()).collect();
    assert!(accounts.iter().all(|account| keys.contains(&account.key())) && keys.contains(&operator.key()));
    let node = digits(&all[0].key, 1);
    assert_eq!(list(&server.http, &format!("&prefix={node}")).await.0, of_buckets(&server.http, [node]).await);
    let replica = Server::replica(&operator, &server.url).await;
    assert_eq!(list(&replica.http, "").await, (all, sizes));
}
