//! Web pages of other origins: none of the primary, one of the read-only server, all of the replica.

use super::row::{On, Row};
use super::world::PAGE;

const HELD: &str = "/jwt/v1/accounts/{held}";
const ALLOWED: &str = "access-control-allow-origin";
const METHODS: &str = "access-control-allow-methods";
const HEADERS: &str = "access-control-allow-headers";
const ASKED: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
const STRANGER: &str = "https://evil.example.com";

fn asks(name: &str, on: On, path: &str, origin: &str, method: &str, status: u16) -> Row {
    let row = Row::new(name, "OPTIONS", path, status).on(on);
    row.with("origin", origin).with("access-control-request-method", method)
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::get("a page reads where none may", HELD, 200).with("origin", PAGE).tells(ALLOWED, "").tells("vary", ""),
        asks("a page asks where none may", On::Primary, HELD, PAGE, "POST", 200).tells(ALLOWED, "").tells(METHODS, ""),
        Row::get("the page reads", HELD, 200)
            .on(On::ReadOnly)
            .with("origin", PAGE)
            .is("{held jwt}")
            .tells(ALLOWED, PAGE)
            .tells("vary", "Origin"),
        Row::get("the page reads in the long way", format!("{HELD}?check=true"), 200)
            .on(On::ReadOnly)
            .with("origin", PAGE)
            .tells(ALLOWED, PAGE)
            .tells(
                "access-control-expose-headers",
                "ETag, Age, Location, Retry-After, Nas-Receipts, Nas-Primary-Age, Nas-Announced, X-Request-Id",
            ),
        Row::get("the page reads an error", "/jwt/v1/accounts/{unknown}", 404)
            .on(On::ReadOnly)
            .with("origin", PAGE)
            .tells(ALLOWED, PAGE),
        Row::get("the page has it already", HELD, 304)
            .on(On::ReadOnly)
            .with("origin", PAGE)
            .with("if-none-match", "*")
            .tells(ALLOWED, PAGE),
        Row::get("no page reads", HELD, 200).on(On::ReadOnly).tells(ALLOWED, "").tells("vary", "Origin"),
        Row::get("another page reads", HELD, 200)
            .on(On::ReadOnly)
            .with("origin", STRANGER)
            .tells(ALLOWED, "")
            .tells("vary", "Origin"),
        Row::get("a page whose origin only begins so", HELD, 200)
            .on(On::ReadOnly)
            .with("origin", "https://console.example.com.evil.example.com")
            .tells(ALLOWED, ""),
        Row::get("a page without an origin of its own", HELD, 200)
            .on(On::ReadOnly)
            .with("origin", "null")
            .tells(ALLOWED, ""),
        Row::new("PUT from the page", "PUT", HELD, 405).on(On::ReadOnly).with("origin", PAGE).tells(ALLOWED, ""),
        asks("the page asks to push", On::ReadOnly, HELD, PAGE, "POST", 204)
            .with("access-control-request-headers", "x-foo, content-type")
            .empty()
            .tells(ALLOWED, PAGE)
            .tells(METHODS, "POST")
            .tells(HEADERS, "x-foo, content-type")
            .tells("vary", ASKED),
        asks("the page asks to read without headers", On::ReadOnly, HELD, PAGE, "GET", 204)
            .tells(METHODS, "GET")
            .tells(HEADERS, ""),
        asks("the page asks for no route", On::ReadOnly, "/nothing", PAGE, "GET", 204).tells(ALLOWED, PAGE),
        asks("the page asks for another method", On::ReadOnly, HELD, PAGE, "PUT", 204)
            .tells(ALLOWED, "")
            .tells(METHODS, "")
            .tells("vary", ASKED),
        asks("another page asks", On::ReadOnly, HELD, STRANGER, "GET", 204).tells(ALLOWED, "").tells("vary", ASKED),
        Row::new("nobody asks", "OPTIONS", HELD, 200).on(On::ReadOnly).with("origin", PAGE).tells(ALLOWED, ""),
        Row::get("any page reads where all may", HELD, 200)
            .on(On::Replica)
            .with("origin", STRANGER)
            .tells(ALLOWED, "*")
            .tells("vary", ""),
        asks("any page asks where all may", On::Replica, HELD, STRANGER, "POST", 204)
            .tells(ALLOWED, "*")
            .tells(METHODS, "POST"),
    ]
}
