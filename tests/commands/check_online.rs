//! `check --url`: what a server would make of a JWT, for people and for scripts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::command::{Ran, run};
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Server, free_address, now};

/// Writes files into a folder and checks them at a server.
async fn check(url: &str, folder: &Path, files: &[(&str, String)], more: &[&str]) -> Ran {
    let mut args = vec!["check".to_owned(), "--url".to_owned(), url.to_owned()];
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
        args.push(folder.join(name).display().to_string());
    }
    run(args).await
}

#[tokio::test]
async fn the_verdict_is_told_and_the_status_says_whether_something_breaks() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let (folder, hub, app) = (tempfile::tempdir().unwrap(), Account::named("hub"), Account::named("app"));
    let export = json!([{ "name": "x", "subject": "a.>", "type": "stream" }]);
    let import = json!([{ "name": "x", "subject": "a.b", "type": "stream", "account": hub.key() }]);
    server.http.post(&hub.path(), operator.sign(&hub.with_shares(now() - 500, export, json!([])))).await.expect(200);
    server.http.post(&app.path(), operator.sign(&app.with_shares(now() - 400, json!([]), import))).await.expect(200);
    let good = operator.sign(&app.with_connections(now() - 50, 7));
    let breaking = operator.account(&hub, 10);
    let ran = check(&server.url, folder.path(), &[("good.jwt", good.clone())], &[]).await.expect(0);
    let first = ran.stdout.lines().next().unwrap();
    assert!(first.contains(&format!("good.jwt: account {} would be accepted; it replaces", app.called())), "{first}");
    assert!(
        ran.stdout.contains("  changes  connections -1 → 7\n") || ran.stdout.contains("connections"),
        "{}",
        ran.stdout
    );
    let ran = check(&server.url, folder.path(), &[("hub.jwt", breaking.clone())], &[]).await.expect(1);
    let expected =
        format!("  breaks   {} can no longer import the stream a.b: no export of {}", app.called(), hub.called());
    assert!(ran.stdout.contains(&expected), "{}", ran.stdout);
    let old = operator.account(&app, 5_000);
    let ran = check(&server.url, folder.path(), &[("old.jwt", old.clone())], &[]).await.expect(1);
    assert!(
        ran.stdout.contains("would be rejected (older)") && ran.stdout.contains("  because  stale JWT"),
        "{}",
        ran.stdout
    );
    // One line for each file, in their order.
    let files = [("good.jwt", good.clone()), ("hub.jwt", breaking), ("old.jwt", old), ("user.jwt", app.user().jwt)];
    let ran = check(&server.url, folder.path(), &files, &["--json"]).await.expect(1);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<&str> = lines.iter().map(|line| line["verdict"].as_str().unwrap_or("none")).collect();
    assert_eq!(verdicts, ["accepted", "accepted", "rejected", "none"]);
    assert!(lines[0]["file"].as_str().unwrap().ends_with("good.jwt"));
    assert!(lines[3]["error"].as_str().unwrap().contains("user JWT"), "{}", lines[3]);
    assert_ne!(server.http.get(&app.path()).await.expect(200).body, good, "nothing was pushed");
}

#[tokio::test]
async fn a_private_key_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::new();
    let asked = FakePrimary::new(|_| Answer::new(200, "{}")).await;
    let ran = check(&asked.url, folder.path(), &[("seed", operator.seed())], &[]).await.expect(1);
    assert!(ran.stdout.contains("would be rejected") && !ran.stdout.contains(&operator.seed()), "{}", ran.stdout);
    assert_eq!(asked.requests(), 0);
}

#[tokio::test]
async fn what_cannot_be_told_has_a_status_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let cache = Launch::replica(&operator, &primary.url).start().await;
    let foreign = FakePrimary::new(|_| Answer::new(200, "<html>hello</html>")).await;
    let missing = FakePrimary::new(|_| Answer::new(404, "not here")).await;
    let nowhere = format!("http://{}", free_address());
    let jwt = operator.account(&Account::new(), 10);
    for (url, says) in [
        (&cache.url, &*primary.url),
        (&foreign.url, "something else than a report"),
        (&missing.url, "no account server, or an older one"),
        (&nowhere, "does not answer"),
    ] {
        let ran = check(url, folder.path(), &[("a.jwt", jwt.clone())], &[]).await.expect(2);
        assert!(ran.stderr.contains(says) && ran.stdout.is_empty(), "{url}: {}{}", ran.stdout, ran.stderr);
        let ran = check(url, folder.path(), &[("a.jwt", jwt.clone())], &["--json"]).await.expect(2);
        let line: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(line["error"].as_str().unwrap().contains(says), "{line}");
    }
    let ran = run(["check", "--url", &primary.url, "/nowhere/a.jwt"]).await.expect(2);
    assert!(ran.stderr.contains("cannot read /nowhere/a.jwt"), "{}", ran.stderr);
    run(["check", "--url", "not a URL", "/nowhere/a.jwt"]).await.expect(2);
    run(["check", "--url", &primary.url, "--operator", "x", "/nowhere/a.jwt"]).await.expect(2);
}

/// Names are chosen by those who sign.
#[tokio::test]
async fn a_name_cannot_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let jwt = operator.account(&Account::named("a\u{1b}[31m\nb"), 10);
    let ran = check(&server.url, folder.path(), &[("a.jwt", jwt)], &[]).await.expect(0);
    assert!(!ran.stdout.contains('\u{1b}') && ran.stdout.lines().count() == 1, "{:?}", ran.stdout);
}
