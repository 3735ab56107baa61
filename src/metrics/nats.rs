//! Metrics of the NATS edge.

use prometheus::{Histogram, IntCounter, IntGauge};

use super::kinds::{Counters, pairs};
use super::make::{FAST, Maker};
use super::profile::{BOTH, PRIMARY, Part, Role};

metrics! {
    /// Metrics of the NATS edge.
    NatsMetrics, make:
    pub connected: IntGauge = make.on(BOTH.with(Part::Nats)).gauge("nats_connected", "1 while connected to NATS")?;
    pub effective: IntGauge = make.on(BOTH.with(Part::Nats)).gauge(
        "nats_effective",
        "1 while connected to NATS, unless the user is not of the system account or no nats-server answers",
    )?;
    pub slow_consumers: IntCounter = make.on(BOTH.with(Part::Nats)).counter(
        "nats_slow_consumer_messages_total",
        "Messages from NATS that were dropped because they arrived faster than they were read",
    )?;
    pub requests: Counters<2> = make.on(BOTH.with(Part::Nats)).counters(
        "nats_requests_total",
        "Requests of the account-resolver protocol that were heard, by operation and outcome",
        ["operation", "outcome"],
        requests(make),
    )?;
    pub lookup_duration: Histogram = make.on(BOTH.with(Part::Nats)).histogram(
        "lookup_duration_seconds",
        "Time from a LOOKUP's turn until its answer was handed to the connection, or there was none",
        FAST,
    )?;
    pub packs: Counters<1> = make.on(PRIMARY.with(Part::Nats)).counters(
        "packs_asked_total",
        "Packs that this server requested, by result: equal, merged, unchanged, incomplete, silent or nobody",
        ["result"],
        ["equal", "merged", "unchanged", "incomplete", "silent", "nobody"],
    )?;
    pub healed: Counters<1> = make.on(PRIMARY.with(Part::Nats)).counters(
        "healed_total",
        "Accounts and delete requests that were sent to repair what a pack showed, by what a nats-server had: \
         older, foreign, tie, spelling or deleted",
        ["reason"],
        ["older", "foreign", "tie", "spelling", "deleted"],
    )?;
    pub sign_requests: Counters<1> = make.on(PRIMARY.with(Part::Signing)).counters(
        "sign_requests_total",
        "Self-signed account JWTs that were pushed, by the outcome at the signing service",
        ["outcome"],
        ["signed", "pending", "refused", "bad_answer", "not_connected", "timeout", "failed", "busy"],
    )?;
    pub sign_requests_in_flight: IntGauge = make.on(PRIMARY.with(Part::Signing)).gauge(
        "sign_requests_in_flight",
        "Requests that wait for an answer of the signing service",
    )?;
}

/// The operations that a server hears, with their outcomes.
fn requests(make: &Maker) -> Vec<[&'static str; 2]> {
    let mut all = pairs(&["lookup"], &["found", "absent", "dropped", "junk"]);
    all.extend(pairs(&["pack"], &["sent", "equal", "silent", "incomplete", "dropped", "refused", "junk"]));
    all.extend(pairs(&["list"], &["answered", "silent", "too_long", "early", "failed", "dropped"]));
    if make.profile().role() == Role::Primary {
        all.extend(pairs(&["update"], &["updated", "unchanged", "refused", "dropped", "junk"]));
        all.extend(pairs(&["delete"], &["deleted", "unchanged", "refused", "dropped"]));
    }
    all
}
