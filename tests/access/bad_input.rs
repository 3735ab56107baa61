//! Credentials that are none, and configurations that cannot be used.

use serde_json::json;

use super::world::{World, basic, send, token, user};
use crate::support::Account;

/// The answer to a GET with these lines in its head.
fn head(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n")
}

#[tokio::test]
async fn what_is_no_credential_is_a_401_even_where_anybody_may_read() {
    let account = Account::new();
    let world = World::new(&json!({
        "anonymous": ["read", "push"], "users": [user("nsc", &["read"])], "tokens": [token("ci", &["read"])],
    }));
    let server = world.start().await;
    send(&server.http, "POST", &account.path(), None, &world.operator.account(&account, 10)).await.expect(200);
    let good = basic("nsc", "hush-hush");
    // The hot path and the long way.
    for path in [account.path(), format!("{}?check=true", account.path())] {
        let ask = async |lines: &str| server.http.raw(head(&path, lines).as_bytes()).await;
        for lines in ["", &format!("authorization: {good}\r\n"), "Authorization:  bearer ci \r\n"] {
            let answer = ask(lines).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{lines:?}: {answer}");
        }
        let long = "x".repeat(5000);
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!",
            "Basic bnNj",
            "Basic bnNjOmh1c2gtaHVzaA",
            "Basic bnNjOmh1c2gtaHVzaA==bnNjOmh1c2gtaHVzaA==",
            "Basic OmZvbw==",
            "Bearer",
            "Bearer c i",
            "Bearer CI",
            "Digest username=nsc",
            "ci",
            &format!("Bearer {long}"),
            &format!("Basic {long}"),
            &format!("{good}, Bearer ci"),
            &basic("nsc", "Hush-hush"),
            &basic("NSC", "hush-hush"),
            &basic("nobody", "hush-hush"),
            &basic("nsc", ""),
            &basic("nsc\u{0}", "hush-hush"),
        ] {
            let answer = ask(&format!("authorization: {value}\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{value:.80}: {answer}");
        }
        for lines in [
            format!("authorization: {good}\r\nauthorization: {good}\r\n"),
            format!("authorization: {good}\r\nAuthorization: Bearer ci\r\n"),
            format!("authorization: Bearer x\r\nauthorization: {good}\r\n"),
        ] {
            let answer = ask(&lines).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{lines}: {answer}");
        }
        // A folded line is no HTTP any more, and what is no ASCII is no credential.
        let folded = ask("authorization: Basic\r\n bnNjOmh1c2gtaHVzaA==\r\n").await;
        assert!(!folded.starts_with("HTTP/1.1 200 "), "{folded}");
        let mut bytes = head(&path, "authorization: Bearer @\r\n").into_bytes();
        let place = bytes.iter().position(|byte| *byte == b'@').unwrap();
        bytes[place] = 0xff;
        assert!(server.http.raw(&bytes).await.starts_with("HTTP/1.1 401 "));
    }
    let shown = server.log() + &server.http.get("/healthz").await.body;
    assert!(!shown.contains("hush") && !shown.contains("bnNj"), "{shown}");
    assert!(server.log().contains("rejected GET from 127.0.0.1"), "{}", server.log());
}

#[tokio::test]
async fn access_that_cannot_be_used_ends_the_start_and_shows_no_secret() {
    let hash = "$2b$13$secretsecretsecretsecreuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (access, said) in [
        (json!({ "users": [{ "name": "nsc", "password": hash, "scopes": [] }] }), "bcrypt cost is 13, more than 12"),
        (
            json!({ "users": [{ "name": "nsc", "password": "secret", "scopes": [] }] }),
            "the hash of a password is expected",
        ),
        (json!({ "anonymus": [] }), "access.anonymus"),
        (json!({ "anonymous": ["root"] }), "a list of read, list, push and admin"),
    ] {
        let (code, log) = World::new(&access).launch().flag("-hp", "127.0.0.1:0").fail().await;
        assert_eq!(code, Some(1));
        assert!(log.contains(said) && !log.contains("secret"), "{log}");
    }
}
