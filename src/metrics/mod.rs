//! Metric handles, made once at start.
//!
//! Names begin with `nats_account_server_`, units are base units, and no label carries an account: a label with a value
//! per account would cost more than the accounts do.

#[macro_use]
mod make;
#[cfg(target_os = "linux")]
mod process;

use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use make::{FAST, Maker, PREFIX, SLOW};

metrics! { make:
    pub http_requests: IntCounterVec = make.counters(
        "http_requests_total",
        "HTTP requests answered, by route and status code",
        &["route", "code"],
    )?;
    pub http_duration: HistogramVec = make.histograms(
        "http_request_duration_seconds",
        "Time from a request's head to its answer, by route; one in 16 of the GETs that are answered from memory",
        &["route"],
    )?;
    pub http_connections: IntGauge = make.gauge("http_connections", "Connections of clients that are open")?;
    pub http_connections_shed: IntCounter = make.counter(
        "http_connections_shed_total",
        "Idle connections that were closed because every place for connections was taken",
    )?;
    pub http_body_bytes: IntGauge = make.gauge("http_body_bytes", "Bytes of request bodies that are in transit")?;
    pub http_bodies_rejected: IntCounter = make.counter(
        "http_bodies_rejected_total",
        "Requests that were answered with 503 because too many bodies were in transit",
    )?;
    pub get_found: IntCounter = http_requests.with_label_values(&["account", "200"]);
    pub get_unchanged: IntCounter = http_requests.with_label_values(&["account", "304"]);
    pub limited: IntCounterVec = make.counters(
        "limited_total",
        "Requests rejected because their client used up a limit",
        &["limit"],
    )?;
    pub access_rejected: IntCounterVec = make.counters(
        "access_rejected_total",
        "Requests rejected because their client may not do what they ask for",
        &["reason"],
    )?;
    pub get_duration: Histogram = http_duration.with_label_values(&["account"]);
    pub(crate) accepted: IntCounterVec = make.counters(
        "accepted_total",
        "Changes accepted, by the path on which they came",
        &["path"],
    )?;
    pub(crate) refused: IntCounterVec = make.counters(
        "refused_total",
        "Tokens rejected, by path and reason",
        &["path", "reason"],
    )?;
    pub accounts: IntGauge = make.gauge("accounts", "Accounts with a JWT that is not deleted, on a primary")?;
    pub withheld_accounts: IntGauge = make.gauge(
        "withheld_accounts",
        "Accounts that a primary withholds, because the operator's JWT does not list the key that signed them",
    )?;
    pub operator_expiry: IntGauge = make.gauge(
        "operator_expiry_timestamp_seconds",
        "When the operator JWT in force expires, unix time; 0: never, or there is none",
    )?;
    pub operator_links: IntCounter = make.counter(
        "operator_links_total",
        "Operator JWTs that a signing key signed and that came into force",
    )?;
    pub operator_chain_links: IntGauge = make.gauge(
        "operator_chain_links",
        "Operator JWTs from the newest that the identity key signed to the one in force; 0: there is no operator",
    )?;
    pub replica_operator_unconnected: IntGauge = make.gauge(
        "replica_operator_unconnected",
        "1 while a replica cannot link its primary's operator JWT to the one in force here",
    )?;
    pub serial: IntGauge = make.gauge(
        "serial",
        "Serial of the last change: committed on a primary, followed on a replica",
    )?;
    pub commit_failures: IntCounter = make.counter(
        "commit_failures_total",
        "Writes that the journal could not commit",
    )?;
    pub folder_pending: IntGauge = make.gauge("folder_pending", "Changes that are not in the token folder yet")?;
    pub folder_written: IntCounter = make.counter("folder_written_total", "Files written to the token folder")?;
    pub folder_failures: IntCounter = make.counter(
        "folder_failures_total",
        "Files of the token folder that could not be written or read",
    )?;
    pub folder_put_aside: IntCounter = make.counter(
        "folder_put_aside_total",
        "Files that others wrote to the token folder and that were moved to its folder of rejected files",
    )?;
    pub feed_followers: IntGauge = make.gauge("feed_followers", "Followers connected to the change feed")?;
    pub followers_displaced: IntCounterVec = make.counters(
        "followers_displaced_total",
        "Followers that lost their place to another one, by reason: stranger, share or slow",
        &["reason"],
    )?;
    pub sending_bytes: IntGauge = make.gauge(
        "sending_bytes",
        "Bytes that were read for clients and that their connections have not taken yet",
    )?;
    pub readers_cut_off: IntCounterVec = make.counters(
        "readers_cut_off_total",
        "Answers that ended early because the client was too slow while others waited, by kind: answer or pack",
        &["kind"],
    )?;
    pub replicas: IntGaugeVec = make.gauges(
        "replicas",
        "Replicas that report to this server and count, by state: in_sync, behind, or silent for 10 seconds",
        &["state"],
    )?;
    pub replicas_refused: IntCounterVec = make.counters(
        "replicas_refused_total",
        "Reports of replicas that were rejected, by reason: full, or same_id if two share an id",
        &["reason"],
    )?;
    pub nats_connected: IntGauge = make.gauge("nats_connected", "1 while connected to NATS")?;
    pub nats_effective: IntGauge = make.gauge(
        "nats_effective",
        "1 while connected to NATS, unless the user is not of the system account or no nats-server answers",
    )?;
    nats_user_expiry: IntGaugeVec = make.gauges(
        "nats_user_expiry_timestamp_seconds",
        "When the user JWT in nats.creds expires, unix time; absent if it never does, or there is none",
        &[],
    )?;
    pub nats_servers: IntGauge = make.gauge("nats_servers", "nats-servers that answer the roll call, on a primary")?;
    pub nats_slow_consumers: IntCounter = make.counter(
        "nats_slow_consumer_messages_total",
        "Messages from NATS that were dropped because they arrived faster than they were read",
    )?;
    pub nats_requests: IntCounterVec = make.counters(
        "nats_requests_total",
        "Requests of the account-resolver protocol that were heard, by operation and outcome",
        &["operation", "outcome"],
    )?;
    pub packs: IntCounterVec = make.counters(
        "packs_asked_total",
        "Packs that this server requested, by result: equal, merged, unchanged, incomplete, silent or nobody",
        &["result"],
    )?;
    pub healed: IntCounterVec = make.counters(
        "healed_total",
        "Accounts and delete requests that were sent to repair what a pack showed, by what a nats-server had: \
         older, foreign, tie, spelling or deleted",
        &["reason"],
    )?;
    pub announced: IntCounter = make.counter("announced_total", "Changes of accounts announced over NATS")?;
    pub announced_activations: IntCounter = make.counter(
        "announced_activations_total",
        "Activations announced over NATS",
    )?;
    pub announce_pending: IntGauge = make.gauge(
        "announce_pending",
        "Changes that are still to be announced over NATS",
    )?;
    pub announce_replies: IntCounterVec = make.counters(
        "announce_replies_total",
        "Answers of nats-servers to announcements, by result: updated, not_loaded or error",
        &["result"],
    )?;
    pub announce_duration: Histogram = make.histogram(
        "announce_reply_duration_seconds",
        "Time from an announcement to each nats-server's answer",
        FAST,
    )?;
    pub in_force_duration: Histogram = make.histogram(
        "in_force_duration_seconds",
        "Time from a change's commit until every nats-server and replica that is known was proven to have it",
        SLOW,
    )?;
    pub comparisons: IntCounterVec = make.counters(
        "comparisons_total",
        "Comparisons of an account on a nats-server with the store, by result: current, not_loaded, incomplete, \
         behind, cannot_unload, rejected, foreign; failed: no usable answer",
        &["result"],
    )?;
    repairs: IntCounterVec = make.counters(
        "repairs_total",
        "Accounts that a nats-server ran in another version than the stored one, by reason (older, imports) and by \
         outcome: announced again, in_force afterwards, or still_behind",
        &["reason", "outcome"],
    )?;
    pub kicked: IntCounter = make.counter(
        "connections_kicked_total",
        "Client connections that were closed because they still used what a change withdrew",
    )?;
    pub servers_by_state: IntGaugeVec = make.gauges(
        "nats_servers_by_state",
        "nats-servers by what comparisons with the store found: in_sync, behind or unknown; silent: it stopped \
         answering",
        &["state"],
    )?;
    pub accounts_behind: IntGaugeVec = make.gauges(
        "accounts_behind",
        "Accounts of which a nats-server runs another version than the stored one, by the server's name",
        &["server"],
    )?;
    pub oldest_sweep: IntGauge = make.gauge(
        "reconcile_oldest_sweep_timestamp_seconds",
        "When the oldest of the latest sweeps of all nats-servers ended, unix time; 0: one of them was never swept",
    )?;
    pub sign_requests: IntCounterVec = make.counters(
        "sign_requests_total",
        "Self-signed account JWTs that were pushed, by the outcome at the signing service",
        &["outcome"],
    )?;
    pub sign_requests_in_flight: IntGauge = make.gauge(
        "sign_requests_in_flight",
        "Requests that wait for an answer of the signing service",
    )?;
    pub replica_feed_connected: IntGauge = make.gauge(
        "replica_feed_connected",
        "1 while a replica follows its primary's feed and has caught up",
    )?;
    pub replica_feed_lag: Histogram = make.histogram(
        "replica_feed_lag_seconds",
        "Time from a change's commit at the primary to its arrival on this replica",
        FAST,
    )?;
    pub replica_fetches: IntCounterVec = make.counters(
        "replica_fetches_total",
        "Requests of a replica to its primary, by result: found, unchanged, absent, denied or failed",
        &["result"],
    )?;
    pub replica_hints: IntCounterVec = make.counters(
        "replica_hints_total",
        "JWTs and activations that a replica heard over NATS, by outcome: applied, asked, settled, joined, dropped \
         or ignored",
        &["outcome"],
    )?;
    pub replica_stale: IntCounter = make.counter(
        "replica_stale_total",
        "Answers of a replica that its primary could not confirm in time",
    )?;
    pub replica_upstream: IntGaugeVec = make.gauges(
        "replica_upstream",
        "1 for the server that a replica asks now, 0 for the others of its list",
        &["url"],
    )?;
    pub replica_failovers: IntCounter = make.counter(
        "replica_failovers_total",
        "Times that a replica switched to another server of its list, including back to a preferred one",
    )?;
    pub replica_foreign_upstreams: IntCounter = make.counter(
        "replica_foreign_upstreams_total",
        "Times that a replica set a server aside because it hosts another operator's accounts",
    )?;
    pub replica_writes: IntCounterVec = make.counters(
        "replica_writes_total",
        "Changes that clients sent to a replica, by mode and outcome",
        &["mode", "outcome"],
    )?;
    pub replica_cache_entries: IntGauge = make.gauge("replica_cache_entries", "JWTs in a replica's read cache")?;
    pub replica_cache_bytes: IntGauge = make.gauge("replica_cache_bytes", "Bytes that a replica's read cache counts")?;
    pub replica_stored_bytes: IntGauge = make.gauge(
        "replica_cache_stored_bytes",
        "Bytes that the JWTs count which a cache stores, on disk or in memory; at most 9/8 of replica.cache_bytes",
    )?;
    pub replica_heard: IntGauge = make.gauge(
        "replica_primary_heard_timestamp_seconds",
        "When the primary itself was last heard on the feed, whatever replicas are between, unix time; 0: never",
    )?;
    replica_clock_difference: GaugeVec = make.add(GaugeVec::new(
        Opts::new(
            "replica_clock_difference_seconds",
            "Seconds by which a replica's clock is ahead of its upstream's; absent until known",
        )
        .namespace(PREFIX),
        &[],
    ))?;
    pub replica_store_failures: IntCounter = make.counter(
        "replica_store_failures_total",
        "Writes to a replica's store that failed",
    )?;
    pub replica_ahead: IntGauge = make.gauge(
        "replica_ahead_accounts",
        "Accounts that are newer on a replica than at its primary",
    )?;
    reloads: IntCounterVec = make.counters(
        "reloads_total",
        "Reloads without a restart, by what was reloaded and by result: ok or failed",
        &["what", "result"],
    )?;
    pub audit_lines: IntCounterVec = make.counters(
        "audit_lines_total",
        "Lines of the audit log that are on disk, by outcome: committed, rejected, or note about the log itself",
        &["outcome"],
    )?;
    pub audit_lost: IntCounter = make.counter(
        "audit_lost_total",
        "Rejected attempts without a line in the audit log, because there were too many; a later line has their number",
    )?;
    pub audit_failures: IntCounter = make.counter(
        "audit_failures_total",
        "Attempts to write the audit log that failed",
    )?;
    pub audit_failing: IntGauge = make.gauge("audit_failing", "1 while the audit log cannot be written")?;
    pub audit_broken: IntCounter = make.counter(
        "audit_broken_total",
        "Times that the audit log was not as this server wrote it, so that a new chain began",
    )?;
    pub audit_head_seq: IntGauge = make.gauge(
        "audit_head_seq",
        "Number of the last line of the audit log; 0: none was written since the start",
    )?;
    pub audit_last_write: IntGauge = make.gauge(
        "audit_last_write_timestamp_seconds",
        "When lines were last written to the audit log, unix time; 0: not since the start",
    )?;
    certificate_expiry: IntGaugeVec = make.gauges(
        "tls_certificate_expiry_timestamp_seconds",
        "When a certificate expires, unix time, by the section that names it",
        &["section"],
    )?;
}

