//! Activations, as v0.8.4 had them.

use super::row::{On, Row};

const HELD: &str = "/jwt/v1/activations/{hash}";
const ALL: &str = "/jwt/v1/activations";
const ABSENT: &str = "No Matching JWT\n";

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::get("an activation", HELD, 200)
            .is("{activation}")
            .tells("content-type", "application/jwt")
            .tells("cache-control", "max-age=5, stale-while-revalidate=5, stale-if-error=3600"),
        Row::get("an activation by its hash without padding", "/jwt/v1/activations/{bare hash}", 200)
            .is("{activation}"),
        Row::get("an activation by its escaped hash", "/jwt/v1/activations/{escaped hash}", 200).is("{activation}"),
        Row::get("an activation at a replica", HELD, 200).on(On::Replica).is("{activation}"),
        Row::get("an activation as text", format!("{HELD}?text=true&decode=true"), 200)
            .is("{activation}")
            .tells("content-type", "text/plain")
            .tells("etag", ""),
        Row::get("an activation for people", format!("{HELD}?decode=true"), 200)
            .is("{activation readable}")
            .tells("content-type", "text/plain"),
        Row::get("check has no meaning for an activation", format!("{HELD}?check=true"), 200).is("{activation}"),
        Row::get("an activation that the client has, whatever it is", HELD, 304).with("if-none-match", "*").empty(),
        Row::get("notify of an activation without NATS", format!("{HELD}?notify=true"), 200)
            .is("{activation}")
            .tells("nas-announced", "false"),
        Row::get("an unknown activation", "/jwt/v1/activations/{no hash}", 404)
            .is(ABSENT)
            .tells("content-type", "text/plain")
            .tells("x-content-type-options", "nosniff"),
        Row::get("an unknown activation as text", "/jwt/v1/activations/{no hash}?text=true", 404).is(ABSENT),
        Row::get("what is no hash", "/jwt/v1/activations/x", 404).starts(ABSENT),
        Row::get("an account in the place of a hash", "/jwt/v1/activations/{held}", 404).starts(ABSENT),
        Row::post("garbage is pushed as an activation", ALL, "garbage", 400).starts("bad activation JWT in request\n"),
        Row::post("an account is pushed as an activation", ALL, "{held jwt}", 400)
            .starts("bad activation JWT in request\n"),
        Row::post("an activation is pushed again", ALL, "{activation}", 200).empty().tells("content-type", ""),
    ]
}
