//! What people push: JWTs as nsc and editors write them, and what is no JWT. `check` says of each what the server does.

use std::path::Path;

use nats_account_server::jwt::activation_hash_id;
use serde_json::Value;

use crate::support::command::run;
use crate::support::{Account, Launch, Operator, Server, now, until};

/// A JWT between the lines that nsc writes.
fn decorated(kind: &str, jwt: &str) -> String {
    format!("-----BEGIN NATS {kind} JWT-----\n{jwt}\n------END NATS {kind} JWT------\n\n")
}

/// The ways to write a JWT that are accepted.
fn spellings(kind: &str, jwt: &str) -> Vec<(&'static str, Vec<u8>)> {
    let block = decorated(kind, jwt);
    let utf16 = |text: &str| format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    vec![
        ("bare", jwt.into()),
        ("bare with line ends", format!("\r\n {jwt}\r\n\n").into()),
        ("bare with a byte order mark", format!("\u{feff}{jwt}\n").into()),
        ("in quotes", format!("\"{jwt}\"\n").into()),
        ("UTF-16", utf16(jwt)),
        ("decorated", block.clone().into()),
        ("decorated with CRLF", block.replace('\n', "\r\n").into()),
        ("decorated with a byte order mark", format!("\u{feff}{block}").into()),
        ("decorated with comments", format!("# of the team\n\n{block}# end\n").into()),
        ("decorated, UTF-16", utf16(&block)),
    ]
}

/// What `check --json` says of a body.
async fn checked(dir: &Path, operator: &str, body: &[u8]) -> Value {
    let file = dir.join("given");
    std::fs::write(&file, body).unwrap();
    let ran = run(["check", "-operator", operator, "--json", file.to_str().unwrap()]).await;
    let line: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.status == 0, line["accepted"] == true, "{line}");
    assert_eq!(line["accepted"] == true, line["reason"].is_null(), "{line}");
    line
}

#[tokio::test]
async fn what_nsc_and_editors_write_is_accepted_and_stored_bare() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (server, jwt) = (Server::primary(&operator).await, operator.jwt());
    let (exporter, importer) = (Account::new(), Account::new());
    server.http.post(&exporter.path(), operator.account(&exporter, 100)).await.expect(200);
    for at in 0..10 {
        let account = Account::new();
        let token = operator.account(&account, 100);
        let (what, body) = spellings("ACCOUNT", &token).swap_remove(at);
        assert_eq!(checked(dir.path(), &jwt, &body).await["accepted"], true, "{what}");
        let reply = server.http.post(&account.path(), body).await;
        assert_eq!((reply.status, &*reply.body), (200, ""), "{what}");
        assert_eq!(server.http.get(&account.path()).await.body, token, "{what}");
        let request = operator.delete_request_at(&[&account], now() - 50);
        let (_, body) = spellings("GENERIC", &request).swap_remove(at);
        assert_eq!(checked(dir.path(), &jwt, &body).await["accepted"], true, "{what}");
        server.http.delete(&account.path(), body).await.expect(200);

        let subject = format!("orders.{at}");
        let token = exporter.activation(&importer, &subject, 50);
        let (_, body) = spellings("ACTIVATION", &token).swap_remove(at);
        assert_eq!(checked(dir.path(), &jwt, &body).await["accepted"], true, "{what}");
        server.http.post("/jwt/v1/activations", body).await.expect(200);
        let hash = activation_hash_id(&exporter.key(), &importer.key(), &subject).unwrap();
        assert_eq!(server.http.get(&format!("/jwt/v1/activations/{hash}")).await.body, token, "{what}");

        let (_, body) = spellings("OPERATOR", &jwt).swap_remove(at);
        assert_eq!(checked(dir.path(), &jwt, &body).await["accepted"], true, "{what}");
        server.http.post("/jwt/v1/operator", body).await.expect(200);
        assert_eq!(server.http.get("/jwt/v1/operator").await.body, jwt, "{what}");
    }
}

