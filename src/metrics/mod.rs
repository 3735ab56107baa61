//! Metric handles, made once at start.
//!
//! Names begin with `nats_account_server_`, units are base units, and no label carries an account: a label with a value
//! per account would cost more than the accounts do.

#[cfg(target_os = "linux")]
mod process;

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

const PREFIX: &str = "nats_account_server";
const FAST: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.0, 5.0];

/// For what takes as long as nats-servers take to be reached.
const SLOW: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// All metrics of the process.
#[derive(Debug)]
#[allow(missing_docs)] // Each is described by its own help text below.
pub struct Metrics {
    registry: Registry,
    pub http_requests: IntCounterVec,
    pub http_duration: HistogramVec,
    pub http_connections: IntGauge,
    pub http_connections_shed: IntCounter,
    pub http_body_bytes: IntGauge,
    pub http_bodies_rejected: IntCounter,
    pub get_found: IntCounter,
    pub get_unchanged: IntCounter,
    pub limited: IntCounterVec,
    pub get_duration: Histogram,
    pub(crate) accepted: IntCounterVec,
    pub(crate) refused: IntCounterVec,
    pub accounts: IntGauge,
    pub withheld_accounts: IntGauge,
    pub operator_expiry: IntGauge,
    pub operator_links: IntCounter,
    pub operator_chain_links: IntGauge,
    pub replica_operator_unconnected: IntGauge,
    pub serial: IntGauge,
    pub commit_failures: IntCounter,
    pub folder_pending: IntGauge,
    pub folder_written: IntCounter,
    pub folder_failures: IntCounter,
    pub folder_put_aside: IntCounter,
    pub feed_followers: IntGauge,
    pub followers_displaced: IntCounterVec,
    pub sending_bytes: IntGauge,
    pub readers_cut_off: IntCounterVec,
    pub replicas: IntGaugeVec,
    pub replicas_refused: IntCounterVec,
    pub nats_connected: IntGauge,
    /// 1 while connected to NATS, unless that is of no use.
    pub nats_effective: IntGauge,
    nats_user_expiry: IntGaugeVec,
    pub nats_servers: IntGauge,
    pub nats_slow_consumers: IntCounter,
    pub nats_requests: IntCounterVec,
    pub packs: IntCounterVec,
    pub healed: IntCounterVec,
    pub announced: IntCounter,
    pub announced_activations: IntCounter,
    pub announce_pending: IntGauge,
    pub announce_replies: IntCounterVec,
    pub announce_duration: Histogram,
    pub in_force_duration: Histogram,
    pub comparisons: IntCounterVec,
    repairs: IntCounterVec,
    pub kicked: IntCounter,
    pub servers_by_state: IntGaugeVec,
    pub accounts_behind: IntGaugeVec,
    pub oldest_sweep: IntGauge,
    pub sign_requests: IntCounterVec,
    pub sign_requests_in_flight: IntGauge,
    pub replica_feed_connected: IntGauge,
    pub replica_feed_lag: Histogram,
    pub replica_fetches: IntCounterVec,
    pub replica_hints: IntCounterVec,
    pub replica_stale: IntCounter,
    pub replica_upstream: IntGaugeVec,
    pub replica_failovers: IntCounter,
    pub replica_foreign_upstreams: IntCounter,
    pub replica_writes: IntCounterVec,
    pub replica_cache_entries: IntGauge,
    pub replica_cache_bytes: IntGauge,
    pub replica_heard: IntGauge,
    replica_clock_difference: GaugeVec,
    pub replica_snapshot_failures: IntCounter,
    pub replica_ahead: IntGauge,
    reloads: IntCounterVec,
    certificate_expiry: IntGaugeVec,
}

/// Registers metrics; a name that is taken twice is a mistake in this file, which the test below finds.
struct Maker(Registry);

