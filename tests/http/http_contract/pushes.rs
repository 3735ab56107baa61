//! `POST` of an account's JWT.

use serde_json::{Value, json};

use crate::support::{Account, Operator, Server, now};

/// The first line of the text about claims that are not valid, as the Go servers spell it.
const ISSUES: &str = "The server was unable to update your account JWT. One more more validation issues occurred.";

/// A body that is refused: what it is, its bytes, the status, a text, and the reason in the metrics.
type Bad = (&'static str, Vec<u8>, u16, &'static str, &'static str);

/// Bodies that are refused for an account which holds nothing yet.
fn bad_bodies(operator: &Operator, account: &Account) -> Vec<Bad> {
    let good = operator.account(account, 100);
    let claims = |change: fn(&mut Value)| {
        let mut claims = account.claims(now() - 100);
        change(&mut claims);
        operator.sign(&claims).into_bytes()
    };
    let mut forged = good.clone();
    forged.replace_range(
        good.len() - 20..good.len() - 19,
        if good.as_bytes()[good.len() - 20] == b'A' { "B" } else { "A" },
    );
    let decode = |what, body: Vec<u8>| (what, body, 400, "bad JWT in request\n", "undecodable");
    vec![
        decode("nothing", Vec::new()),
        decode("garbage", b"hello".to_vec()),
        decode("no text", vec![0xff; 64]),
        decode("three dots", b"eyJ.eyJ.eyJ".to_vec()),
        decode("a forged signature", forged.into_bytes()),
        decode("a torn token", good.as_bytes()[..good.len() - 9].to_vec()),
        decode("two tokens", format!("{good}\n{good}").into_bytes()),
        decode("a user JWT", account.user().jwt.into_bytes()),
        decode("an operator JWT", operator.jwt().into_bytes()),
        (
            "a foreign operator's",
            Operator::new().account(account, 100).into_bytes(),
            400,
            "untrusted issuer in request\n",
            "untrusted",
        ),
        (
            "self-signed",
            account.sign(&account.claims(now() - 100)).into_bytes(),
            400,
            "bad JWT Issuer in request\n",
            "issuer_kind",
        ),
        (
            "signed by another account",
            Account::new().sign(&account.claims(now() - 100)).into_bytes(),
            400,
            "Bad JWT Issuer in request\n",
            "issuer_kind",
        ),
        (
            "another account's",
            operator.account(&Account::new(), 100).into_bytes(),
            400,
            "pub keys don't match\n",
            "wrong_account",
        ),
        (
            "blocking claims",
            claims(|claims| claims["nats"]["exports"] = json!([{ "name": "x", "subject": "a b", "type": "stream" }])),
            400,
            ISSUES,
            "invalid",
        ),
        ("expired", claims(|claims| claims["exp"] = (now() - 10).into()), 400, "claim is expired", "time"),
        ("not valid yet", claims(|claims| claims["nbf"] = (now() + 600).into()), 400, "claim is not yet valid", "time"),
        ("from the future", claims(|claims| claims["iat"] = (now() + 7_200).into()), 400, "in the future", "future"),
    ]
}

#[tokio::test]
async fn what_is_not_genuine_ours_and_sound_is_refused_with_the_reason() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    for (what, body, status, text, reason) in bad_bodies(&operator, &account) {
        let label = format!("path=\"post\",reason=\"{reason}\"");
        let before = server.http.metric("refused_total", &label).await;
        let reply = server.http.post(&account.path(), body).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.body);
        assert!(reply.body.contains(text), "{what}: {}", reply.body);
        assert_eq!(reply.header("content-type"), "text/plain", "{what}");
        assert_eq!(server.http.metric("refused_total", &label).await, before + 1.0, "{what} is counted");
        server.http.get(&account.path()).await.expect(404);
    }
    assert_eq!(server.http.metric("serial", "").await, 1.0);
    assert_eq!(server.http.metric("accepted_total", "").await, 0.0);
}

#[tokio::test]
async fn what_is_refused_leaves_what_is_held() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let held = operator.account(&account, 200);
    server.http.post(&account.path(), held.clone()).await.expect(200);
    for (what, body, status, ..) in bad_bodies(&operator, &account) {
        assert_eq!(server.http.post(&account.path(), body).await.status, status, "{what}");
        assert_eq!(server.http.get(&account.path()).await.body, held, "{what}");
    }
    assert_eq!(server.http.metric("serial", "").await, 2.0);
}

#[tokio::test]
async fn an_older_jwt_does_not_replace_a_newer_one() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let newer = operator.account(&account, 100);
    server.http.post(&account.path(), newer.clone()).await.expect(200);
    let reply = server.http.post(&account.path(), operator.account(&account, 101)).await.expect(409);
    assert!(reply.body.contains("stale JWT"), "{}", reply.body);
    assert_eq!(server.http.get(&account.path()).await.body, newer);
    assert_eq!(server.http.metric("refused_total", "reason=\"older\"").await, 1.0);
}

#[tokio::test]
async fn of_two_jwts_of_one_second_the_later_push_stands_and_the_first_never_returns() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let iat = now() - 100;
    let first = operator.sign(&account.with_connections(iat, 1));
    let second = operator.sign(&account.with_connections(iat, 2));
    server.http.post(&account.path(), first.clone()).await.expect(200);
    server.http.post(&account.path(), second.clone()).await.expect(200);
    let reply = server.http.post(&account.path(), first).await.expect(409);
    assert!(reply.body.contains("was replaced by a later one"), "{}", reply.body);
    assert_eq!(server.http.get(&account.path()).await.body, second);
}

#[tokio::test]
async fn the_same_jwt_again_is_fine_and_no_change() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let jwt = operator.account(&account, 100);
    for _ in 0..3 {
        let reply = server.http.post(&account.path(), jwt.clone()).await.expect(200);
        assert_eq!((&*reply.body, reply.header("content-length")), ("", "0"));
    }
    assert_eq!(server.http.metric("serial", "").await, 2.0);
}

#[tokio::test]
async fn white_space_behind_a_jwt_is_no_part_of_it() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let jwt = operator.account(&account, 100);
    server.http.post(&account.path(), format!("{jwt}\r\n\n")).await.expect(200);
    assert_eq!(server.http.get(&account.path()).await.body, jwt);
    server.http.post(&account.path(), jwt).await.expect(200);
    assert_eq!(server.http.metric("serial", "").await, 2.0);
}

#[tokio::test]
async fn a_body_larger_than_any_jwt_is_refused_unread() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let large = operator.sign(&account.with_bulk(now() - 100, 700_000));
    server.http.post(&account.path(), large.clone()).await.expect(200);
    assert_eq!(server.http.get(&account.path()).await.body, large);
    // Said beforehand, and found out while reading.
    let announced = format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n", account.path());
    let answer = server.http.raw(announced.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let mut chunked =
        format!("POST {} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", account.path()).into_bytes();
    for _ in 0..24 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.resize(chunked.len() + 0x10000, b'x');
        chunked.extend_from_slice(b"\r\n");
    }
    let answer = server.http.raw(&chunked).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(server.http.get(&account.path()).await.body, large);
}

#[tokio::test]
async fn a_push_to_what_is_no_account_key_is_refused() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let reply = server.http.post("/jwt/v1/accounts/nonsense", operator.account(&account, 100)).await.expect(400);
    assert!(reply.body.starts_with("pub keys don't match\n"), "{}", reply.body);
}
