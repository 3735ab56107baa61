//! A real Prometheus with the shipped alerts, in front of a fleet in which things fail: every panel of the dashboard has data,
//! and the right alerts fire.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::process::Process;
use crate::support::command::run;
use crate::support::fleet::or_newest;
use crate::support::haproxy::HaProxy;
use crate::support::{Account, Http, Launch, NatsLaunch, Operator, Proxy, free_address, now, until, until_in};
use crate::{dashboard, text_of, tool_or_skip};

/// What windows and waits of minutes and hours become, with a scrape each second.
const WINDOW: &str = "5s";
const YEAR: i64 = 365 * 86_400;
const PREFIX: &str = "NatsAccountServer";

/// Alerts that a busy machine causes with such short windows, and those of the disk on which the tests run.
const OF_THE_MACHINE: [&str; 7] = [
    "AnnouncementsPending",
    "AnswersSlow",
    "DiskFull",
    "DiskNearlyFull",
    "FolderBehind",
    "ReplicasBehind",
    "RevocationsSlow",
];

struct Prometheus {
    http: Http,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// The shipped configuration and rules, with these targets and short times.
    async fn start(program: &Path, targets: &[String]) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let config = text_of("deploy/prometheus/prometheus.yml").replace("_interval: 15s", "_interval: 1s");
        let places = r#"["primary:9090", "replica-1:9090", "replica-2:9090"]"#;
        assert!(config.contains(places), "{config}");
        std::fs::write(folder.path().join("prometheus.yml"), config.replace(places, &json!(targets).to_string()))
            .unwrap();
        std::fs::write(folder.path().join("rules.yml"), shortened(&text_of("deploy/prometheus/rules.yml"))).unwrap();
        let args = [
            format!("--config.file={}/prometheus.yml", folder.path().display()),
            format!("--storage.tsdb.path={}/data", folder.path().display()),
            format!("--web.listen-address={address}"),
        ];
        let process = Process::start("prometheus", program, &args, &[], folder.path());
        let http = Http::new(&format!("http://{address}"));
        until("Prometheus is ready", || async {
            http.try_get("/-/ready").await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
        Self { http, _process: process, _folder: folder }
    }

    /// The result of a query. Its series may be empty.
    async fn query(&self, expr: &str) -> Vec<Value> {
        let body = format!("query={}", utf8_percent_encode(expr, NON_ALPHANUMERIC));
        let request =
            self.http.request("POST", "/api/v1/query").header("content-type", "application/x-www-form-urlencoded");
        let answer: Value =
            serde_json::from_slice(&request.body(body).send().await.unwrap().bytes().await.unwrap()).unwrap();
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The alerts that fire, without the beginning of their names. Their texts are checked.
    async fn firing(&self) -> BTreeSet<String> {
        let answer = self.http.get("/api/v1/alerts").await.expect(200).json();
        let firing = answer["data"]["alerts"].as_array().unwrap().iter().filter(|alert| alert["state"] == "firing");
        let name = |alert: &Value| {
            let texts = alert["annotations"].to_string();
            assert!(!texts.contains("error expanding") && !texts.contains("<no value>"), "{alert}");
            alert["labels"]["alertname"].as_str().unwrap().strip_prefix(PREFIX).unwrap().to_owned()
        };
        firing.map(name).collect()
    }

    /// Waits until exactly these alerts fire, whatever the machine is.
    async fn fires_exactly(&self, wanted: &[&str]) {
        let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let mut fires = BTreeSet::new();
        let started = Instant::now();
        while fires != wanted {
            assert!(started.elapsed() < Duration::from_secs(20), "{fires:?} fire, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            fires = self.firing().await;
            fires.retain(|name| !OF_THE_MACHINE.contains(&&**name));
        }
    }

    /// Waits until all these alerts fire, and perhaps others.
    async fn fires(&self, wanted: &[&str]) {
        let all = || async {
            let firing = self.firing().await;
            wanted.iter().all(|name| firing.contains(*name))
        };
        until_in(Duration::from_secs(30), &format!("{wanted:?} fire"), all).await;
    }

    /// Waits until this alert fires for exactly these instances. Each instance is scraped at a time of its own.
    async fn fires_at(&self, name: &str, instances: &[String]) {
        let expr = format!("ALERTS{{alertname=\"{PREFIX}{name}\",alertstate=\"firing\",region=\"local\"}}");
        let wanted: BTreeSet<&str> = instances.iter().map(|instance| &**instance).collect();
        let all = || async {
            let firing = self.query(&expr).await;
            firing.iter().filter_map(|alert| alert["metric"]["instance"].as_str()).collect::<BTreeSet<_>>() == wanted
        };
        until_in(Duration::from_secs(30), &format!("{name} fires at {instances:?}"), all).await;
    }
}

/// Rules with windows of seconds.
fn shortened(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}for: 2s\n"),
        _ => format!("{line}\n"),
    });
    let rules: String = lines.collect();
    let mut parts = rules.split('[');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |made, part| match part.split_once(']') {
        Some((window, rest)) if window.ends_with(['m', 'h', 'd']) && window.len() < 5 => {
            format!("{made}[{WINDOW}]{rest}")
        }
        _ => format!("{made}[{part}"),
    })
}

