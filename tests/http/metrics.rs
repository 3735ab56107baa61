//! Metrics: a series exists where it means something, and docs/metrics.md says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nats_account_server::metrics::{Declared, Metrics, Part, Profile, Role};
use serde_json::json;

use crate::support::command::run;
use crate::support::{Account, Launch, Operator, Server, free_address, now, until};

const PREFIX: &str = "nats_account_server_";

/// The series of a scrape, without the prefix of their names.
async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let text = server.http.get("/metrics").await.expect(200).body;
    let series = text.lines().filter_map(|line| line.strip_prefix(PREFIX)?.rsplit_once(' '));
    series.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

fn names(series: &BTreeMap<String, f64>) -> BTreeSet<&str> {
    series.keys().map(|series| series.split('{').next().unwrap()).collect()
}

#[track_caller]
fn absent(series: &BTreeMap<String, f64>, beginnings: &[&str]) {
    for name in names(series) {
        assert!(!beginnings.iter().any(|beginning| name.starts_with(beginning)), "{name}");
    }
}

#[tokio::test]
async fn a_primary_without_nats_counts_from_the_start_and_shows_nothing_that_means_nothing() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let start = scrape(&primary).await;
    for zero in [
        "pushes_total{kind=\"account\",result=\"error\"}",
        "pushes_total{kind=\"delete\",result=\"ok\"}",
        "http_requests_total{code=\"500\",method=\"POST\",route=\"account\"}",
        "account_gets_total{outcome=\"hit\"}",
        "http_shed_total{reason=\"connections\"}",
        "refused_total{path=\"post\",reason=\"untrusted\"}",
        "accepted_total{path=\"post\"}",
        "reloads_total{result=\"failed\",what=\"settings\"}",
        "push_duration_seconds_count{stage=\"commit\"}",
        "commit_failures_total",
    ] {
        assert_eq!(start.get(zero), Some(&0.0), "{zero}");
    }
    let meaningless =
        ["replica_", "nats_", "announce", "in_force", "audit_", "folder_", "sign_", "lookup_", "journal_", "disk_"];
    absent(&start, &meaningless);
    let never = ["last_", "operator_expiry", "accounts_earliest", "tls_", "replicas_lag"];
    absent(&start, &never);
    assert!(start["http_connections_limit"] >= start["http_connections"] && start["http_connections"] >= 1.0);

    let (account, began) = (Account::new(), now());
    let mut claims = account.claims(began);
    claims["exp"] = json!(began + 1_800);
    primary.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    primary.http.post(&account.path(), Operator::new().account(&account, 0)).await.expect(400);
    primary.http.get(&account.path()).await.expect(200);
    primary.http.get(&Account::new().path()).await.expect(404);
    until("the account is counted", || async {
        let series = scrape(&primary).await;
        // The operator has one, too.
        series.get("accounts_expiring{within=\"1h\"}") == Some(&1.0) && series.get("heads") == Some(&2.0)
    })
    .await;
    let series = scrape(&primary).await;
    for (name, value) in [
        ("pushes_total{kind=\"account\",result=\"ok\"}", 1.0),
        ("pushes_total{kind=\"account\",result=\"refused\"}", 1.0),
        ("pushes_total{kind=\"account\",result=\"error\"}", 0.0),
        ("push_duration_seconds_count{stage=\"verify\"}", 2.0),
        ("push_duration_seconds_count{stage=\"queue\"}", 1.0),
        ("push_duration_seconds_count{stage=\"commit\"}", 1.0),
        ("account_gets_total{outcome=\"hit\"}", 1.0),
        ("account_gets_total{outcome=\"miss\"}", 1.0),
        ("http_requests_total{code=\"200\",method=\"POST\",route=\"account\"}", 1.0),
        ("accounts_expiring{within=\"30d\"}", 1.0),
        ("accounts_expired", 0.0),
        ("accounts_earliest_expiry_timestamp_seconds", (began + 1_800) as f64),
        ("tombstones", 0.0),
        ("activations", 0.0),
        ("primary_cache_entries", 1.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
    assert!(series["commit_group_size_count"] >= 1.0 && series["commit_sync_duration_seconds_count"] >= 1.0);
    assert!((began as f64..=now() as f64).contains(&series["last_push_timestamp_seconds"]));
    absent(&series, &meaningless);
}

#[tokio::test]
async fn the_files_of_a_journal_are_measured_and_so_is_its_last_backup() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Launch::primary(&operator).dir(folder.path()).start().await;
    until("the disk is measured", || async { scrape(&primary).await.contains_key("disk_free_bytes") }).await;
    let series = scrape(&primary).await;
    assert!(series["journal_bytes"] > 0.0 && series["journal_log_bytes"] >= 0.0);
    assert!(series["disk_free_bytes"] <= series["disk_size_bytes"] && series["disk_free_bytes"] > 0.0);
    assert!(series.contains_key("folder_pending"));
    absent(&series, &["last_backup", "audit_", "nats_"]);
    let (copy, began) = (folder.path().join("copy.backup"), now());
    run(["backup".as_ref(), "-dir".as_ref(), folder.path().as_os_str(), copy.as_os_str()]).await.expect(0);
    until("the backup is seen", || async { scrape(&primary).await.contains_key("last_backup_timestamp_seconds") })
        .await;
    let at = scrape(&primary).await["last_backup_timestamp_seconds"];
    assert!((began as f64..=now() as f64).contains(&at), "{at}");
}

