//! Imports that a nats-server does not have in effect.

use serde_json::{Value, json};

use crate::cluster::{Cluster, of_server};
use crate::support::login::login;
use crate::support::{Account, until};

/// What `/api/v1/servers` lists as missing of an account; empty if nothing is.
fn missing(standing: &Value, account: &Account) -> Vec<String> {
    let mut incomplete = standing["incomplete"].as_array().into_iter().flatten();
    let Some(listed) = incomplete.find(|one| one["account"] == account.key()) else { return Vec::new() };
    let missing = listed["missing_imports"].as_array().unwrap().iter();
    missing.map(|import| import.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_account_whose_exporter_is_unknown_is_incomplete_until_the_exporter_can_be_fetched() {
    let cluster = Cluster::one().await;
    let (exporter, importer) = (Account::named("E"), Account::named("I"));
    let import = |kind: &str, subject: &str| {
        json!({
            "name": subject, "subject": subject, "account": exporter.key(), "type": kind,
            "local_subject": format!("from.{subject}")
        })
    };
    let imports = json!([import("stream", "news"), import("service", "help")]);
    let exports = json!([
        { "name": "news", "subject": "news", "type": "stream" }, { "name": "help", "subject": "help", "type": "service" }
    ]);
    let push = async |account: &Account, exports: &Value, imports: &Value| {
        let jwt = cluster.operator.sign(&account.with_shares(cluster.next_iat(), exports.clone(), imports.clone()));
        cluster.primary.http.post(&account.path(), jwt).await.expect(200);
    };
    push(&importer, &json!([]), &imports).await;
    let _session = login(cluster.nats[0].address(), &importer.user()).await.unwrap();
    let unknown = [
        format!("stream news from {}: the exporter was not found", exporter.key()),
        format!("service help from {}: the exporter was not found", exporter.key()),
    ];
    until("a sweep finds it", || async { missing(&cluster.standing("n1").await, &importer) == unknown }).await;
    let page = cluster.page(&importer).await;
    let there = of_server(&page, "n1").unwrap();
    assert_eq!((&there["outcome"], &there["missing_imports"]), (&"incomplete".into(), &json!(unknown)), "{page}");
    assert_eq!(page["complete"], false);
    assert_eq!(cluster.standing("n1").await["accounts_behind"], 0);

    // The exporter comes, and nobody uses it or asks about it.
    push(&exporter, &exports, &json!([])).await;
    until("nothing is missing", || async { missing(&cluster.standing("n1").await, &importer).is_empty() }).await;
    assert_eq!(cluster.complete(&importer).await["servers"][0]["outcome"], "updated");
    let repaired = cluster.primary.http.metric("repairs_total", "outcome=\"announced\",reason=\"imports\"").await;
    assert!(repaired >= 1.0);

    // An export is taken back.
    push(&exporter, &json!([exports[0]]), &json!([])).await;
    until("it is found missing", || async { cluster.page(&importer).await["complete"] == false }).await;
    let listed = missing(&cluster.standing("n1").await, &importer);
    assert!(
        listed.len() == 1 && listed[0].starts_with(&format!("service help from {}: ", exporter.key())),
        "{listed:?}"
    );
    push(&exporter, &exports, &json!([])).await;
    cluster.complete(&importer).await;
}
