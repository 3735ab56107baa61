//! Metrics of a replica and its upstream.

use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};

use super::kinds::{Counters, Moment, OptionalGauge, pairs};
use super::make::FAST;
use super::profile::{Part, REPLICA};

metrics! {
    /// Metrics of a replica and its upstream.
    ReplicaMetrics, make:
    pub operator_unconnected: IntGauge = make.on(REPLICA).gauge(
        "replica_operator_unconnected",
        "1 while a replica cannot link its primary's operator JWT to the one in force here",
    )?;
    pub feed_connected: IntGauge = make.on(REPLICA).gauge(
        "replica_feed_connected",
        "1 while a replica follows its primary's feed and has caught up",
    )?;
    pub feed_lag: Histogram = make.on(REPLICA).histogram(
        "replica_feed_lag_seconds",
        "Time from a change's commit at the primary to its arrival on this replica",
        FAST,
    )?;
    pub fetches: Counters<1> = make.on(REPLICA).counters(
        "replica_fetches_total",
        "Requests of a replica to its primary, by result: found, unchanged, absent, denied or failed",
        ["result"],
        ["found", "unchanged", "absent", "denied", "failed"],
    )?;
    pub hints: Counters<1> = make.on(REPLICA.with(Part::Nats)).counters(
        "replica_hints_total",
        "JWTs and activations that a replica heard over NATS, by outcome: applied, asked, settled, joined, dropped \
         or ignored",
        ["outcome"],
        ["applied", "asked", "settled", "joined", "dropped", "ignored"],
    )?;
    pub stale: IntCounter = make.on(REPLICA).counter(
        "replica_stale_total",
        "Answers of a replica that its primary could not confirm in time",
    )?;
    pub upstream: IntGaugeVec = make.on(REPLICA).gauges(
        "replica_upstream",
        "1 for the server that a replica asks now, 0 for the others of its list",
        &["url"],
    )?;
    pub failovers: IntCounter = make.on(REPLICA).counter(
        "replica_failovers_total",
        "Times that a replica switched to another server of its list, including back to a preferred one",
    )?;
    pub foreign_upstreams: IntCounter = make.on(REPLICA).counter(
        "replica_foreign_upstreams_total",
        "Times that a replica set a server aside because it hosts another operator's accounts",
    )?;
    pub writes: Counters<2> = make.on(REPLICA).counters(
        "replica_writes_total",
        "Changes that clients sent to a replica, by mode and outcome",
        ["mode", "outcome"],
        writes(),
    )?;
    pub cache_entries: IntGauge = make.on(REPLICA).gauge("replica_cache_entries", "JWTs in a replica's read cache")?;
    pub cache_bytes: IntGauge = make.on(REPLICA).gauge("replica_cache_bytes", "Bytes that a replica's read cache counts")?;
    pub stored_bytes: IntGauge = make.on(REPLICA.with(Part::Cache)).gauge(
        "replica_cache_stored_bytes",
        "Bytes that the JWTs count which a cache stores, on disk or in memory; at most 9/8 of replica.cache_bytes",
    )?;
    pub heard: Moment = make.on(REPLICA).moment(
        "replica_primary_heard_timestamp_seconds",
        "When the primary itself was last heard on the feed, whatever replicas are between, unix time; absent: never",
        [],
    )?;
    pub clock_difference: OptionalGauge = make.on(REPLICA).optional(
        "replica_clock_difference_seconds",
        "Seconds by which a replica's clock is ahead of its upstream's; absent until known",
        [],
    )?;
    pub store_failures: IntCounter = make.on(REPLICA).counter(
        "replica_store_failures_total",
        "Writes to a replica's store that failed",
    )?;
    pub ahead: IntGauge = make.on(REPLICA).gauge(
        "replica_ahead_accounts",
        "Accounts that are newer on a replica than at its primary",
    )?;
}

/// The modes of writes at a replica, with their outcomes.
fn writes() -> Vec<[&'static str; 2]> {
    let mut all = vec![["refuse", "refused"], ["redirect", "redirected"]];
    let forwarded = ["taken", "refused", "failed", "unreachable", "lost", "timeout", "busy", "loop"];
    all.extend(pairs(&["forward"], &forwarded));
    all
}
