//! `POST /api/v1/check`: its verdict is that of a push, and its effects are what nats-servers would make of it.

mod bodies;
mod effects;
mod verdicts;

use serde_json::Value;

use crate::support::openapi::Document;
use crate::support::{Http, Reply};

const ROUTE: &str = "/api/v1/check";

/// The report about a body.
async fn check(http: &Http, body: impl Into<reqwest::Body>) -> Value {
    http.post(ROUTE, body).await.expect(200).json()
}

/// The decision about the order, if there is one.
fn decision(report: &Value) -> &str {
    report["order"]["decision"].as_str().unwrap_or_default()
}

/// Lines as a report has them.
fn lines(reply: &Reply) -> Vec<String> {
    reply.body.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Fails the test unless a report is as the OpenAPI document says.
async fn fits_its_schema(http: &Http, report: &Value) {
    let document = Document::of(http).await;
    let responses = &document.0["paths"]["/check"]["post"]["responses"];
    let schema = &responses["200"]["content"]["application/json"]["schema"];
    assert_eq!(document.faults(schema, report, "check"), Vec::<String>::new(), "{report}");
}
