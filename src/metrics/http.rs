//! Metrics of the HTTP edge.

use prometheus::{Histogram, IntCounter, IntGauge};

use super::kinds::{Counters, Histograms, Values};
use super::make::FAST;
use super::profile::BOTH;

/// The routes, by their labels, and the methods that a client uses there.
pub const ROUTES: [(&str, &[&str]); 27] = [
    ("probe", &["GET"]),
    ("account", &["GET", "POST", "DELETE"]),
    ("history", &["GET"]),
    ("propagation", &["GET"]),
    ("activation", &["GET", "POST"]),
    ("operator", &["GET", "POST"]),
    ("changes", &["GET"]),
    ("digests", &["GET", "POST"]),
    ("keys", &["GET"]),
    ("followers", &["GET", "POST"]),
    ("ahead", &["GET"]),
    ("api_accounts", &["GET"]),
    ("api_account", &["GET"]),
    ("api_versions", &["GET"]),
    ("api_activations", &["GET"]),
    ("api_operator", &["GET"]),
    ("api_replicas", &["GET"]),
    ("servers", &["GET"]),
    ("api_status", &["GET"]),
    ("api_check", &["POST"]),
    ("api_audit", &["GET"]),
    ("api_openapi", &["GET"]),
    ("help", &["GET"]),
    ("pack", &["GET"]),
    ("health", &["GET"]),
    ("metrics", &["GET"]),
    ("other", &["GET"]),
];

/// The codes whose first answer an alert must see: counters of others appear with their first answer.
const CODES: [&str; 5] = ["200", "400", "404", "500", "503"];

fn requests() -> Values<3> {
    let methods = ROUTES.iter().flat_map(|(route, methods)| methods.iter().map(move |method| (*method, *route)));
    Values::AtLeast(methods.flat_map(|(method, route)| CODES.map(|code| [method, route, code])).collect())
}

metrics! {
    /// Metrics of the HTTP edge.
    HttpMetrics, make:
    pub requests: Counters<3> = make.on(BOTH).counters(
        "http_requests_total",
        "HTTP requests answered, by method, route and status code",
        ["method", "route", "code"],
        requests(),
    )?;
    pub duration: Histograms<2> = make.on(BOTH).histograms(
        "http_request_duration_seconds",
        "Time from a request's head to its answer, by method and route; one in 16 of the GETs that are answered at once",
        FAST,
        ["method", "route"],
        Values::AtLeast(vec![["GET", "account"]]),
    )?;
    pub get_found: IntCounter = requests.of(["GET", "account", "200"]);
    pub get_unchanged: IntCounter = requests.of(["GET", "account", "304"]);
    pub get_duration: Histogram = duration.of(["GET", "account"]);
    pub gets: Counters<1> = make.on(BOTH).counters(
        "account_gets_total",
        "GETs of an account's JWT, by outcome: hit, from memory; miss, anything else; stale, a replica's primary did not \
         confirm it in time",
        ["outcome"],
        make.by_role(&["hit", "miss"][..], &["hit", "miss", "stale"]),
    )?;
    pub get_outcomes: Histograms<1> = make.on(BOTH).histograms(
        "account_get_duration_seconds",
        "Time from the head of a GET of an account's JWT to its answer, by outcome; one in 16 of those answered at once",
        FAST,
        ["outcome"],
        make.by_role(&["hit", "miss"][..], &["hit", "miss", "stale"]),
    )?;
    pub hit: GetOutcome = GetOutcome::new(&gets, &get_outcomes, "hit");
    pub miss: GetOutcome = GetOutcome::new(&gets, &get_outcomes, "miss");
    stale: Option<GetOutcome> = make.by_role(None, Some("stale")).map(|stale| GetOutcome::new(&gets, &get_outcomes, stale));
    limited: Counters<1> = make.on(BOTH).counters(
        "limited_total",
        "Requests rejected because their client used up a limit",
        ["limit"],
        ["pushes", "unknown_keys", "listings"],
    )?;
    pub access_rejected: Counters<1> = make.on(BOTH).counters(
        "access_rejected_total",
        "Requests rejected because their client may not do what they ask for, by reason",
        ["reason"],
        ["no_credentials", "wrong_credentials", "locked_out", "passwords_busy", "missing_scope"],
    )?;
    pub connections: IntGauge = make.on(BOTH).gauge("http_connections", "Connections of clients that are open")?;
    pub connections_limit: IntGauge = make.on(BOTH).gauge(
        "http_connections_limit",
        "Connections of clients that may be open, for all threads together",
    )?;
    connections_shed: IntCounter = make.on(BOTH).counter(
        "http_connections_shed_total",
        "Idle connections that were closed because every place for connections was taken",
    )?;
    pub body_bytes: IntGauge = make.on(BOTH).gauge("http_body_bytes", "Bytes of request bodies that are in transit")?;
    bodies_rejected: IntCounter = make.on(BOTH).counter(
        "http_bodies_rejected_total",
        "Requests that were answered with 503 because too many bodies were in transit",
    )?;
    pub shed: Counters<1> = make.on(BOTH).counters(
        "http_shed_total",
        "Connections and requests that were turned away because a bound was reached, by the bound",
        ["reason"],
        SHED,
    )?;
    pub sending_bytes: IntGauge = make.on(BOTH).gauge(
        "sending_bytes",
        "Bytes that were read for clients and that their connections have not taken yet",
    )?;
    pub readers_cut_off: Counters<1> = make.on(BOTH).counters(
        "readers_cut_off_total",
        "Answers that ended early because the client was too slow while others waited, by kind: answer or pack",
        ["kind"],
        ["answer", "pack"],
    )?;
}

/// What [`HttpMetrics::shed`] tells apart.
const SHED: [&str; 13] = [
    "connections",
    "bodies",
    "pushes",
    "unknown_keys",
    "listings",
    "lookups",
    "followers",
    "packs",
    "comparisons",
    "answers",
    "queries",
    "forwards",
    "signing",
];

/// One outcome of a GET of an account's JWT, ready to be counted.
#[derive(Clone, Debug)]
pub struct GetOutcome {
    count: IntCounter,
    duration: Histogram,
}

impl GetOutcome {
    fn new(counts: &Counters<1>, durations: &Histograms<1>, outcome: &str) -> Self {
        Self { count: counts.of([outcome]), duration: durations.of([outcome]) }
    }

    /// Counts an answer. `seconds`: how long it took; `None`: it was not timed.
    pub fn note(&self, seconds: Option<f64>) {
        self.count.inc();
        if let Some(seconds) = seconds {
            self.duration.observe(seconds);
        }
    }
}

impl HttpMetrics {
    /// A client has used up a limit.
    pub fn limit(&self, name: &str) {
        self.limited.inc([name]);
        self.shed.inc([name]);
    }

    /// An idle connection makes room for others.
    pub fn shed_connection(&self) {
        self.connections_shed.inc();
        self.shed.inc(["connections"]);
    }

    /// There is no room for a body.
    pub fn reject_body(&self) {
        self.bodies_rejected.inc();
        self.shed.inc(["bodies"]);
    }

    /// The outcome of a GET that waited. `is_stale`: a replica answered with what its primary could not confirm in time.
    pub fn waited(&self, is_stale: bool) -> &GetOutcome {
        self.stale.as_ref().filter(|_| is_stale).unwrap_or(&self.miss)
    }
}
