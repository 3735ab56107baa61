//! The names of metrics in alerts, the dashboard and the pages are those of the program.

use std::collections::BTreeSet;

use crate::{dashboard, text_of};

const PREFIX: &str = "nats_account_server_";

/// The metrics that a PromQL expression names, ours without their prefix.
pub(crate) fn metrics_in(expr: &str) -> BTreeSet<String> {
    let mut words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let mut found = BTreeSet::new();
    words.by_ref().for_each(|word| {
        if let Some(name) = word.strip_prefix(PREFIX) {
            found.insert(name.to_owned());
        } else if word.starts_with("process_") {
            found.insert(word.to_owned());
        }
    });
    found
}

/// The metric to which a series of a histogram belongs; others belong to themselves.
pub(crate) fn family(name: &str) -> &str {
    for suffix in ["_bucket", "_count", "_sum"] {
        if let Some(family) =
            name.strip_suffix(suffix).filter(|family| family.ends_with("_seconds") || family.ends_with("_size"))
        {
            return family;
        }
    }
    name
}

/// The metrics of the page, which another test compares with the program.
fn documented() -> BTreeSet<String> {
    let page = text_of("docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let mut names = BTreeSet::new();
    for row in rows {
        let first = row.split('|').nth(1).unwrap();
        names.extend(first.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    names
}

#[test]
fn every_metric_in_alerts_and_the_dashboard_is_documented() {
    let known = documented();
    assert!(known.contains("in_force_duration_seconds") && known.len() > 60, "{known:?}");
    for (place, text) in
        [("rules.yml", text_of("deploy/prometheus/rules.yml")), ("dashboard.json", dashboard::queries().join("\n"))]
    {
        for name in metrics_in(&text) {
            let name = family(&name);
            assert!(known.contains(name) || name.starts_with("process_"), "{place}: there is no {name}");
        }
    }
}

#[test]
fn the_series_of_a_histogram_belong_to_it() {
    let found = metrics_in(
        "sum(rate(nats_account_server_a_seconds_bucket{le=\"1\"}[5m])) / nats_account_server_b + process_open_fds",
    );
    assert_eq!(found.iter().map(|name| family(name)).collect::<Vec<_>>(), ["a_seconds", "b", "process_open_fds"]);
    assert_eq!(family("announce_count"), "announce_count");
}
