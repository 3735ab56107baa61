//! Reading and pushing accounts.

use super::row::{On, Row};

const HELD: &str = "/jwt/v1/accounts/{held}";
const ABSENT: &str = "no matching account JWT\n";
const FOR_EVER: &str = "max-age=5, stale-while-revalidate=5, stale-if-error=3600";

/// Queries that ask for nothing: what they name is not `true`, or not a parameter.
const NOTHING: [&str; 12] = [
    "?",
    "?text",
    "?text=",
    "?text=1",
    "?text=yes",
    "?decode=1",
    "?TEXT=true",
    "?Check=true",
    "?check=false&check=true",
    "?=true&&&=",
    "?%ff=%fe&%",
    "?jti=",
];

pub(crate) fn reads() -> Vec<Row> {
    let mut rows = vec![
        Row::get("an account", HELD, 200)
            .is("{held jwt}")
            .tells("content-type", "application/jwt")
            .tells("cache-control", FOR_EVER),
        Row::get("an account at a replica", HELD, 200).on(On::Replica).is("{held jwt}"),
        Row::get("an account of a folder that is only read", HELD, 200).on(On::ReadOnly).is("{held jwt}"),
        Row::get("an account by its escaped key", "/jwt/v1/accounts/%41{held}", 404),
        Row::get("text", format!("{HELD}?text=true"), 200)
            .is("{held jwt}")
            .tells("content-type", "text/plain")
            .tells("etag", "")
            .tells("cache-control", ""),
        Row::get("text in capital letters", format!("{HELD}?text=TRUE"), 200).tells("content-type", "text/plain"),
        Row::get("for people", format!("{HELD}?decode=true"), 200)
            .is("{held readable}")
            .tells("content-type", "text/plain")
            .tells("etag", ""),
        Row::get("for people, at a replica", format!("{HELD}?decode=true"), 200).on(On::Replica).is("{held readable}"),
        Row::get("for people, with an expiry", "/jwt/v1/accounts/{lasting}?decode=true", 200).is("{lasting readable}"),
        Row::get("text comes before decode", format!("{HELD}?decode=true&text=true"), 200).is("{held jwt}"),
        Row::get("decode comes before check", "/jwt/v1/accounts/{expired}?check=true&decode=true", 200)
            .is("{expired readable}"),
        Row::get("text comes before a condition", format!("{HELD}?text=true"), 200).with("if-none-match", "*"),
        Row::get("a condition comes before notify", format!("{HELD}?notify=true"), 304).with("if-none-match", "*"),
        Row::get("the first of two values counts", format!("{HELD}?text=false&text=true"), 200)
            .tells("content-type", "application/jwt"),
        Row::get("the first of two values counts, the other way round", format!("{HELD}?text=true&text=false"), 200)
            .tells("content-type", "text/plain"),
        Row::get("an expired account", "/jwt/v1/accounts/{expired}", 200)
            .is("{expired jwt}")
            .tells("cache-control", "no-cache"),
        Row::get("an expired account, checked", "/jwt/v1/accounts/{expired}?check=true", 404)
            .empty()
            .tells("content-type", ""),
        Row::get("an expired account, checked, at a replica", "/jwt/v1/accounts/{expired}?check=tRuE", 404)
            .on(On::Replica)
            .empty(),
        Row::get("an account with an expiry, checked", "/jwt/v1/accounts/{lasting}?check=true", 200)
            .is("{lasting jwt}")
            .tells("cache-control", FOR_EVER),
        Row::get("a jti", format!("{HELD}?jti=x"), 501).is("lookup by jti is no longer supported\n"),
        Row::get("a jti of what is no key", "/jwt/v1/accounts/x?jti=x", 501),
        Row::get("notify without NATS", format!("{HELD}?notify=true"), 200)
            .is("{held jwt}")
            .tells("nas-announced", "false"),
        Row::get("notify at a replica without NATS", format!("{HELD}?notify=true"), 200)
            .on(On::Replica)
            .is("{held jwt}")
            .tells("nas-announced", "false"),
        Row::get("an unknown account", "/jwt/v1/accounts/{unknown}", 404)
            .is(ABSENT)
            .tells("content-type", "text/plain")
            .tells("cache-control", "no-store"),
        Row::get("an unknown account, checked", "/jwt/v1/accounts/{unknown}?check=true", 404).is(ABSENT),
        Row::get("an unknown account as text", "/jwt/v1/accounts/{unknown}?text=true", 404).is(ABSENT),
        Row::get("an unknown account for people", "/jwt/v1/accounts/{unknown}?decode=true", 404).is(ABSENT),
        Row::get("an unknown account at a replica", "/jwt/v1/accounts/{unknown}", 404).on(On::Replica).is(ABSENT),
        Row::get("what clients accept does not matter", HELD, 200)
            .with("accept", "text/html")
            .with("accept-encoding", "gzip, br")
            .is("{held jwt}")
            .tells("content-encoding", ""),
        Row::get("the configured system account, which the primary does not have", "/jwt/v1/accounts/{system}", 200)
            .on(On::Replica)
            .is("{system jwt}")
            .tells("content-type", "application/jwt"),
        Row::get("the system account where it is not configured", "/jwt/v1/accounts/{system}", 404).is(ABSENT),
        Row::get("a key in capital and small letters", "/jwt/v1/accounts/a{held}", 404).starts(ABSENT),
        Row::get("an operator's key", "/jwt/v1/accounts/{operator}", 404).starts(ABSENT),
        Row::get("a user's key", "/jwt/v1/accounts/{user}", 404).starts(ABSENT),
        Row::get("a hash in the place of a key", "/jwt/v1/accounts/{hash}", 404).starts(ABSENT),
        Row::get("a very long key", format!("/jwt/v1/accounts/{}", "A".repeat(50_000)), 404).starts(ABSENT),
        Row::get("a key with an escaped slash", "/jwt/v1/accounts/{held}%2fx", 404).is("404 page not found\n"),
        Row::get("a key with an escaped zero", "/jwt/v1/accounts/{held}%00", 404).starts(ABSENT),
        Row::get("a key that is no text", "/jwt/v1/accounts/%ff%fe", 404).starts(ABSENT),
        Row::get("a wildcard for a key", "/jwt/v1/accounts/*", 404).starts(ABSENT),
    ];
    for query in NOTHING {
        let name = format!("a query that asks for nothing: {query}");
        rows.push(
            Row::get(name, format!("{HELD}{query}"), 200).is("{held jwt}").tells("content-type", "application/jwt"),
        );
    }
    rows
}