impl Metrics {
    /// Makes and registers everything. `role`: `primary` or `replica`.
    pub fn new(role: &str) -> prometheus::Result<Self> {
        let make = Maker(Registry::new());
        #[cfg(target_os = "linux")]
        make.0.register(Box::new(process::ProcessMetrics::new()?))?;
        let info = Opts::new("build_info", "1; the labels say what runs")
            .namespace(PREFIX)
            .const_label("version", env!("CARGO_PKG_VERSION"))
            .const_label("role", role);
        make.add(IntGauge::with_opts(info))?.set(1);
        Self::make(make)
    }

    /// Counts a step of a repair.
    pub fn repair(&self, reason: &str, outcome: &str) {
        self.repairs.with_label_values(&[reason, outcome]).inc();
    }

    /// Counts a reload. `what`: `settings`, `operator`, `nats.creds`, or a section with TLS files.
    pub fn reloaded(&self, what: &str, ok: bool) {
        self.reloads.with_label_values(&[what, if ok { "ok" } else { "failed" }]).inc();
    }

    /// Says when the certificate of a section, such as `http.tls`, expires, in unix seconds.
    pub fn certificate_expires(&self, section: &str, at: i64) {
        self.certificate_expiry.with_label_values(&[section]).set(at);
    }

    /// Says how much later it is here than at the server that a replica asks, in seconds. `None`: that is not known.
    pub fn clock_difference(&self, seconds: Option<f64>) {
        match seconds {
            Some(seconds) => self.replica_clock_difference.with_label_values::<&str>(&[]).set(seconds),
            None => self.replica_clock_difference.reset(),
        }
    }

    /// Says when the user JWT of the NATS credentials expires, in unix seconds; `None`: never.
    pub fn nats_user_expires(&self, at: Option<i64>) {
        match at {
            Some(at) => self.nats_user_expiry.with_label_values::<&str>(&[]).set(at),
            // It fails if there was none.
            None => drop(self.nats_user_expiry.remove_label_values::<&str>(&[])),
        }
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> prometheus::Result<String> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// What a gauge shows of a count.
pub fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_can_be_registered_and_rendered() {
        let metrics = Metrics::new("primary").expect("no name is taken twice");
        metrics.refused.with_label_values(&["post", "no_operator"]).inc();
        let text = metrics.render().expect("renders");
        assert!(text.contains("nats_account_server_refused_total{path=\"post\",reason=\"no_operator\"} 1"), "{text}");
    }
}