/// Pushes and reads until it is told to end, so that every rate has something to show.
async fn traffic(primary: Http, balancer: Http, operator: Operator, ended: Arc<AtomicBool>) -> Operator {
    let accounts: Vec<Account> = (0..5).map(|_| Account::new()).collect();
    for n in 0.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let account = &accounts[n % accounts.len()];
        let iat = now() - 500 + i64::try_from(n / accounts.len()).unwrap();
        // Every other version revokes somebody; the others revoke nobody any more.
        let claims = if n % 2 == 0 { account.claims(iat) } else { account.with_revocation(iat, &account.user()) };
        primary.post(&account.path(), operator.sign(&claims)).await.expect(200);
        balancer.get(&account.path()).await.expect(200);
        // A stale one is rejected.
        primary.post(&account.path(), operator.account(account, 9000)).await.expect(409);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    operator
}

#[tokio::test]
async fn every_panel_has_data_and_the_right_alerts_fire() {
    let Some(ports) = HaProxy::or_skip() else { return };
    let Some(program) = tool_or_skip("prometheus/prometheus", "tests/get-prometheus.sh") else { return };
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (store, wire) = (dir.path().join("store"), Proxy::to_nowhere().await);
    let mut claims = operator.claims(&[], now() - 100);
    claims["exp"] = (now() + YEAR).into();
    let jwt = operator.sign_by_identity_key(&claims);
    let creds = dir.path().join("sys.creds");
    std::fs::write(&creds, operator.system().user_until(now() - 10, now() + YEAR).creds()).unwrap();
    let launch = |at: &str| Launch::default().flag("-operator", &jwt).nats(wire.address(), &creds).at(at);
    let primary = launch(&ports.primary).dir(&store).path("NAS_AUDIT__PATH", &dir.path().join("audit.log"));
    let mut primary = primary.start().await;
    primary.http.post(&operator.system().path(), operator.account(operator.system(), 1000)).await.expect(200);
    let replica = |at: &str, name: &str| launch(at).flag("-primary", &primary.url).dir(&dir.path().join(name)).start();
    let replicas = [replica(&ports.replicas[0], "r1").await, replica(&ports.replicas[1], "r2").await];
    let balancer = HaProxy::start(&ports).await;
    let release = or_newest("2.12.8");
    let nats = |name: &str| NatsLaunch::new(release, &operator).named(name).asks(balancer.url());
    let first = nats("n1").cluster(None).start().await;
    let second = nats("n2").cluster(Some(first.cluster_address())).start().await;
    wire.lead_to(first.address());
    let backup = dir.path().join("backup");
    run(["-dir", store.to_str().unwrap(), "-operator", &jwt, "backup", backup.to_str().unwrap()]).await.expect(0);

    let addresses = [&primary, &replicas[0], &replicas[1]].map(|server| server.host().to_owned());
    let prometheus = Prometheus::start(&program, &addresses).await;
    let expiring = Account::new();
    let mut claims = expiring.claims(now() - 1000);
    claims["exp"] = (now() + 1800).into();
    primary.http.post(&expiring.path(), operator.sign(&claims)).await.expect(200);
    let ended = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn(traffic(primary.http.clone(), balancer.http.clone(), operator, ended.clone()));
    prometheus.fires_exactly(&["AccountsExpireWithinHour", "AccountsExpireWithinDay"]).await;
    panels_have_data(&prometheus).await;

    // A nats-server that no longer answers, and a user whose revocation it does not get.
    ended.store(true, Ordering::Relaxed);
    let operator = traffic.await.unwrap();
    let revoking = Account::new();
    primary.http.post(&revoking.path(), operator.account(&revoking, 10)).await.expect(200);
    second.signal("STOP");
    let revocation = operator.sign(&revoking.with_revocation(now() - 5, &revoking.user()));
    primary.http.post(&revoking.path(), revocation).await.expect(200);
    prometheus.fires(&["NatsServerSilent", "RevocationsOverdue"]).await;
    prometheus.fires_at("NatsServerSilent", &addresses[..1]).await;

    // A primary that is gone.
    primary.kill();
    prometheus.fires(&["Down", "NoPrimary", "FeedLost"]).await;
    prometheus.fires_at("FeedLost", &addresses[1..]).await;
}

/// Waits until every query of the dashboard returns something.
async fn panels_have_data(prometheus: &Prometheus) {
    let queries = dashboard::titled_queries();
    let mut empty: BTreeMap<String, String> = queries.into_iter().map(|(title, query)| (query, title)).collect();
    let started = Instant::now();
    while !empty.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(15), "these panels are empty: {empty:#?}");
        for query in empty.keys().cloned().collect::<Vec<_>>() {
            let expr = query.replace("$__rate_interval", WINDOW).replace("$region", "local").replace("$instance", ".*");
            if !prometheus.query(&expr).await.is_empty() {
                empty.remove(&query);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn windows_are_shortened_and_nothing_else() {
    let rules =
        "      - alert: A\n        expr: rate(a{b=~\"[x]\"}[1h]) > 1\n        for: 10m\n        # wait for: that\n";
    let wanted =
        "      - alert: A\n        expr: rate(a{b=~\"[x]\"}[5s]) > 1\n        for: 2s\n        # wait for: that\n";
    assert_eq!(shortened(rules), wanted);
}
