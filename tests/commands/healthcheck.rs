//! `healthcheck`, as the health check of a container calls it.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::command::{Ran, run};
use crate::support::{Answer, Authority, FakePrimary, Launch, Operator, Server, free_address};

async fn check(args: &[&str]) -> Ran {
    run(["healthcheck"].iter().chain(args)).await
}

#[tokio::test]
async fn a_server_that_answers_is_healthy() {
    let primary = Server::primary(&Operator::new()).await;
    for (args, path) in [(vec![&*primary.url], "healthz"), (vec!["--ready", &primary.url], "readyz")] {
        let ran = check(&args).await.expect(0);
        let start = format!("{}/{path} answers 200 after ", primary.url);
        assert!(ran.stdout.starts_with(&start) && ran.stdout.lines().count() == 1, "{}", ran.stdout);
    }
}

/// It lives, but has nothing to serve: a restart would not help.
#[tokio::test]
async fn a_replica_without_its_primary_is_healthy_and_not_ready() {
    let nowhere = format!("http://{}", free_address());
    let replica = Launch::replica(&Operator::new(), &nowhere).start_unready().await;
    check(&[&replica.url]).await.expect(0);
    let ran = check(&["--ready", &replica.url]).await.expect(1);
    assert!(ran.stderr.contains("/readyz: 503") && ran.stderr.contains("not ready"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[tokio::test]
async fn silence_and_absence_are_not_healthy() {
    let silent = FakePrimary::new(|_| Answer::new(200, "").after(Duration::from_secs(60))).await;
    let began = Instant::now();
    let ran = check(&["--timeout", "300ms", &silent.url]).await.expect(1);
    assert!(began.elapsed() < Duration::from_secs(20) && !ran.stderr.is_empty(), "{}", ran.stderr);
    let ran = check(&[&format!("http://{}", free_address())]).await.expect(1);
    assert!(ran.stderr.contains("refused"), "{}", ran.stderr);
    check(&["--timeout", "soon", &silent.url]).await.expect(2);
}

#[tokio::test]
async fn the_address_comes_from_the_settings() {
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    let _primary = Launch::primary(&Operator::new()).at(&address).start().await;
    check(&["-hp", &format!("0.0.0.0:{port}")]).await.expect(0);
    let ran = check(&["-hp", "127.0.0.1:0"]).await.expect(1);
    assert!(ran.stderr.contains("give the server's URL"), "{}", ran.stderr);
}

/// The certificate is for a name that the loopback does not have, of an authority that nobody knows, and it has expired.
#[tokio::test]
async fn a_server_is_known_by_its_own_certificate() {
    let (authority, folder) = (Authority::new("Tests"), tempfile::tempdir().unwrap());
    let file = |name: &str| folder.path().join(name);
    let (cert, key, config) = (file("server.pem"), file("server.key"), file("nas.conf"));
    let pair = authority.server_until(2021, "accounts.example.com");
    pair.write(&cert, &key);
    let address = free_address();
    let tls = |cert: &Path, key: &Path| {
        format!(
            "http {{ host: \"127.0.0.1\", port: {}, tls {{ cert: {cert:?}, key: {key:?} }} }}",
            address.rsplit(':').next().unwrap()
        )
    };
    std::fs::write(&config, tls(&cert, &key)).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    let launch = Launch::primary(&Operator::new()).https(&cert, &key, client).at(&address);
    let _server = launch.start().await;
    let config_flag = config.to_str().unwrap();
    let ran = check(&["-c", config_flag]).await.expect(0);
    assert!(ran.stdout.starts_with(&format!("https://{address}/healthz")), "{}", ran.stdout);

    let (other_cert, other_key) = (file("other.pem"), file("other.key"));
    authority.server().write(&other_cert, &other_key);
    std::fs::write(&config, tls(&other_cert, &other_key)).unwrap();
    let ran = check(&["-c", config_flag]).await.expect(1);
    assert!(ran.stderr.contains("certificate"), "{}", ran.stderr);
}
