//! The OpenAPI document against the server: schemathesis makes requests from it, good and bad ones, and compares the answers.
//!
//! It is skipped if schemathesis is not there: `tests/get-schemathesis.sh` gets it.

use std::path::Path;
use std::process::Command;

use crate::support::{Account, Launch, Operator, now};

/// Requests of each kind for each route: about 30 s in all.
const EXAMPLES: &str = "50";

#[tokio::test]
async fn no_request_that_the_document_allows_or_forbids_is_answered_otherwise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join(".tools/schemathesis/bin/schemathesis");
    if !program.exists() {
        println!("skipped: {} is missing: run tests/get-schemathesis.sh", program.display());
        return;
    }
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let log = dir.path().join("audit.log");
    let server = Launch::primary(&operator)
        .dir(&dir.path().join("store"))
        .env("NAS_AUDIT__PATH", log.to_str().unwrap())
        .start()
        .await;
    let (account, importer) = (Account::named("app"), Account::named("shop"));
    for connections in [100, 50] {
        let claims = account.with_connections(now() - connections, connections);
        server.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    }
    server.http.post(&importer.path(), operator.account(&importer, 10)).await.expect(200);
    server.http.post("/jwt/v1/activations", account.activation(&importer, "a.b", 10)).await.expect(200);
    let mut command = Command::new(program);
    command
        .arg("--config-file")
        .arg(root.join("tests/http/schemathesis.toml"))
        .arg("--no-color")
        .args(["run", "--checks", "all", "--phases", "coverage,fuzzing,stateful", "--max-examples", EXAMPLES])
        .arg(format!("{}/api/v1/openapi.json", server.url))
        .current_dir(dir.path());
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    // A run that tested nothing would prove nothing. The document itself is not among what it tests.
    assert!(said.contains("Tested: 12"), "{said}");
}