#[tokio::test]
async fn what_is_no_jwt_is_named_and_rejected_everywhere() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (server, account) = (Server::primary(&operator).await, Account::new());
    let jwt = operator.account(&account, 100);
    let user = account.user();
    let table: Vec<(&str, String, &str)> = vec![
        ("empty", String::new(), "it is empty; a JWT is needed"),
        ("text", "hello".to_owned(), "it is plain text"),
        ("a public key", account.key(), "it is the public key of an account"),
        ("an operator's public key", operator.key(), "it is the public key of an operator"),
        ("two blocks", decorated("ACCOUNT", &jwt).repeat(2), "several JWTs"),
        ("two JWTs", format!("{jwt}\n{jwt}"), "several JWTs"),
        ("a pack", format!("{}|{jwt}\n", account.key()), "other text around its JWT"),
        ("half a block", format!("-----BEGIN NATS ACCOUNT JWT-----\n{jwt}\n"), "not complete"),
        ("cut off", jwt.rsplit_once('.').unwrap().0.to_owned(), "2 of the 3 parts"),
        ("JSON", "{}".to_owned(), "it is JSON"),
        ("HTML", "<html></html>".to_owned(), "a page of HTML"),
        ("a certificate", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----".to_owned(), "PEM file"),
        ("a user JWT", user.jwt.clone(), "this is a user JWT: it belongs in a creds file, and is not pushed"),
        ("creds", user.creds(), "it is a creds file"),
    ];
    for (what, body, said) in table {
        let line = checked(dir.path(), &operator.jwt(), body.as_bytes()).await;
        assert_eq!(line["accepted"], false, "{what}");
        assert!(line["reason"].as_str().unwrap().contains(said), "{what}: {line}");
        for (path, title) in [
            (&*account.path(), "bad JWT in request\n"),
            ("/jwt/v1/activations", "bad activation JWT in request\n"),
            ("/jwt/v1/operator", "bad JWT in request\n"),
        ] {
            let reply = server.http.post(path, body.clone()).await.expect(400);
            assert!(reply.body.starts_with(title) && reply.body.contains(said), "{what}, {path}: {}", reply.body);
        }
    }
    server.http.get(&account.path()).await.expect(404);
    // Of another route, the answer says which.
    for (path, body, said) in [
        (&*account.path(), operator.jwt(), "this is an operator JWT: name it in the setting operator, or push it to"),
        (&account.path(), account.activation(&account, "x", 1), "this is an activation JWT: push it to /jwt/v1/activ"),
        ("/jwt/v1/operator", jwt.clone(), "this is an account JWT: push it to /jwt/v1/accounts/"),
        ("/jwt/v1/activations", jwt, "this is an account JWT: push it to /jwt/v1/accounts/"),
    ] {
        let reply = server.http.post(path, body).await.expect(400);
        assert!(reply.body.contains(said), "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_private_key_is_neither_used_nor_repeated() {
    let operator = Operator::new();
    let loud = |launch: Launch| launch.env("NAS_LOG__LEVEL", "trace");
    let server = loud(Launch::primary(&operator)).start().await;
    let by = |writes| loud(Launch::replica(&operator, &server.url)).env("NAS_REPLICA__WRITES", writes).start();
    let (forwards, redirects, refuses) = (by("forward").await, by("redirect").await, by("refuse").await);
    let account = Account::new();
    let jwt = operator.account(&account, 100);
    let seed = operator.seed();
    let creds = account.user().creds();
    let escaped: String = seed.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let advice = "treat that key as disclosed";
    for to in [&server, &forwards] {
        for body in [
            seed.clone(),
            format!("{seed}\n"),
            seed.to_lowercase(),
            creds.clone(),
            decorated("ACCOUNT", &jwt) + &seed,
            format!("{jwt}\n{seed}"),
        ] {
            for path in [&*account.path(), "/jwt/v1/activations", "/jwt/v1/operator"] {
                let reply = to.http.post(path, body.clone()).await.expect(400);
                assert!(reply.body.contains(advice), "{path}: {}", reply.body);
            }
            let reply = to.http.delete(&account.path(), body).await.expect(400);
            assert!(reply.body.contains(advice), "{}", reply.body);
        }
    }
    for to in [&server, &forwards, &redirects, &refuses] {
        for key in [&seed, &escaped, &seed.to_lowercase(), &format!("{}/history", seed)] {
            for path in [format!("/jwt/v1/accounts/{key}"), format!("/jwt/v1/activations/{key}"), format!("/{key}")] {
                for (method, status) in [("GET", 404), ("POST", 400), ("DELETE", 400), ("PUT", 400)] {
                    let reply = to.http.send(method, &path, &[]).await.expect(status);
                    assert!(reply.body.contains(advice), "{method} {path}: {}", reply.body);
                    assert!(!reply.body.contains(&seed[..12]) && reply.header("location").is_empty(), "{}", reply.body);
                }
            }
        }
        to.http.get(&format!("{}?check={seed}", account.path())).await.expect(404);
        let refused = to.http.send("GET", "/jwt/v1/accounts/x", &[("accept", "application/json")]).await.expect(404);
        assert!(refused.body.contains("not a public nkey"), "{}", refused.body);
    }
    server.http.get(&account.path()).await.expect(404);
    assert_eq!(forwards.http.metric("replica_writes_total", "mode=\"forward\"").await, 0.0, "nothing goes further");
    until("it is logged", || async { server.log().contains("private_key") }).await;
    let inner = creds.lines().find(|line| line.starts_with("SU")).unwrap();
    for log in [server.log(), forwards.log(), redirects.log(), refuses.log()] {
        for hidden in [&seed[4..16], &inner[4..16]] {
            assert!(!log.to_uppercase().contains(hidden), "{log}");
        }
        assert!(!log.contains(&escaped[12..48]), "{log}");
    }
}