impl Maker {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> prometheus::Result<C> {
        let collector = made?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::with_opts(Opts::new(name, help).namespace(PREFIX)))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help).namespace(PREFIX), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::with_opts(Opts::new(name, help).namespace(PREFIX)))
    }

    fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).namespace(PREFIX).buckets(FAST.to_vec())))
    }
}

impl Metrics {
    /// Makes and registers everything. `role`: `primary` or `replica`.
    pub fn new(role: &str) -> prometheus::Result<Self> {
        let make = Maker(Registry::new());
        #[cfg(target_os = "linux")]
        make.0.register(Box::new(process::Process::new()?))?;
        let info = Opts::new("build_info", "1; the labels say what runs")
            .namespace(PREFIX)
            .const_label("version", env!("CARGO_PKG_VERSION"))
            .const_label("role", role);
        make.add(IntGauge::with_opts(info))?.set(1);
        let http_requests = make.counters(
            "http_requests_total",
            "HTTP requests answered, by route and status code",
            &["route", "code"],
        )?;
        let http_duration = make.add(HistogramVec::new(
            HistogramOpts::new("http_request_duration_seconds", "Time from a request's head to its answer, by route; one in 16 of the GETs that are answered from memory")
                .namespace(PREFIX)
                .buckets(FAST.to_vec()),
            &["route"],
        ))?;
        Ok(Self {
            get_found: http_requests.with_label_values(&["account", "200"]),
            get_unchanged: http_requests.with_label_values(&["account", "304"]),
            limited: make.counters("limited_total", "Requests rejected because their client used up a limit", &["limit"])?,
            get_duration: http_duration.with_label_values(&["account"]),
            http_connections: make.gauge("http_connections", "Connections of clients that are open")?,
            http_connections_shed: make.counter(
                "http_connections_shed_total",
                "Idle connections that were closed because every place for connections was taken",
            )?,
            http_body_bytes: make.gauge("http_body_bytes", "Bytes of request bodies that are in transit")?,
            http_bodies_rejected: make.counter(
                "http_bodies_rejected_total",
                "Requests that were answered with 503 because too many bodies were in transit",
            )?,
            http_requests,
            http_duration,
            accepted: make.counters("accepted_total", "Changes taken in, by the path on which they came", &["path"])?,
            refused: make.counters("refused_total", "Tokens refused, by path and reason", &["path", "reason"])?,
            accounts: make.gauge("accounts", "Accounts with a JWT that is not deleted, on a primary")?,
            withheld_accounts: make.gauge(
                "withheld_accounts",
                "Accounts that are held but not served, because the operator does not vouch for who signed them, on a primary",
            )?,
            operator_expiry: make.gauge(
                "operator_expiry_timestamp_seconds",
                "When the operator JWT in force expires, unix time; 0: never, or there is none",
            )?,
            operator_links: make.counter(
                "operator_links_total",
                "Operator JWTs that a signing key signed and that came into force",
            )?,
            operator_chain_links: make.gauge(
                "operator_chain_links",
                "Operator JWTs from the newest that the identity key signed to the one in force; 0: there is no operator",
            )?,
            replica_operator_unconnected: make.gauge(
                "replica_operator_unconnected",
                "1 while the operator JWT of a replica's primary cannot be connected with the one in force here",
            )?,
            serial: make.gauge("serial", "Serial of the last change: committed on a primary, followed on a replica")?,
            commit_failures: make.counter("commit_failures_total", "Writes that the journal could not commit")?,
            folder_pending: make.gauge("folder_pending", "Changes that are not in the token folder yet")?,
            folder_written: make.counter("folder_written_total", "Files written to the token folder")?,
            folder_failures: make
                .counter("folder_failures_total", "Files of the token folder that could not be written or read")?,
            folder_put_aside: make.counter(
                "folder_put_aside_total",
                "Files that others wrote to the token folder, and that were moved to its refused ones",
            )?,
            feed_followers: make.gauge("feed_followers", "Followers connected to the change feed")?,
            followers_displaced: make.counters(
                "followers_displaced_total",
                "Followers that lost their place to another one, by reason: stranger, share or slow",
                &["reason"],
            )?,
            sending_bytes: make
                .gauge("sending_bytes", "Bytes that were read for clients and that their connections have not taken yet")?,
            readers_cut_off: make.counters(
                "readers_cut_off_total",
                "Answers that ended early because the client was too slow while others waited, by kind: answer or pack",
                &["kind"],
            )?,
            replicas: make.add(IntGaugeVec::new(
                Opts::new(
                    "replicas",
                    "Replicas that report to this server and count, by state: in_sync, behind, or silent for 10 seconds",
                )
                .namespace(PREFIX),
                &["state"],
            ))?,
            replicas_refused: make.counters(
                "replicas_refused_total",
                "Reports of replicas that were turned away, by reason: full, or same_id if two share an id",
                &["reason"],
            )?,
            nats_connected: make.gauge("nats_connected", "1 while connected to NATS")?,
            nats_effective: make.gauge(
                "nats_effective",
                "1 while connected to NATS, unless the user is not of the system account or no nats-server answers",
            )?,
            nats_user_expiry: make.add(IntGaugeVec::new(
                Opts::new(
                    "nats_user_expiry_timestamp_seconds",
                    "When the user JWT in nats.creds expires, unix time; absent if it never does, or there is none",
                )
                .namespace(PREFIX),
                &[],
            ))?,
            nats_servers: make.gauge("nats_servers", "nats-servers that are there and answer, on a primary")?,
            nats_slow_consumers: make.counter(
                "nats_slow_consumer_messages_total",
                "Messages from NATS that were dropped because they came faster than they were read",
            )?,
            nats_requests: make.counters(
                "nats_requests_total",
                "Requests of the account-resolver protocol that were heard, by operation and by what became of them",
                &["operation", "outcome"],
            )?,
            packs: make.counters(
                "packs_asked_total",
                "Packs that were asked for, by result: equal, merged, unchanged, incomplete, silent or nobody",
                &["result"],
            )?,
            healed: make.counters(
                "healed_total",
                "Accounts, and delete requests, that were sent to nats-servers because a pack showed that one of them has \
                 something else, by what that was: older, foreign, tie, spelling or deleted",
                &["reason"],
            )?,
            announced: make.counter("announced_total", "Changes of accounts announced over NATS")?,
            announced_activations: make.counter("announced_activations_total", "Activations announced over NATS")?,
            announce_pending: make.gauge("announce_pending", "Changes that are still to be announced over NATS")?,
            announce_replies: make.counters(
                "announce_replies_total",
                "Answers of nats-servers to announcements, by result: updated, not_loaded or error",
                &["result"],
            )?,
            announce_duration: make.histogram(
                "announce_reply_duration_seconds",
                "Time from an announcement to each nats-server's answer",
            )?,
            in_force_duration: make.add(Histogram::with_opts(
                HistogramOpts::new(
                    "in_force_duration_seconds",
                    "Time from a change's commit until every nats-server and replica that is known was proven to have it",
                )
                .namespace(PREFIX)
                .buckets(SLOW.to_vec()),
            ))?,
            comparisons: make.counters(
                "comparisons_total",
                "Accounts of which a nats-server was asked what it runs, by what it was: current, not_loaded, incomplete, \
                 behind, cannot_unload, rejected, foreign; failed: it gave no usable answer",
                &["result"],
            )?,
            repairs: make.counters(
                "repairs_total",
                "Accounts that a nats-server ran in another version than the stored one, by reason (older, imports) and by \
                 outcome: announced again, in_force afterwards, or still_behind",
                &["reason", "outcome"],
            )?,
            kicked: make.counter(
                "connections_kicked_total",
                "Connections of clients that were closed because they went on with what a change took from them",
            )?,
            servers_by_state: make.add(IntGaugeVec::new(
                Opts::new(
                    "nats_servers_by_state",
                    "nats-servers by what comparisons with the store found: in_sync, behind or unknown; silent: gone \
                     without a word",
                )
                .namespace(PREFIX),
                &["state"],
            ))?,
            accounts_behind: make.add(IntGaugeVec::new(
                Opts::new(
                    "accounts_behind",
                    "Accounts of which a nats-server runs another version than the stored one, by the server's name",
                )
                .namespace(PREFIX),
                &["server"],
            ))?,
            oldest_sweep: make.gauge(
                "reconcile_oldest_sweep_timestamp_seconds",
                "When the sweep ended that is longest ago among the latest sweeps of all nats-servers, unix time; 0: one \
                 of them was never swept",
            )?,
            sign_requests: make.counters(
                "sign_requests_total",
                "JWTs pushed that their accounts signed themselves, by what came of asking the signing service",
                &["outcome"],
            )?,
            sign_requests_in_flight: make
                .gauge("sign_requests_in_flight", "Requests that wait for an answer of the signing service")?,
            replica_feed_connected: make
                .gauge("replica_feed_connected", "1 while a replica follows its primary's feed and has caught up")?,
            replica_feed_lag: make.histogram(
                "replica_feed_lag_seconds",
                "Time from a change's commit at the primary to its arrival on this replica",
            )?,
            replica_fetches: make.counters(
                "replica_fetches_total",
                "Requests of a replica to its primary, by result: found, unchanged, absent or failed",
                &["result"],
            )?,
            replica_hints: make.counters(
                "replica_hints_total",
                "JWTs and activations that a replica heard over NATS, by what became of them: applied, asked, settled, joined, dropped or ignored",
                &["outcome"],
            )?,
            replica_stale: make
                .counter("replica_stale_total", "Answers of a replica that its primary could not confirm in time")?,
            replica_upstream: make.add(IntGaugeVec::new(
                Opts::new("replica_upstream", "1 for the server that a replica asks now, 0 for the others of its list")
                    .namespace(PREFIX),
                &["url"],
            ))?,
            replica_failovers: make.counter(
                "replica_failovers_total",
                "Times that a replica went over to another server of its list, back to a preferred one included",
            )?,
            replica_foreign_upstreams: make.counter(
                "replica_foreign_upstreams_total",
                "Times that a replica put a server aside because that one hosts another operator's accounts",
            )?,
            replica_writes: make.counters(
                "replica_writes_total",
                "Changes that clients sent to a replica, by what it does with them and by what became of them",
                &["mode", "outcome"],
            )?,
            replica_cache_entries: make.gauge("replica_cache_entries", "JWTs in a replica's cache")?,
            replica_cache_bytes: make.gauge("replica_cache_bytes", "Bytes that a replica's cache counts")?,
            replica_snapshot_failures: make
                .counter("replica_snapshot_failures_total", "Times that a replica's snapshot could not be written")?,
            replica_ahead: make
                .gauge("replica_ahead_accounts", "Accounts that are newer on a replica than at its primary")?,
            replica_heard: make.gauge(
                "replica_primary_heard_timestamp_seconds",
                "When the primary itself was last heard on the feed, whatever replicas are between, unix time; 0: never",
            )?,
            replica_clock_difference: make.add(GaugeVec::new(
                Opts::new(
                    "replica_clock_difference_seconds",
                    "How much later it is on a replica than at the server that it asks; missing until that is known",
                )
                .namespace(PREFIX),
                &[],
            ))?,
            reloads: make.counters(
                "reloads_total",
                "What was loaded anew while running, by what it was and by result: ok or failed",
                &["what", "result"],
            )?,
            certificate_expiry: make.add(IntGaugeVec::new(
                Opts::new(
                    "tls_certificate_expiry_timestamp_seconds",
                    "When a certificate expires, unix time, by the section that names it",
                )
                .namespace(PREFIX),
                &["section"],
            ))?,
            registry: make.0,
        })
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