#[tokio::test]
async fn a_replica_shows_its_upstream_and_nothing_of_a_primary() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let replica = Server::replica(&operator, &primary.url).await;
    let account = Account::new();
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    until("the replica has it", || async { replica.http.get(&account.path()).await.status == 200 }).await;
    replica.http.get(&account.path()).await.expect(200);
    until("the primary hears of it", || async {
        scrape(&primary).await.get("replicas_lag_changes{tier=\"direct\"}") == Some(&0.0)
    })
    .await;
    let series = scrape(&replica).await;
    assert_eq!(series["replica_feed_connected"], 1.0);
    for zero in [
        "replica_writes_total{mode=\"forward\",outcome=\"timeout\"}",
        "refused_total{path=\"feed\",reason=\"untrusted\"}",
        "account_gets_total{outcome=\"stale\"}",
        "replica_stale_total",
        "replicas_by_tier{tier=\"direct\"}",
    ] {
        assert_eq!(series.get(zero), Some(&0.0), "{zero}");
    }
    assert!(series["account_gets_total{outcome=\"hit\"}"] >= 1.0);
    assert!(series["replica_primary_heard_timestamp_seconds"] > 0.0);
    let of_primaries =
        ["pushes", "push_", "last_push", "accounts", "primary_", "withheld", "heads", "tombstones", "nats_"];
    absent(&series, &of_primaries);
    absent(&series, &["in_force", "announce", "audit_", "folder_", "replica_hints", "follower_arrival"]);
    let series = scrape(&primary).await;
    assert_eq!((series["replicas{state=\"in_sync\"}"], series["replicas_by_tier{tier=\"direct\"}"]), (1.0, 1.0));
    assert!(!series.contains_key("replicas_lag_changes{tier=\"below\"}"));
    // What a replica had before its first report is unknown.
    until("an arrival is measured", || async {
        primary.http.post(&account.path(), operator.sign(&account.claims(now()))).await;
        scrape(&primary).await["follower_arrival_duration_seconds_count"] >= 1.0
    })
    .await;

    let nobody = free_address();
    let lonely = Launch::replica(&operator, &format!("http://{nobody}")).start_unready().await;
    let series = scrape(&lonely).await;
    assert_eq!(series.get("replica_feed_connected"), Some(&0.0));
    absent(&series, &["replica_primary_heard", "replica_clock_difference"]);
}

#[tokio::test]
async fn a_copy_that_the_primary_does_not_confirm_is_counted_as_stale() {
    let operator = Operator::new();
    let mut primary = Server::primary(&operator).await;
    let replica = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__TTL", "1ms").start().await;
    let account = Account::new();
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    until("the replica has it", || async { replica.http.get(&account.path()).await.status == 200 }).await;
    primary.kill();
    until("a stale answer is counted", || async {
        replica.http.get(&account.path()).await.expect(200);
        replica.http.metric("account_gets_total", "stale").await > 0.0
    })
    .await;
    assert_eq!(
        replica.http.metric("account_gets_total", "stale").await,
        replica.http.metric("replica_stale_total", "").await
    );
}

/// Metrics whose label values are in a table of their own.
const OF_ITS_OWN_TABLE: [&str; 4] =
    ["http_requests_total", "http_request_duration_seconds", "refused_total", "accepted_total"];

/// A row of the tables of docs/metrics.md.
struct Row {
    kind: String,
    labels: BTreeSet<String>,
    on: String,
    text: String,
}

/// What is in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn page() -> (String, BTreeMap<String, Row>) {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> =
            line.trim_matches('|').replace("\\|", "/").split('|').map(|cell| cell.trim().to_owned()).collect();
        let [name, kind, labels, on, meaning, moves] = &cells[..] else { continue };
        let row = Row {
            kind: kind.clone(),
            labels: quoted(labels).map(str::to_owned).collect(),
            on: on.clone(),
            text: format!("{meaning} {moves}"),
        };
        let name = quoted(name).next().unwrap().to_owned();
        assert!(rows.insert(name.clone(), row).is_none(), "{name} is twice on the page");
    }
    (page, rows)
}

