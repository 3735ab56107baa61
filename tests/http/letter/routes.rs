//! Routes, methods, redirects.

use super::row::{On, Row};

const READS: &str = "GET, HEAD, OPTIONS";
const NOT_FOUND: &str = "404 page not found\n";
const NOT_ALLOWED: &str = "Method Not Allowed\n";
/// How the second line of the answer to a push that misses its route begins.
const PUSHED_TO: &str = "account servers are pushed to at /jwt/v1: the URL for nsc ends in /jwt/v1";

/// Each route with what it allows on the primary, and on a replica.
const ROUTES: [(&str, &str, &str); 16] = [
    ("/jwt/v1/accounts", READS, READS),
    ("/jwt/v1/accounts/", READS, READS),
    ("/jwt/v1/accounts/{held}", "GET, HEAD, POST, DELETE, OPTIONS", READS),
    ("/jwt/v1/accounts/{held}/history", READS, READS),
    ("/jwt/v1/accounts/{held}/propagation", READS, READS),
    ("/jwt/v1/activations", "POST, OPTIONS", "OPTIONS"),
    ("/jwt/v1/activations/{hash}", READS, READS),
    ("/jwt/v1/operator", "GET, HEAD, POST, OPTIONS", READS),
    ("/jwt/v1/help", READS, READS),
    ("/jwt/v1/pack", READS, READS),
    ("/jwt/v1/changes", READS, READS),
    ("/jwt/v1/digests", "GET, HEAD, POST, OPTIONS", "GET, HEAD, POST, OPTIONS"),
    ("/jwt/v1/keys", READS, READS),
    ("/healthz", READS, READS),
    ("/readyz", READS, READS),
    ("/metrics", READS, READS),
];

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = methods();
    rows.extend(redirects());
    rows.extend([
        Row::get("no route", "/jwt/v2/accounts", 404).is(NOT_FOUND).tells("content-type", "text/plain"),
        Row::get("the second version of the operator's route, which nsc tries", "/jwt/v2/operator", 404).is(NOT_FOUND),
        Row::get("the root", "/", 404).is(NOT_FOUND),
        Row::get("the probe", "/jwt/v1/accounts/", 200)
            .empty()
            .tells("cache-control", "no-cache, no-store, must-revalidate")
            .tells("pragma", "no-cache")
            .tells("expires", "0"),
        Row::get("the probe without its slash, and with a query", "/jwt/v1/accounts?text=true", 200).empty(),
        Row::get("health", "/healthz", 200).empty().tells("content-type", ""),
        Row::get("the operator", "/jwt/v1/operator", 200)
            .is("{operator jwt}")
            .tells("content-type", "application/jwt")
            .tells("etag", ""),
        Row::get("the operator as text", "/jwt/v1/operator?text=true&decode=true", 200)
            .is("{operator jwt}")
            .tells("content-type", "text/plain"),
        Row::get("the operator for people", "/jwt/v1/operator?decode=True", 200)
            .is("{operator readable}")
            .tells("content-type", "text/plain"),
        Row::get("the operator at a replica", "/jwt/v1/operator", 200).on(On::Replica).is("{operator jwt}"),
        Row::get("help", "/jwt/v1/help", 200)
            .starts("\n# NATS Account Server JWT API HELP\n")
            .tells("content-type", "text/plain"),
    ]);
    rows
}

