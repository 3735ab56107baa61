//! Weaknesses of the Go servers that show over HTTP, by their numbers in `docs/compatibility.md`. Those that are not here
//! are tested where their part of this program is: replicas, folders, NATS, settings, signals.

use super::row::{On, Row};
use crate::support::{Account, Operator, Server};

pub(crate) fn rows() -> Vec<Row> {
    let held = "/jwt/v1/accounts/{held}";
    let absent = "no matching account JWT\n";
    vec![
        Row::get("S1: a key with line ends in it, at a primary", "/jwt/v1/accounts/{held}%0d%0aPUB%20x%200%0d%0a", 404)
            .starts(absent),
        Row::get("S1: a key with line ends in it, at a replica", "/jwt/v1/accounts/a%20b%0d%0aPING", 404)
            .on(On::Replica)
            .starts(absent),
        Row::post("S3: a JWT that is older than the one held", held, "{held older}", 409),
        Row::get("S3: the newer one is served", held, 200).is("{held jwt}"),
        Row::get("S4: a pack of more than there is memory", "/jwt/v1/pack?max=50000000000", 200)
            .has("{held}|{held jwt}"),
        Row::get("S4: a pack of as many as a number can say", "/jwt/v1/pack?max=9223372036854775807", 200),
        Row::get("S6: a query in a key, at a replica", "/jwt/v1/accounts/{held}%3Fdecode=true", 404)
            .on(On::Replica)
            .starts(absent),
        Row::post(
            "S7: an activation that no account vouches for",
            "/jwt/v1/activations",
            "{activation of nobody}",
            400,
        )
        .starts("bad activation JWT Issuer in request\n"),
        Row::get("S9: a key that leads to the folder above", "/jwt/v1/accounts/xx..?text=true", 404).starts(absent),
        Row::get("S9: a file of the folder that is no account's", "/jwt/v1/accounts/operator?text=true", 404)
            .starts(absent),
        Row::get("S9: a key with a backslash", "/jwt/v1/accounts/..%5c..%5cx?text=true", 404).starts(absent),
        Row::get("S10: a page of any origin reads", held, 200)
            .with("origin", "https://evil.example.com")
            .tells("access-control-allow-origin", ""),
        Row::get("S13: a pack with a negative number", "/jwt/v1/pack?max=-9223372036854775808", 200)
            .has("{held}|{held jwt}"),
        // That nothing is fetched is looked at in the end.
        Row::post("S14: a claim that names a URL", "/jwt/v1/accounts/{fresh}", "{fresh fetching}", 400)
            .has("contains an invalid activation token"),
        Row::post("S15: an activation that the operator signed", held, "{activation of the operator}", 400)
            .starts("bad JWT in request\n"),
        Row::get("S15: an account by the route of activations", "/jwt/v1/activations/{held}", 404),
        Row::get("S15: an activation by the route of accounts", "/jwt/v1/accounts/{hash}", 404),
        Row::get("S20: a key that would be a line of the log", "/jwt/v1/accounts/x%0a2026%20forged", 404),
        Row::get("B7: a pack beside a file whose name only ends in jwt", "/jwt/v1/pack", 200).has("{held}|{held jwt}"),
        Row::get("B7: what is asked for after it", held, 200).is("{held jwt}"),
        Row::get("B9: an account that is not there is no failure", "/jwt/v1/accounts/{unknown}", 404).is(absent),
        Row::get("B10: an account that never expires", held, 200)
            .tells("cache-control", "max-age=5, stale-while-revalidate=5, stale-if-error=3600"),
        Row::get("B11: any version is at hand", held, 304).with("if-none-match", "*"),
        Row::get("B11: another version's tag contains the tag", held, 200).with("if-none-match", "\"x\"\"y\""),
        Row::post("B15: a JWT with a line end inside", "/jwt/v1/accounts/{other}", "{other with a line end}", 400)
            .starts("bad JWT in request\n"),
        Row::get("B27: the type of a refusal", "/jwt/v1/accounts/{unknown}?notify=true", 404)
            .tells("content-type", "text/plain"),
    ]
}

/// S8, and S4 as far as memory goes.
#[tokio::test]
async fn no_body_and_no_number_takes_memory() {
    let operator = Operator::new();
    let (server, account) = (Server::primary(&operator).await, Account::new());
    server.http.post(&account.path(), operator.account(&account, 100)).await.expect(200);
    let before = server.peak_memory();
    for path in [&*account.path(), "/jwt/v1/activations"] {
        // Announced, and not sent: it is answered at once.
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 104857600\r\n\r\n");
        let answer = server.http.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        // Sent without a word about its length.
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n6400000\r\n");
        let answer = server.http.raw(&[head.as_bytes(), &vec![b'x'; 100 << 20], b"\r\n0\r\n\r\n"].concat()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    server.http.get("/jwt/v1/pack?max=50000000000").await.expect(200);
    let after = server.peak_memory();
    assert!(after < before + (24 << 20), "{before} bytes before, {after} after");
    server.http.get(&account.path()).await.expect(200);
}
