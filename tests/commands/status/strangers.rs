//! What answers and is no account server, or one of earlier kinds.

use super::{codes, document, status};
use crate::support::{Answer, FakePrimary, NatsLaunch, Operator, Server, free_address};

#[tokio::test]
async fn what_is_no_account_server_is_called_what_it_is() {
    let mark = |answer: Answer| answer.header("nas-server", "nats-account-server-1");
    let page = FakePrimary::stranger(|_| Answer::new(200, "<!doctype html>").header("content-type", "text/html")).await;
    let other = FakePrimary::stranger(|_| Answer::new(404, "not found").header("server", "thing/1")).await;
    let down = FakePrimary::stranger(|_| Answer::new(503, "no server is available")).await;
    let tls = FakePrimary::stranger(|_| Answer::new(400, "Client sent an HTTP request to an HTTPS server.")).await;
    let go = FakePrimary::new(|_| Answer::new(404, "404 page not found")).await;
    let before_the_api = FakePrimary::new(move |_| mark(Answer::new(404, "no such route"))).await;
    let odd = FakePrimary::new(move |_| mark(Answer::new(200, "{\"role\":\"queen\"}"))).await;
    let nats = NatsLaunch::bare("2.12.8").with("http: \"127.0.0.1:-1\"").start().await;
    let monitoring = format!("http://{}", nats.monitoring());
    for (url, code, said) in [
        (&*page.url, "foreign", "GET /api/v1/status gave 200 OK; it is a web page"),
        (&other.url, "foreign", "gave 404 Not Found with `Server: thing/1`"),
        (&down.url, "foreign", "gave 503 Service Unavailable"),
        (&tls.url, "foreign", "it speaks HTTPS: write https://"),
        (&monitoring, "foreign", "it is the monitoring port of a nats-server"),
        (&odd.url, "foreign", "its status cannot be read: unknown variant"),
        (&go.url, "too_old", "without /api/v1/status: upgrade it"),
        (&before_the_api.url, "too_old", "without /api/v1/status: upgrade it"),
    ] {
        let (document, status) = document(&[url]).await;
        let server = &document["servers"][0];
        assert_eq!((&server["state"], codes(server), status), (&"foreign".into(), vec![code], 2), "{server:#}");
        assert!(server["reasons"][0]["detail"].as_str().unwrap().contains(said), "{server:#}");
        assert!(server.get("status").is_none(), "{server:#}");
    }
    let ran = status(&[&page.url]).await.expect(2);
    let line = format!("{}  foreign: it answers, but it is not an account server: GET ", page.url);
    assert!(ran.stdout.starts_with(&line), "{}", ran.stdout);
}

#[tokio::test]
async fn the_worst_server_decides_and_no_password_is_shown() {
    let primary = Server::primary(&Operator::new()).await;
    let with_password = |url: &str| url.replace("http://", "http://nas:topsecret@");
    let nowhere = format!("http://{}", free_address());
    for (urls, expected) in [
        (vec![with_password(&primary.url)], 0),
        (vec![with_password(&primary.url), with_password(&nowhere)], 2),
        (vec!["ftp://nas:topsecret@localhost".to_owned()], 2),
        (vec!["http://nas:topsecret@".to_owned()], 2),
    ] {
        let args: Vec<&str> = urls.iter().map(String::as_str).collect();
        for ran in [status(&args).await, status(&[&["--json"], &*args].concat()).await] {
            let ran = ran.expect(expected);
            assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("topsecret"), "{}{}", ran.stdout, ran.stderr);
        }
    }
    let (document, _) = document(&[&primary.url, &nowhere]).await;
    assert_eq!(document["state"], "unreachable");
    assert_eq!(document["servers"][0]["state"], "well");
}

#[tokio::test]
async fn without_a_url_it_is_the_server_of_the_settings() {
    let primary = Server::primary(&Operator::new()).await;
    let port = primary.url.rsplit(':').next().unwrap();
    let ran = status(&["-hp", &format!("0.0.0.0:{port}")]).await.expect(0);
    assert!(ran.stdout.starts_with(&format!("{}  primary ", primary.url)), "{}", ran.stdout);
    for (args, said) in [
        (&["-hp", "127.0.0.1:0"][..], "give the server's URL"),
        (&["-c", "/no/such/file"], "/no/such/file"),
        (&["--timeout", "0"], "a time from 100ms to 1h is expected"),
        (&["--watch=2h"], "a time from 100ms to 1h is expected"),
    ] {
        let ran = status(args).await.expect(2);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}
