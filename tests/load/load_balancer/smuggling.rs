//! Requests whose length two programs could read in two ways, through the load balancer, at servers where a change needs a password.

use serde_json::json;

use crate::support::haproxy::HaProxy;
use crate::support::{Account, Launch, Operator};

const SECRET: &str = "hush-hush";

#[tokio::test]
async fn a_request_in_the_body_of_another_one_is_never_answered() {
    let Some(ports) = HaProxy::or_skip() else { return };
    let (operator, account) = (Operator::new(), Account::new());
    let hash = bcrypt::hash_with_salt(SECRET, 4, [7; 16]).unwrap().to_string();
    let users = json!([{ "name": "nsc", "password": hash, "scopes": ["read", "list", "push"] }]).to_string();
    let closed = |launch: Launch| launch.env("NAS_ACCESS__ANONYMOUS", "read").env("NAS_ACCESS__USERS", &users);
    let primary = closed(Launch::primary(&operator).at(&ports.primary)).start().await;
    let own = primary.url.replace("://", &format!("://nsc:{SECRET}@"));
    let replica = |at: &str| closed(Launch::replica(&operator, &own).at(at)).start();
    let _replicas = [replica(&ports.replicas[0]).await, replica(&ports.replicas[1]).await];
    let balancer = HaProxy::start(&ports).await;
    let (jwt, path) = (operator.account(&account, 10), account.path());
    let push = balancer.http.request("POST", &path).basic_auth("nsc", Some(SECRET));
    assert_eq!(push.body(jwt.clone()).send().await.unwrap().status(), 200);
    balancer.http.post(&path, jwt.clone()).await.expect(401);

    // The hidden request would get an answer of its own, or be put before the next client's.
    let hidden = "GET /jwt/v1/accounts/x HTTP/1.1\r\nhost: x\r\nx: ";
    let chunked = format!("0\r\n\r\n{hidden}");
    let of =
        |method: &str, lines: &str, body: &str| format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n{body}");
    for method in ["POST", "GET", "DELETE"] {
        for (lines, body) in [
            (format!("content-length: {}\r\ntransfer-encoding: chunked", chunked.len()), &*chunked),
            (format!("transfer-encoding: chunked\r\ncontent-length: {}", chunked.len()), &chunked),
            (format!("content-length: {}\r\ntransfer-encoding: xchunked", chunked.len()), &chunked),
            (format!("content-length: {}\r\ntransfer-encoding : chunked", chunked.len()), &chunked),
            (format!("content-length: {}\r\n transfer-encoding: chunked", chunked.len()), &chunked),
            (format!("content-length: {}\r\ntransfer-encoding: identity, chunked", chunked.len()), &chunked),
            (format!("content-length: {}\r\nTransfer-Encoding:\x0bchunked", chunked.len()), &chunked),
            (format!("content-length: 0\r\ncontent-length: {}", hidden.len()), hidden),
            (format!("content-length: {}\r\ncontent-length: 0", hidden.len()), hidden),
            (format!("content-length: +{}", hidden.len()), hidden),
            ("content-length: 0, 0".to_owned(), hidden),
            ("content-length: 0x0".to_owned(), hidden),
        ] {
            for server in [&balancer.http, &primary.http] {
                let answer = server.raw(of(method, &lines, body).as_bytes()).await;
                assert!(
                    !answer.contains("does not end") && !answer.contains("no matching account JWT"),
                    "{lines}: {answer}"
                );
            }
            // The next client gets its own answer.
            for _ in 0..3 {
                assert_eq!(balancer.http.get(&path).await.expect(200).body, jwt, "{method} {lines}");
            }
        }
    }
}
