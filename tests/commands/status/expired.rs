//! What will expire is a warning, and what a server needs and has expired is a reason for an alarm.

use std::path::Path;

use serde_json::json;

use super::{codes, document, status};
use crate::support::{Account, Authority, Launch, Operator, Server, free_address, now, until};

/// The codes of all reasons, and the exit status.
async fn judged(args: &[&str]) -> (Vec<String>, i32) {
    let (document, status) = document(args).await;
    (codes(&document["servers"][0]).into_iter().map(str::to_owned).collect(), status)
}

#[tokio::test]
async fn an_account_that_expires_is_a_warning_before_and_afterwards() {
    let (operator, account) = (Operator::new(), Account::named("app"));
    let primary = Server::primary(&operator).await;
    let mut claims = account.claims(now() - 100);
    claims["exp"] = (now() + 86_400).into();
    primary.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    let ran = status(&[&primary.url]).await.expect(0);
    assert!(ran.stdout.contains("  warning  account_expiry      1 account expires within 3 days: "), "{}", ran.stdout);
    claims["iat"] = now().into();
    claims["exp"] = (now() + 2).into();
    primary.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    until("it has expired", || async {
        let ran = status(&[&primary.url]).await.expect(0);
        ran.stdout.contains("  warning  account_expiry      1 account has expired: renew or delete")
    })
    .await;
    assert_eq!(judged(&[&primary.url]).await, (vec![], 0));
    primary.http.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn an_operator_jwt_degrades_when_it_has_expired_and_not_before() {
    let operator = Operator::new();
    for (exp, expected) in [(now() + 86_400, (vec![], 0)), (now() - 60, (vec!["operator_expiry".to_owned()], 1))] {
        let mut claims = operator.claims(&[], now() - 3600);
        claims["exp"] = exp.into();
        let primary = Launch::default().flag("-operator", operator.sign_by_identity_key(&claims)).start().await;
        assert_eq!(judged(&[&primary.url]).await, expected);
        let (document, _) = document(&[&primary.url]).await;
        assert_eq!(document["servers"][0]["status"]["expires"]["operator"], exp);
    }
}

#[tokio::test]
async fn a_certificate_degrades_when_it_has_expired() {
    let (authority, folder) = (Authority::new("Tests"), tempfile::tempdir().unwrap());
    let file = |name: &str| folder.path().join(name);
    let (cert, key) = (file("server.pem"), file("server.key"));
    let client = || reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    for (year, expected) in [(2090, (vec![], 0)), (2021, (vec!["certificate_expiry".to_owned()], 1))] {
        authority.server_until(year, "accounts.example.com").write(&cert, &key);
        let primary = Launch::primary(&Operator::new()).https(&cert, &key, client()).start().await;
        // The server of the settings is known by its certificate, whatever its name and end are.
        let config = config(&file("nas.conf"), primary.url.rsplit(':').next().unwrap(), &cert, &key);
        assert_eq!(judged(&["-c", &config]).await, expected, "{year}");
        let (document, _) = document(&["-c", &config]).await;
        assert!(document["servers"][0]["status"]["expires"]["certificate"].is_i64(), "{document:#}");
    }
}

#[tokio::test]
async fn a_nats_user_degrades_when_it_has_expired_and_a_lost_connection_at_once() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let creds = folder.path().join("system.creds");
    let nowhere = format!("nats://{}", free_address());
    for (exp, expected) in [(now() + 86_400, &["nats"][..]), (now() - 60, &["nats", "nats_user_expiry"])] {
        let user = operator.system().user_claiming(json!({ "exp": exp }), None);
        std::fs::write(&creds, user.creds()).unwrap();
        let primary = Launch::primary(&operator).nats(&nowhere, &creds).start().await;
        until("the credentials are read", || async {
            document(&[&primary.url]).await.0["servers"][0]["status"]["expires"]["nats_user"] == exp
        })
        .await;
        let expected: Vec<String> = expected.iter().map(|code| (*code).to_owned()).collect();
        assert_eq!(judged(&[&primary.url]).await, (expected, 1), "{exp}");
    }
}

/// Writes the settings of a server with a certificate.
fn config(file: &Path, port: &str, cert: &Path, key: &Path) -> String {
    let text = format!("http {{ host: \"127.0.0.1\", port: {port}, tls {{ cert: {cert:?}, key: {key:?} }} }}");
    std::fs::write(file, text).unwrap();
    file.to_str().unwrap().to_owned()
}