pub(crate) fn pushes() -> Vec<Row> {
    let other = "/jwt/v1/accounts/{other}";
    let fresh = "/jwt/v1/accounts/{fresh}";
    let bad = "bad JWT in request\n";
    vec![
        Row::post("nothing is pushed", other, "", 400).starts(bad).tells("content-type", "text/plain"),
        Row::post("garbage is pushed", other, "garbage", 400).starts(bad),
        Row::post("a user's JWT is pushed", other, "{user jwt}", 400).starts(bad),
        Row::post("the operator's JWT is pushed", other, "{operator jwt}", 400).starts(bad),
        Row::post("another account's JWT is pushed", other, "{fresh jwt}", 400).starts("pub keys don't match\n"),
        Row::post("an account is pushed to what is no key", "/jwt/v1/accounts/x", "{other jwt}", 400)
            .starts("pub keys don't match\n"),
        Row::post("what the account signed is pushed", other, "{other signed by itself}", 400)
            .starts("Signing service not enabled\n"),
        Row::post("what another account signed is pushed", other, "{other signed by another account}", 400)
            .starts("Bad JWT Issuer in request\n"),
        Row::post("what another operator signed is pushed", other, "{other of a stranger}", 400)
            .starts("untrusted issuer in request\n"),
        Row::post("an expired JWT is pushed", other, "{other expired}", 400)
            .is("The server was unable to update your account JWT. One more more validation issues occurred.\n\
             \t - claim is expired\n\n"),
        Row::post("claims that break a rule are pushed", fresh, "{fresh blocking}", 400).starts(
            "The server was unable to update your account JWT. One more more validation issues occurred.\n\t - ",
        ),
        Row::get("nothing of that was taken in", other, 404).is(ABSENT),
        Row::post("an account is pushed with a line end behind it", other, "{other jwt}\r\n", 200)
            .with("content-type", "text/text")
            .empty()
            .tells("content-type", ""),
        Row::get("the account that was pushed", other, 200).is("{other jwt}"),
        Row::post("it is pushed again", other, "{other jwt}", 200).with("content-type", "application/text").empty(),
    ]
}
