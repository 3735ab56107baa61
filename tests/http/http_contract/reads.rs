//! `GET` and `HEAD` of an account's JWT.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};

use crate::support::{Account, Operator, Reply, Server, now, until};

/// A primary that holds one account, its JWT and its path.
async fn one_account() -> (Server, String, String) {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let (jwt, path) = (operator.account(&account, 100), account.path());
    server.http.post(&path, jwt.clone()).await.expect(200);
    (server, jwt, path)
}

#[tokio::test]
async fn a_pushed_jwt_is_served_byte_for_byte() {
    let (server, jwt, path) = one_account().await;
    let reply = server.http.get(&path).await.expect(200);
    assert_eq!(reply.body, jwt);
    assert_eq!(reply.header("content-type"), "application/jwt");
    assert_eq!(reply.header("content-length"), jwt.len().to_string());
}

#[tokio::test]
async fn head_answers_as_get_does_and_sends_no_body() {
    let (server, _, path) = one_account().await;
    let unknown = Account::new().path();
    for target in [&*path, &format!("{path}?text=true"), &unknown, "/jwt/v1/accounts/", "/jwt/v1/operator", "/readyz"] {
        let (get, head) = (server.http.get(target).await, server.http.send("HEAD", target, &[]).await);
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(lasting(&head), lasting(&get), "{target}");
        let raw =
            server.http.raw(format!("HEAD {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(raw.ends_with("\r\n\r\n"), "{target}: {raw}");
    }
}

/// The headers that each answer has in the same way.
fn lasting(reply: &Reply) -> Vec<(String, String)> {
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| *name != "date" && *name != "x-request-id")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    headers
}

#[tokio::test]
async fn the_entity_tag_is_made_from_the_bytes_and_strong() {
    let (server, jwt, path) = one_account().await;
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&jwt)[..16]);
    assert_eq!(server.http.get(&path).await.header("etag"), format!("\"{digest}\""));
}

#[tokio::test]
async fn a_client_that_has_the_jwt_is_not_sent_it_again() {
    let (server, _, path) = one_account().await;
    let full = server.http.get(&path).await;
    let tag = full.header("etag");
    for has in [tag, &format!("W/{tag}"), &format!("\"other\", {tag}"), &format!("\"a,b\",W/{tag}"), "*"] {
        for target in [&path, &format!("{path}?check=true")] {
            let reply = server.http.send("GET", target, &[("if-none-match", has)]).await.expect(304);
            assert_eq!(reply.body, "", "{has}");
            assert_eq!(reply.header("etag"), tag, "{has}");
            assert_eq!(reply.header("cache-control"), full.header("cache-control"), "{has}");
            assert_eq!(reply.header("content-type"), "", "{has}");
        }
    }
    for lacks in ["\"other\"", tag.trim_matches('"'), "\"*\"", "W/\"\"", &tag[..tag.len() - 2]] {
        server.http.send("GET", &path, &[("if-none-match", lacks)]).await.expect(200);
    }
}

#[tokio::test]
async fn caches_may_keep_a_jwt_for_seconds_and_never_beyond_its_expiry() {
    let operator = Operator::new();
    let dir = tempfile::tempdir().unwrap();
    let lifetimes = [None, Some(86_400), Some(1_000), Some(30), Some(4), Some(-1), Some(-86_400)];
    let accounts = lifetimes.map(|left| {
        let (account, exp) = (Account::new(), left.map(|left| now() + left));
        let mut claims = account.claims(now() - 100_000);
        if let Some(exp) = exp {
            claims["exp"] = exp.into();
        }
        std::fs::write(dir.path().join(format!("{}.jwt", account.key())), operator.sign(&claims)).unwrap();
        (account, exp)
    });
    let server = Server::primary_in(&operator, dir.path()).await;
    for (account, exp) in accounts {
        let asked = now();
        let reply = server.http.get(&account.path()).await.expect(200);
        let control = reply.header("cache-control");
        let Some(exp) = exp else {
            assert!((1..=60).contains(&seconds(control, "max-age").unwrap()), "{control}");
            continue;
        };
        if exp <= asked {
            assert_eq!(control, "no-cache");
            continue;
        }
        // It may have been made in the second after.
        let fresh = seconds(control, "max-age").unwrap_or(0);
        assert!(fresh >= 0 && fresh <= exp - asked, "{control} with {} seconds left", exp - asked);
        for stale in ["stale-while-revalidate", "stale-if-error"] {
            let stale = seconds(control, stale).unwrap_or(0);
            assert!(stale >= 0 && fresh + stale <= exp - asked, "{control} with {} seconds left", exp - asked);
        }
    }
}

