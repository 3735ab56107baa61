//! The alerts: what each says, that each is tested, and that no missing series hides one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use yaml_rust2::Yaml;

use crate::names::{family, metrics_in};
use crate::yaml::{items, parse, text};
use crate::{shipped, text_of, tool_or_skip};

const RULES: &str = "deploy/prometheus/rules.yml";
const TESTS: &str = "deploy/prometheus/rules_test.yml";

/// An alert of the rules.
struct Alert {
    name: String,
    expr: String,
    severity: String,
    summary: String,
    description: String,
    runbook: String,
}

fn alerts() -> Vec<Alert> {
    let rules = parse(RULES, &text_of(RULES));
    let alert = |rule: &Yaml| Alert {
        name: text(&rule["alert"]),
        expr: text(&rule["expr"]),
        severity: text(&rule["labels"]["severity"]),
        summary: text(&rule["annotations"]["summary"]),
        description: text(&rule["annotations"]["description"]),
        runbook: text(&rule["annotations"]["runbook"]),
    };
    items(&rules["groups"]).iter().flat_map(|group| items(&group["rules"])).map(alert).collect()
}

/// The expressions of all alerts, with their names.
pub(crate) fn expressions() -> Vec<(String, String)> {
    alerts().into_iter().map(|alert| (alert.name, alert.expr)).collect()
}

/// The anchors of a page's headings, as forges make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(slug).collect()
}

#[test]
fn every_alert_says_what_to_do() {
    let (alerts, runbook) = (alerts(), text_of("docs/runbook.md"));
    let (sections, mut names) = (anchors(&runbook), BTreeSet::new());
    assert!(alerts.len() > 40);
    for Alert { name, severity, summary, description, runbook: link, .. } in &alerts {
        assert!(names.insert(name), "{name} is there twice");
        assert!(["critical", "warning"].contains(&&**severity), "{name}: {severity}");
        assert!(!summary.is_empty() && !summary.ends_with('.'), "{name}: {summary}");
        assert!(description.ends_with('.') && description.len() > 60, "{name}: {description}");
        let section = link.strip_prefix("docs/runbook.md#").unwrap_or_else(|| panic!("{name}: {link}"));
        assert!(sections.contains(section), "{name}: the runbook has no section {section}");
        // The section's list of its alerts, so that a search for the name finds it.
        let short = format!("`{}`", name.strip_prefix("NatsAccountServer").unwrap());
        let place = runbook.split("\n#").find(|part| anchors(&format!("#{part}")).contains(section)).unwrap();
        assert!(section == "the-primary-was-set-back" || place.contains(&short), "{section} does not list {short}");
        assert!(runbook.contains(&short), "the runbook does not mention {short}");
    }
    let linked = runbook.matches("deploy/prometheus/rules.yml").count();
    assert!(linked > 0, "the runbook links the rules");
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_stays_silent() {
    let tests = parse(TESTS, &text_of(TESTS));
    let mut outcomes = BTreeMap::<String, [usize; 2]>::new();
    for test in items(&tests["tests"]) {
        let name = text(&test["name"]);
        for expectation in items(&test["promql_expr_test"]) {
            let expr = text(&expectation["expr"]);
            let alert = expr.split('"').nth(1).unwrap_or_else(|| panic!("{name}: {expr}"));
            let wanted = format!("count by (instance) (ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})");
            assert_eq!(expr, wanted, "{name}");
            let fires = !items(&expectation["exp_samples"]).is_empty();
            assert_eq!(name, format!("{alert} {}", if fires { "fires" } else { "stays silent" }));
            outcomes.entry(alert.to_owned()).or_default()[usize::from(fires)] += 1;
        }
    }
    for Alert { name, .. } in alerts() {
        assert_eq!(
            outcomes.remove(&name),
            Some([1, 1]),
            "{name}: a test in which it stays silent, one in which it fires"
        );
    }
    assert_eq!(outcomes, BTreeMap::new(), "tests of alerts that are not there");
}

/// Metrics that are missing where something is not configured or never expires. Then there is nothing to alert of.
const MAY_BE_MISSING: &[&str] = &[
    "audit_broken_total",
    "audit_failing",
    "audit_lost_total",
    "folder_failures_total",
    "folder_pending",
    "journal_bytes",
    "nats_user_expiry_timestamp_seconds",
    "operator_expiry_timestamp_seconds",
    "process_max_fds",
    "sign_requests_total",
    "tls_certificate_expiry_timestamp_seconds",
];

#[test]
fn no_missing_series_hides_an_alert() {
    let alerts = alerts();
    let families = |expr: &str| metrics_in(expr).iter().map(|name| family(name).to_owned()).collect::<BTreeSet<_>>();
    let mut missed = BTreeSet::new();
    for Alert { expr, .. } in &alerts {
        for marker in ["unless on (job, instance) ", "absent("] {
            // The one metric that follows.
            let metrics = expr.split(marker).skip(1).filter_map(|part| part.split(['{', ')', '\n']).next());
            missed.extend(metrics.flat_map(families));
        }
    }
    let excepted: BTreeSet<String> = MAY_BE_MISSING.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(missed.intersection(&excepted).collect::<Vec<_>>(), Vec::<&String>::new());
    for Alert { name, expr, .. } in &alerts {
        for metric in families(expr) {
            assert!(missed.contains(&metric) || excepted.contains(&metric), "{name}: nobody would miss {metric}");
        }
    }
}

#[test]
fn promtool_accepts_the_rules_their_tests_and_the_configuration() {
    let mut found = Vec::new();
    files(&shipped("deploy"), &mut found);
    found.retain(|name| name.starts_with("rules") && name.ends_with(".yml"));
    found.sort_unstable();
    assert_eq!(found, ["rules.yml", "rules_test.yml"]);
    let Some(promtool) = tool_or_skip("prometheus/promtool", "tests/get-prometheus.sh") else { return };
    for arguments in
        [["check", "rules", "rules.yml"], ["check", "config", "prometheus.yml"], ["test", "rules", "rules_test.yml"]]
    {
        let ran = Command::new(&promtool).args(arguments).current_dir(shipped("deploy/prometheus")).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "promtool {arguments:?}: {said}");
    }
}

fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
}
