//! Every route answers what the OpenAPI document says.

use std::collections::BTreeSet;

use serde_json::json;

use super::get;
use crate::support::openapi::Document;
use crate::support::{Account, Launch, Operator, Server, now};

#[tokio::test]
async fn every_route_answers_as_its_schema_says() {
    let operator = Operator::new();
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::primary(&operator).path("NAS_AUDIT__PATH", &dir.path().join("audit.log"));
    let server = launch.start().await;
    let (account, gone, importer) = (Account::named("app"), Account::new(), Account::new());
    for connections in [100, 50] {
        let claims = account.with_connections(now() - connections, connections);
        server.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    }
    server.http.post(&gone.path(), operator.account(&gone, 100)).await.expect(200);
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 1)).await.expect(200);
    server.http.post("/jwt/v1/activations", account.activation(&importer, "a.b", 10)).await.expect(200);
    let replica = Server::replica(&operator, &server.url).await;
    let document = Document::of(&server.http).await;
    assert_eq!((&document.0["openapi"], &document.0["servers"]), (&"3.1.0".into(), &json!([{ "url": "/api/v1" }])));
    let key = account.key();
    let mut described: BTreeSet<&str> = document.0["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    // It is posted to, and has tests of its own.
    assert!(described.remove("/check"));
    let mut serial = 0;
    for (route, path) in [
        ("/accounts", "accounts?state=live,deleted&limit=1".to_owned()),
        ("/accounts", "accounts?state=live,deleted".to_owned()),
        ("/accounts/{key}", format!("accounts/{key}")),
        ("/accounts/{key}", format!("accounts/{}", gone.key())),
        ("/accounts/{key}/versions", format!("accounts/{key}/versions?limit=1")),
        ("/accounts/{key}/versions/{serial}", format!("accounts/{key}/versions/SERIAL")),
        ("/accounts/{key}/diff", format!("accounts/{key}/diff")),
        ("/activations", format!("activations?account={key}")),
        ("/operator", "operator".to_owned()),
        ("/replicas", "replicas".to_owned()),
        ("/servers", "servers".to_owned()),
        ("/status", "status".to_owned()),
        ("/audit", "audit?limit=1".to_owned()),
        ("/audit", "audit?outcome=committed".to_owned()),
        ("/openapi.json", "openapi.json".to_owned()),
    ] {
        described.remove(route);
        let path = path.replace("SERIAL", &serial.to_string());
        let answer = get(&server.http, &path).await;
        document.check(route, &answer);
        if let Some(newest) = answer["versions"][0]["serial"].as_u64() {
            serial = newest;
        }
        // Each problem is described as well, and each unknown parameter is one.
        let problem = &document.0["paths"][route]["get"]["responses"]["default"]["content"];
        let schema = &problem["application/problem+json"]["schema"];
        let separator = if path.contains('?') { '&' } else { '?' };
        let bad = server.http.get(&format!("/api/v1/{path}{separator}unknown=1")).await.expect(400).json();
        assert_eq!(document.faults(schema, &bad, route), Vec::<String>::new(), "{bad}");
        // HEAD is GET without its body, and a tag is what the document says.
        let (get, head) = (format!("/api/v1/{path}"), server.http.send("HEAD", &format!("/api/v1/{path}"), &[]).await);
        assert_eq!((head.status, &*head.body), (200, ""), "{get}");
        let has_tag = document.0["paths"][route]["get"]["responses"].get("304").is_some();
        assert_eq!(!head.header("etag").is_empty(), has_tag, "{get}");
        assert_eq!(head.header("cache-control"), if has_tag { "no-cache" } else { "no-store" }, "{get}");
    }
    assert_eq!(described, BTreeSet::new(), "routes that are described and were not asked for");
    let schema = json!({ "$ref": "#/components/schemas/ServerStatus" });
    let status = get(&replica.http, "status").await;
    assert_eq!(document.faults(&schema, &status, "status"), Vec::<String>::new(), "{status}");
    // A checker that finds nothing would prove nothing.
    let mut wrong = status;
    wrong["role"] = 7.into();
    wrong["extra"] = true.into();
    wrong.as_object_mut().unwrap().remove("checks");
    assert_eq!(document.faults(&schema, &wrong, "status").len(), 3);
}
