//! Activations as files, as the Go server kept them.

use std::fs;
use std::path::{Path, PathBuf};

use nats_account_server::jwt::activation_hash_id;

use super::{file, holds};
use crate::support::{Account, Launch, Operator, until};

/// Where the old server kept an activation, and where it is fetched.
pub(crate) fn places(dir: &Path, exporter: &Account, importer: &Account) -> (PathBuf, String) {
    let hash = activation_hash_id(&exporter.key(), &importer.key(), "orders").unwrap();
    (dir.join(format!("{hash}.jwt")), format!("/jwt/v1/activations/{hash}"))
}

#[tokio::test]
async fn the_old_servers_files_are_taken_in_and_written_if_that_is_wanted() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let [exporter, importer, later] = std::array::from_fn(|_| Account::new());
    fs::write(file(dir.path(), &exporter), operator.account(&exporter, 100)).unwrap();
    let (path, route) = places(dir.path(), &exporter, &importer);
    let token = exporter.activation(&importer, "orders", 50);
    fs::write(&path, &token).unwrap();
    let launch = || Launch::primary(&operator).dir(dir.path());
    let mut server = launch().start().await;
    assert_eq!(server.http.get(&route).await.expect(200).body, token);
    // Edited, while the server runs.
    let newer = exporter.activation(&importer, "orders", 20);
    fs::write(&path, &newer).unwrap();
    until("it is taken in", || async { server.http.get(&route).await.body == newer }).await;
    // A push is not written, unless that is wanted.
    server.http.post("/jwt/v1/activations", exporter.activation(&later, "orders", 20)).await.expect(200);
    server.signal("TERM");
    assert!(server.exit().await.success());
    let (path, _) = places(dir.path(), &exporter, &later);
    assert!(!path.exists());
    let server = launch().env("NAS_STORE__ACTIVATION_FILES", "true").start().await;
    let token = exporter.activation(&later, "orders", 10);
    server.http.post("/jwt/v1/activations", token.clone()).await.expect(200);
    holds(&path, &token).await;
}