fn seconds(control: &str, directive: &str) -> Option<i64> {
    control.split(", ").find_map(|part| part.strip_prefix(directive)?.strip_prefix('=')?.parse().ok())
}

#[tokio::test]
async fn check_tells_a_jwt_that_has_expired() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let mut claims = account.claims(now() - 10);
    claims["exp"] = (now() + 2).into();
    server.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    let check = format!("{}?check=true", account.path());
    server.http.get(&check).await.expect(200);
    until("the JWT has expired", || async { server.http.get(&check).await.status == 404 }).await;
    assert_eq!(server.http.get(&check).await.body, "");
    server.http.get(&account.path()).await.expect(200);
    server.http.get(&format!("{}?check=1", account.path())).await.expect(200);
}

#[tokio::test]
async fn text_and_decode_show_the_jwt_to_people() {
    let (server, jwt, path) = one_account().await;
    let text = server.http.get(&format!("{path}?text=TRUE")).await.expect(200);
    assert_eq!((text.header("content-type"), &text.body), ("text/plain", &jwt));
    let readable = server.http.get(&format!("{path}?decode=true")).await.expect(200);
    assert_eq!(readable.header("content-type"), "text/plain");
    assert!(readable.body.contains("\"type\": \"account\""), "{}", readable.body);
    assert_eq!(server.http.get(&format!("{path}?decode=1")).await.body, jwt);
    server.http.get(&format!("{path}?jti=x")).await.expect(501);
}

#[tokio::test]
async fn notify_without_nats_is_answered_and_says_so() {
    let (server, jwt, path) = one_account().await;
    for _ in 0..10 {
        let reply = server.http.get(&format!("{path}?notify=true")).await.expect(200);
        assert_eq!((&reply.body, reply.header("nas-announced")), (&jwt, "false"));
    }
    // What asks for no announcement is told of none.
    assert_eq!(server.http.get(&path).await.header("nas-announced"), "");
    let reply = server.http.send("HEAD", &format!("{path}?notify=true"), &[]).await.expect(200);
    assert_eq!(reply.header("nas-announced"), "");
}

#[tokio::test]
async fn what_is_no_account_key_is_unknown() {
    let (server, _, path) = one_account().await;
    let key = path.rsplit('/').next().unwrap();
    let operator = Operator::new().key();
    let user = Account::new().user().key();
    for bad in [
        "x",
        "operator",
        &key.to_lowercase(),
        &key[..55],
        &format!("{key}A"),
        &operator,
        &user,
        "%00",
        "..%2f",
        "%2e%2e%2fx",
        "%ff",
        "%0d%0ax:y",
    ] {
        let reply = server.http.get(&format!("/jwt/v1/accounts/{bad}")).await.expect(404);
        assert!(!reply.body.contains("eyJ"), "{bad}");
    }
    // The same key in another spelling of the URL is the same key.
    server.http.get(&format!("/jwt/v1/accounts/%{:X}{}", key.as_bytes()[0], &key[1..])).await.expect(200);
}

#[tokio::test]
async fn no_reader_sees_an_account_go_back_and_who_was_answered_reads_his_own_push() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let path = account.path();
    let versions: Vec<String> = (0..200).map(|n| operator.account(&account, 300 - n)).collect();
    server.http.post(&path, versions[0].clone()).await.expect(200);
    let acknowledged = AtomicUsize::new(0);
    let place = |body: &str| versions.iter().position(|version| version == body).unwrap();
    let writer = async {
        for (n, version) in versions.iter().enumerate().skip(1) {
            server.http.post(&path, version.clone()).await.expect(200);
            acknowledged.store(n, Ordering::SeqCst);
        }
    };
    // Enough connections to meet every worker, each reading as fast as it can.
    let readers = join_all((0..8).map(|_| async {
        let mut last = 0;
        while last + 1 < versions.len() {
            let before = acknowledged.load(Ordering::SeqCst);
            let now = place(&server.http.get(&path).await.expect(200).body);
            assert!(now >= last.max(before), "{now} after {last}, with {before} acknowledged");
            last = now;
        }
    }));
    tokio::join!(writer, readers);
}