const EVERY: [Part; 5] = [Part::Nats, Part::Signing, Part::Folder, Part::Audit, Part::Cache];

fn declared(role: Role, parts: Vec<Part>) -> Vec<Declared> {
    Metrics::new(Profile::new(role, parts)).unwrap().declared().to_vec()
}

/// Where each metric is, in the words of the page.
fn places() -> BTreeMap<String, String> {
    let names = |role, parts| declared(role, parts).into_iter().map(|one| one.name).collect::<BTreeSet<_>>();
    let of = |role| names(role, EVERY.to_vec());
    let (primary, replica) = (of(Role::Primary), of(Role::Replica));
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for name in primary.union(&replica) {
        let is_on = (primary.contains(name), replica.contains(name));
        let place = if is_on == (true, true) { "both" } else { ["replica", "primary"][usize::from(is_on.0)] };
        places.insert(name.clone(), place.to_owned());
    }
    for (part, word) in EVERY.iter().zip(["NATS", "signing", "folder", "audit", "cache"]) {
        let others: Vec<_> = EVERY.iter().copied().filter(|other| other != part).collect();
        let without: BTreeSet<_> =
            [Role::Primary, Role::Replica].into_iter().flat_map(|role| names(role, others.clone())).collect();
        for (_, place) in places.iter_mut().filter(|(name, _)| !without.contains(*name)) {
            place.push_str(&format!(" {word}"));
        }
    }
    places
}

#[test]
fn the_page_names_every_metric_with_its_kind_its_labels_and_where_it_is() {
    let ((page, rows), places) = (page(), places());
    let mut seen = BTreeSet::new();
    for metric in [Role::Primary, Role::Replica].into_iter().flat_map(|role| declared(role, EVERY.to_vec())) {
        let name = metric.name.strip_prefix(PREFIX).unwrap();
        let row = rows.get(name).unwrap_or_else(|| panic!("docs/metrics.md has no row for {name}"));
        seen.insert(name.to_owned());
        assert_eq!(row.kind, metric.kind, "{name}");
        assert_eq!(row.labels, metric.labels.iter().cloned().collect(), "{name}");
        assert_eq!(row.on, places[&metric.name], "where {name} is");
        for value in metric.values.iter().flatten() {
            let is_there = OF_ITS_OWN_TABLE.contains(&name) || quoted(&row.text).any(|word| word == *value);
            assert!(is_there, "the row of {name} does not have `{value}`");
            assert!(page.contains(&format!("`{value}`")), "{value} of {name}");
        }
    }
    let known: BTreeSet<_> = rows.keys().cloned().collect();
    assert_eq!(known.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "are on the page only");
}

/// Servers of both roles with every part, as far as their peers need not be there.
async fn servers() -> (Server, Server, tempfile::TempDir) {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let (nats, creds) = (free_address(), folder.path().join("system.creds"));
    std::fs::write(&creds, operator.system().user().creds()).unwrap();
    let tokens = folder.path().join("tokens");
    let primary = Launch::primary(&operator).dir(&tokens).nats(&nats, &creds);
    let primary = primary.path("NAS_AUDIT__PATH", &folder.path().join("audit.log"));
    let primary = primary.env("NAS_NATS__SIGN_REQUEST_SUBJECT", "sign").start().await;
    let replica = Launch::replica(&operator, &primary.url).nats(&nats, &creds).start().await;
    let account = Account::new();
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    until("the replica has it", || async { replica.http.get(&account.path()).await.status == 200 }).await;
    until("it is counted", || async {
        let series = scrape(&primary).await;
        series.contains_key("tombstones") && series.contains_key("heads")
    })
    .await;
    (primary, replica, folder)
}

#[tokio::test]
async fn what_is_scraped_is_what_was_declared_and_promtool_finds_nothing_wrong() {
    let (primary, replica, _folder) = servers().await;
    let promtool = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/prometheus/promtool");
    for (server, role) in [(&primary, Role::Primary), (&replica, Role::Replica)] {
        let text = server.http.get("/metrics").await.expect(200).body;
        let known: BTreeMap<_, _> =
            declared(role, EVERY.to_vec()).into_iter().map(|one| (one.name, one.kind)).collect();
        let mut types = 0;
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            if !name.starts_with("process_") {
                assert_eq!(known.get(name), Some(&kind), "{name}");
                types += 1;
            }
        }
        assert!(types > 40, "{text}");
        if !promtool.exists() {
            println!("skipped: {} is missing: run tests/get-prometheus.sh", promtool.display());
            continue;
        }
        let mut check = Command::new(&promtool);
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut check = check.spawn().unwrap();
        check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let found = check.wait_with_output().unwrap();
        let said = [found.stdout, found.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(found.status.success() && said.is_empty(), "{role:?}: {said}");
    }
}
