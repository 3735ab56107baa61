//! The metrics, labels and label values in alerts and on the dashboard are those of the program.

use std::collections::{BTreeMap, BTreeSet};

use nats_account_server::metrics::{Declared, Metrics, Part, Profile, Role};

use crate::{alerts, dashboard};

const PREFIX: &str = "nats_account_server_";
/// Labels of every series: those of the target, and the bound of a bucket.
const OF_ALL: [&str; 4] = ["instance", "job", "region", "le"];

/// The metrics that a PromQL expression names, ours without their prefix.
pub(crate) fn metrics_in(expr: &str) -> BTreeSet<String> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let name = |word: &str| match word.strip_prefix(PREFIX) {
        Some(name) => Some(name.to_owned()),
        None => word.starts_with("process_").then(|| word.to_owned()),
    };
    words.filter_map(name).collect()
}

/// The metric to which a series of a histogram belongs; others belong to themselves.
pub(crate) fn family(name: &str) -> &str {
    for suffix in ["_bucket", "_count", "_sum"] {
        let family = name.strip_suffix(suffix);
        if let Some(family) = family.filter(|family| family.ends_with("_seconds") || family.ends_with("_size")) {
            return family;
        }
    }
    name
}

/// What a selector demands of a label: its name, and the values that it names. A pattern names none.
type Demand<'a> = (&'a str, Vec<&'a str>);

/// Each of our metrics in an expression, with what its selector demands.
fn selectors(expr: &str) -> Vec<(&str, Vec<Demand<'_>>)> {
    let of = |rest: &'_ str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let mut found = Vec::new();
    for rest in expr.split(PREFIX).skip(1) {
        let (name, rest) = rest.split_at(of(rest));
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let mut demands = Vec::new();
        // Name, operator and value take turns with the quotes.
        let parts: Vec<&str> = inside.split('"').collect();
        for pair in parts.chunks_exact(2) {
            let label = pair[0].trim_start_matches(',').trim_end_matches(['=', '~', '!']);
            let words = pair[1].split('|').filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
            demands.push((label, words.collect()));
        }
        found.push((name, demands));
    }
    found
}

/// Every metric that a server of any role may have.
fn declared() -> BTreeMap<String, Vec<Declared>> {
    let every = [Part::Nats, Part::Signing, Part::Folder, Part::Audit, Part::Cache];
    let mut known = BTreeMap::<String, Vec<Declared>>::new();
    for role in [Role::Primary, Role::Replica] {
        for metric in Metrics::new(Profile::new(role, every.to_vec())).unwrap().declared() {
            let name = metric.name.strip_prefix(PREFIX).unwrap_or(&metric.name).to_owned();
            known.entry(name).or_default().push(metric.clone());
        }
    }
    known
}

/// The values that a label of a metric has from the start, on either role. Empty: they appear as they come.
fn values<'a>(metrics: &'a [Declared], label: &str) -> BTreeSet<&'a str> {
    let of = |metric: &'a Declared| {
        let at = metric.labels.iter().position(|name| name == label);
        metric.values.iter().filter_map(move |values| values.get(at?).copied())
    };
    metrics.iter().flat_map(of).collect()
}

#[test]
fn alerts_and_the_dashboard_ask_for_metrics_and_labels_that_the_program_has() {
    let known = declared();
    let mut queries = dashboard::titled_queries();
    queries.extend(alerts::expressions());
    for (place, query) in queries {
        for (name, demands) in selectors(&query) {
            let metrics = known.get(family(name)).unwrap_or_else(|| panic!("{place}: there is no {name}"));
            assert_eq!(family(name) != name, metrics[0].kind == "histogram", "{place}: {name}");
            for (label, wanted) in demands.into_iter().filter(|(label, _)| !OF_ALL.contains(label)) {
                assert!(metrics[0].labels.iter().any(|name| name == label), "{place}: {name} has no label {label}");
                let values = values(metrics, label);
                for value in wanted.into_iter().filter(|_| !values.is_empty()) {
                    assert!(values.contains(value), "{place}: {label} of {name} is never {value}");
                }
            }
        }
    }
}

#[test]
fn expressions_are_read_as_prometheus_reads_them() {
    let expr = "sum(rate(nats_account_server_a_seconds_bucket{b=~\"c|d.*\",le=\"1\"}[5m])) / nats_account_server_b > process_open_fds";
    assert_eq!(
        metrics_in(expr).iter().map(|name| family(name)).collect::<Vec<_>>(),
        ["a_seconds", "b", "process_open_fds"]
    );
    assert_eq!(selectors(expr), [("a_seconds_bucket", vec![("b", vec!["c"]), ("le", vec!["1"])]), ("b", vec![])]);
    assert_eq!(family("announce_count"), "announce_count");
}
