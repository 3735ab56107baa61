//! The dashboard and its provisioning, as far as they can be judged without Grafana.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::names::{family, metrics_in};
use crate::text_of;
use crate::yaml::{items, parse, text};

const DASHBOARD: &str = "deploy/grafana/dashboard.json";
/// Variables that Grafana sets.
const OF_GRAFANA: [&str; 1] = ["__rate_interval"];

fn read() -> Value {
    serde_json::from_str(&text_of(DASHBOARD)).unwrap_or_else(|error| panic!("{DASHBOARD}: {error}"))
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect()
}

/// The queries of a panel.
fn queries_of(panel: &Value) -> Vec<String> {
    panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// All queries, with the panels that they belong to.
pub(crate) fn titled_queries() -> Vec<(String, String)> {
    let dashboard = read();
    let of = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        queries_of(panel).into_iter().map(move |query| (title.clone(), query)).collect::<Vec<_>>()
    };
    panels(&dashboard).into_iter().flat_map(of).collect()
}

/// The variables in a query: `$name` and `${name}`.
fn variables(text: &str) -> Vec<String> {
    let word = |rest: &str| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    text.split('$').skip(1).map(word).collect()
}

#[test]
fn the_dashboard_has_its_rows_variables_and_queries() {
    let dashboard = read();
    let all = dashboard["panels"].as_array().unwrap();
    let rows: Vec<&str> =
        all.iter().filter(|panel| panel["type"] == "row").map(|row| row["title"].as_str().unwrap()).collect();
    assert_eq!(rows, ["Fleet", "Delivery", "Pushes", "Replicas", "Expiry", "Resources"]);
    let list = dashboard["templating"]["list"].as_array().unwrap();
    let known: BTreeSet<&str> =
        list.iter().map(|variable| variable["name"].as_str().unwrap()).chain(OF_GRAFANA).collect();
    assert!(known.is_superset(&BTreeSet::from(["region", "instance"])), "{known:?}");
    let (mut ids, mut metrics, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in all {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is there twice");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is too wide");
        for cell in (place("x")..place("x") + place("w"))
            .flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert(cell), "{title} lies on another panel");
        }
    }
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(["stat", "timeseries", "table"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title} has no description");
        let queries = queries_of(panel);
        assert!(!queries.is_empty(), "{title} has no query");
        let refs: BTreeSet<&str> =
            panel["targets"].as_array().unwrap().iter().map(|t| t["refId"].as_str().unwrap()).collect();
        assert_eq!(refs.len(), queries.len(), "{title}");
        for query in queries {
            let used = variables(&query);
            assert!(used.iter().all(|name| known.contains(&**name)), "{title}: {used:?}");
            assert!(query.contains("ALERTS") || used.iter().any(|name| name == "region"), "{title}: {query}");
            metrics.extend(metrics_in(&query).iter().map(|name| family(name).to_owned()));
        }
    }
    assert!(metrics.len() >= 50, "{}: {metrics:?}", metrics.len());
}

#[test]
fn everything_asks_the_provisioned_data_source() {
    let (dashboard, sources) = (read(), "deploy/grafana/provisioning/datasources/prometheus.yml");
    let provisioned = parse(sources, &text_of(sources));
    let [source] = items(&provisioned["datasources"]) else { panic!("one data source") };
    assert_eq!(text(&source["type"]), "prometheus");
    let compose = parse("docker-compose.yml", &text_of("docker-compose.yml"));
    let host = text(&source["url"]).trim_start_matches("http://").split(':').next().unwrap().to_owned();
    assert!(!compose["services"][host.as_str()].is_badvalue(), "{host} is no service");
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!((&variable["name"], &variable["type"]), (&"datasource".into(), &"datasource".into()));
    assert_eq!(variable["current"]["value"], text(&source["uid"]).as_str());
    let mut uids = Vec::new();
    collect(&dashboard, "datasource", &mut uids);
    assert!(uids.len() > 60 && uids.iter().all(|source| source["uid"] == "${datasource}"), "{uids:?}");
    // Where the compose file puts the dashboard is where Grafana looks for it.
    let providers = "deploy/grafana/provisioning/dashboards/nats-account-server.yml";
    let folder = text(&items(&parse(providers, &text_of(providers))["providers"])[0]["options"]["path"]);
    let volumes: Vec<String> = items(&compose["services"]["grafana"]["volumes"]).iter().map(text).collect();
    assert!(volumes.iter().any(|volume| volume.starts_with(&format!("./{DASHBOARD}:{folder}/"))), "{volumes:?}");
    assert!(volumes.contains(&"./deploy/grafana/provisioning:/etc/grafana/provisioning:ro".to_owned()));
}

/// Every object with this name.
fn collect<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            if key == name && value.is_object() {
                found.push(value);
            } else {
                collect(value, name, found);
            }
        }),
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        _ => {}
    }
}
