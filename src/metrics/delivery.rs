//! Metrics of the way of changes to the nats-servers.

use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};

use super::kinds::{Counters, Histograms, Moment, OptionalGauge, pairs};
use super::make::{FAST, SLOW};
use super::profile::{PRIMARY, Part, Scope};

/// What a change does, as the time until it is in force matters.
const CHANGES: [&str; 3] = ["revocation", "deletion", "other"];
/// Where changes are announced.
const ANNOUNCES: Scope = PRIMARY.with(Part::Nats);

metrics! {
    /// Metrics of the way of changes to the nats-servers.
    DeliveryMetrics, make:
    pub announced: IntCounter = make.on(ANNOUNCES).counter("announced_total", "Changes of accounts announced over NATS")?;
    pub announced_activations: IntCounter = make.on(ANNOUNCES).counter(
        "announced_activations_total",
        "Activations announced over NATS",
    )?;
    pub pending: IntGauge = make.on(ANNOUNCES).gauge(
        "announce_pending",
        "Changes that are still to be announced over NATS",
    )?;
    pub replies: Counters<1> = make.on(ANNOUNCES).counters(
        "announce_replies_total",
        "Answers of nats-servers to announcements, by result: updated, not_loaded or error",
        ["result"],
        ["updated", "not_loaded", "error"],
    )?;
    pub reply_duration: Histogram = make.on(ANNOUNCES).histogram(
        "announce_reply_duration_seconds",
        "Time from an announcement to each nats-server's answer",
        FAST,
    )?;
    pub in_force: Histograms<1> = make.on(ANNOUNCES).histograms(
        "in_force_duration_seconds",
        "Time from a change's commit until every nats-server and replica that is known was proven to have it, by what the \
         change does: revocation (it takes something away), deletion or other",
        SLOW,
        ["change"],
        CHANGES,
    )?;
    pub in_force_nats: Histograms<1> = make.on(ANNOUNCES).histograms(
        "in_force_nats_duration_seconds",
        "Time from a change's commit until every nats-server that is known was proven to have it, by what the change does",
        SLOW,
        ["change"],
        CHANGES,
    )?;
    pub overdue: OptionalGauge<1> = make.on(ANNOUNCES).optional(
        "in_force_overdue",
        "Changes that are older than 10 seconds and not proven to be in force everywhere, by what they do; absent while \
         neither a nats-server nor a replica is known",
        ["change"],
    )?;
    pub comparisons: Counters<1> = make.on(ANNOUNCES).counters(
        "comparisons_total",
        "Comparisons of an account on a nats-server with the store, by result: current, not_loaded, incomplete, \
         behind, cannot_unload, rejected, foreign; failed: no usable answer",
        ["result"],
        ["current", "not_loaded", "incomplete", "behind", "cannot_unload", "rejected", "foreign", "failed"],
    )?;
    pub repairs: Counters<2> = make.on(ANNOUNCES).counters(
        "repairs_total",
        "Accounts that a nats-server ran or stored in another version than the stored one, by reason (older, imports, \
         stored) and by outcome: announced again, in_force afterwards, or still_behind",
        ["reason", "outcome"],
        pairs(&["older", "imports", "stored"], &["announced", "in_force", "still_behind"]),
    )?;
    pub kicked: IntCounter = make.on(ANNOUNCES).counter(
        "connections_kicked_total",
        "Client connections that were closed because they still used what a change withdrew",
    )?;
    pub servers: IntGauge = make.on(ANNOUNCES).gauge(
        "nats_servers",
        "nats-servers that answer the roll call, on a primary",
    )?;
    pub servers_by_state: IntGaugeVec = make.on(ANNOUNCES).gauges(
        "nats_servers_by_state",
        "nats-servers by what comparisons with the store found: in_sync, behind or unknown; silent: it stopped answering",
        &["state"],
    )?;
    pub accounts_behind: IntGaugeVec = make.on(ANNOUNCES).gauges(
        "accounts_behind",
        "Accounts of which a nats-server runs another version than the stored one, by the server's name",
        &["server"],
    )?;
    pub oldest_sweep: Moment = make.on(ANNOUNCES).moment(
        "reconcile_oldest_sweep_timestamp_seconds",
        "When the oldest of the latest sweeps of all nats-servers ended, unix time; absent: one of them was never swept",
        [],
    )?;
}