fn methods() -> Vec<Row> {
    let mut rows = Vec::new();
    for (path, at_primary, at_replica) in ROUTES {
        for (on, allow) in [(On::Primary, at_primary), (On::Replica, at_replica)] {
            rows.push(
                Row::new(format!("OPTIONS {path} at {on:?}"), "OPTIONS", path, 200).empty().tells("allow", allow),
            );
            let last = rows.len() - 1;
            rows[last].on = on;
        }
        rows.push(Row::new(format!("BREW {path}"), "BREW", path, 405).is(NOT_ALLOWED).tells("allow", at_primary));
        rows.push(
            Row::new(format!("PUT {path}"), "PUT", path, 405)
                .starts(format!("{NOT_ALLOWED}{PUSHED_TO}"))
                .tells("allow", at_primary),
        );
    }
    rows.extend([
        Row::new("OPTIONS *", "OPTIONS", "*", 200).empty(),
        Row::new("OPTIONS of no route", "OPTIONS", "/nothing", 404),
        Row::post("POST to all accounts", "/jwt/v1/accounts", "{held jwt}", 405)
            .tells("allow", READS)
            .starts(format!("{NOT_ALLOWED}{PUSHED_TO}")),
        Row::post("POST to no account", "/jwt/v1/accounts/", "{held jwt}", 405)
            .tells("allow", READS)
            .has("POST to /jwt/v1/accounts/ACCOUNT_KEY"),
        Row::post("nsc with a URL that ends too early", "/accounts/{held}", "{held jwt}", 404)
            .tells("content-type", "text/plain")
            .is(format!("{NOT_FOUND}{PUSHED_TO}, and a JWT is sent with POST to /jwt/v1/accounts/{{held}}\n")),
        Row::post("nsc with a URL that ends too late", "/jwt/v1/accounts/accounts/{held}", "{held jwt}", 404)
            .has("POST to /jwt/v1/accounts/{held}"),
        Row::post("nsc with a URL of no version", "/jwt/activations", "{activation}", 404)
            .has("POST to /jwt/v1/activations"),
        Row::new("DELETE of no route", "DELETE", "/nothing", 404).is(NOT_FOUND),
        Row::get("GET of all activations", "/jwt/v1/activations", 405).tells("allow", "POST, OPTIONS").is(NOT_ALLOWED),
        Row::get("GET of no activation", "/jwt/v1/activations/", 404).starts("No Matching JWT\n"),
        Row::post("POST to one activation", "/jwt/v1/activations/{hash}", "{activation}", 405).tells("allow", READS),
        Row::post("POST to a replica", "/jwt/v1/accounts/{held}", "{held jwt}", 405)
            .on(On::Replica)
            .tells("allow", READS)
            .has("{primary}"),
        Row::post("POST of an activation to a replica", "/jwt/v1/activations", "{activation}", 405)
            .on(On::Replica)
            .tells("allow", "OPTIONS"),
        Row::post("POST to a folder that is only read", "/jwt/v1/accounts/{held}", "{held jwt}", 405)
            .on(On::ReadOnly)
            .tells("allow", READS),
        Row::new("HEAD of an account", "HEAD", "/jwt/v1/accounts/{held}", 200)
            .empty()
            .tells("content-type", "application/jwt"),
        Row::new("HEAD of no account", "HEAD", "/jwt/v1/accounts/{unknown}", 404).empty(),
        Row::new("HEAD of a pack", "HEAD", "/jwt/v1/pack", 200).empty().tells("content-type", "text/plain"),
    ]);
    rows
}

fn redirects() -> Vec<Row> {
    let html = "text/html; charset=utf-8";
    let link = |to: &str| format!("<a href=\"{to}\">Moved Permanently</a>.\n\n");
    let account = "/jwt/v1/accounts/{held}";
    vec![
        Row::get("a slash too many", "/healthz/", 301)
            .tells("location", "/healthz")
            .tells("content-type", html)
            .is(link("/healthz")),
        Row::get("a slash too many behind an account, with a query", format!("{account}/?check=true"), 301)
            .tells("location", format!("{account}?check=true")),
        Row::new("HEAD with a slash too many", "HEAD", "/jwt/v1/help/", 301).tells("location", "/jwt/v1/help").empty(),
        Row::post("POST with a slash too many", "/jwt/v1/accounts/{held}/", "{held jwt}", 307)
            .tells("location", account)
            .empty(),
        Row::post("POST of an activation with a slash too many", "/jwt/v1/activations/", "{activation}", 307)
            .tells("location", "/jwt/v1/activations")
            .empty(),
        Row::get("capital letters", "/JWT/V1/HELP", 301).tells("location", "/jwt/v1/help").is(link("/jwt/v1/help")),
        Row::get("capital letters before an account, whose own stay", "/JWT/v1/Accounts/aBcD?text=true", 301)
            .tells("location", "/jwt/v1/accounts/aBcD?text=true"),
        Row::post("POST with capital letters", "/JWT/v1/accounts/{held}", "{held jwt}", 307).tells("location", account),
        Row::get("slashes too many", "/jwt//v1///operator", 301).tells("location", "/jwt/v1/operator"),
        Row::get("slashes at the end", "/healthz//", 301).tells("location", "/healthz"),
        Row::get("dots", "/jwt/./v1/x/../pack", 301).tells("location", "/jwt/v1/pack"),
        Row::get("dots that lead above the root", "/../../etc/passwd", 404).is(NOT_FOUND),
        Row::get("a path to elsewhere", "//example.com/healthz", 404).tells("location", ""),
        Row::get("a path to elsewhere with a slash", "//example.com/healthz/", 404).tells("location", ""),
        Row::get("thousands of slashes", format!("{}healthz", "/".repeat(20_000)), 404).is(NOT_FOUND),
        Row::get("line ends in a path that is sent back", "/JWT/v1/accounts/a%0d%0aset-cookie:x=y", 301)
            .tells("location", "/jwt/v1/accounts/a%0D%0Aset-cookie%3Ax=y")
            .tells("set-cookie", ""),
        Row::get("line ends in a path that is sent back as it is", "/jwt/v1/accounts/a%0d%0aset-cookie:x=y/", 301)
            .tells("location", "/jwt/v1/accounts/a%0d%0aset-cookie:x=y")
            .tells("set-cookie", ""),
        Row::get("marks of HTML in a query that is sent back", "/healthz/?a='&b", 301)
            .is(link("/healthz?a=&#39;&amp;b")),
    ]
}
