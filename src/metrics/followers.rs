//! Metrics of the replicas that follow this server.

use prometheus::{Histogram, IntGauge, IntGaugeVec};

use super::kinds::{Counters, OptionalGauge};
use super::make::SLOW;
use super::profile::{BOTH, PRIMARY};

metrics! {
    /// Metrics of the replicas that follow this server.
    FollowerMetrics, make:
    pub connected: IntGauge = make.on(BOTH).gauge("feed_followers", "Followers connected to the change feed")?;
    pub displaced: Counters<1> = make.on(BOTH).counters(
        "followers_displaced_total",
        "Followers that lost their place to another one, by reason: stranger, share or slow",
        ["reason"],
        ["stranger", "share", "slow"],
    )?;
    pub replicas: IntGaugeVec = make.on(BOTH).gauges(
        "replicas",
        "Replicas that report to this server and count, by state: in_sync, behind, or silent for 10 seconds",
        &["state"],
    )?;
    pub by_tier: IntGaugeVec = make.on(BOTH).gauges(
        "replicas_by_tier",
        "Replicas that count, by tier: direct if they report to this server, below if they follow one that does",
        &["tier"],
    )?;
    pub lag: OptionalGauge<1> = make.on(BOTH).optional(
        "replicas_lag_changes",
        "Changes by which the furthest replica of a tier is behind this server; absent: there is none in this tier",
        ["tier"],
    )?;
    pub rejected: Counters<1> = make.on(BOTH).counters(
        "replicas_refused_total",
        "Reports of replicas that were rejected, by reason: full, or same_id if two share an id",
        ["reason"],
        ["full", "same_id"],
    )?;
    pub arrival: Histogram = make.on(PRIMARY).histogram(
        "follower_arrival_duration_seconds",
        "Time from a change's commit until a replica confirmed it: the newest change of each report that confirms news",
        SLOW,
    )?;
}
