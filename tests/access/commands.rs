//! `access hash` and `access token`, and how commands show who they are.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use super::world::{World, basic, get, send, token, user};
use crate::support::Launch;
use crate::support::command::{run, run_with};

/// Runs the program with a standard input. Returns whether it ended well, its output and its errors.
fn fed(args: &[&str], input: &str) -> (bool, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nats-account-server"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn what_the_commands_make_opens_the_door() {
    let mut users = Vec::new();
    for (name, args) in [("argon2", &["access", "hash"][..]), ("bcrypt", &["access", "hash", "--bcrypt"])] {
        let (ended_well, stdout, stderr) = fed(args, "correct horse\n");
        assert!(ended_well && stderr.is_empty(), "{stderr}");
        let hash = stdout.lines().last().unwrap();
        users.push(json!({ "name": name, "password": hash, "scopes": ["read"] }));
    }
    let made = run(["access", "token"]).await.expect(0).stdout;
    let member = |name: &str| made.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let tokens = [json!({ "name": "made", "sha256": member("sha256:"), "scopes": ["read"] })];
    let server = World::new(&json!({ "anonymous": [], "users": users, "tokens": tokens })).start().await;
    for name in ["argon2", "bcrypt"] {
        get(&server.http, "/jwt/v1/operator", &basic(name, "correct horse")).await.expect(200);
    }
    get(&server.http, "/jwt/v1/operator", &format!("Bearer {}", member("token:"))).await.expect(200);
    assert_ne!(run(["access", "token"]).await.stdout, made);
    for input in ["", "\n", "two\nlines\n"] {
        let (ended_well, stdout, stderr) = fed(&["access", "hash"], input);
        assert!(!ended_well && stdout.is_empty() && stderr.contains("password"), "{stderr}");
    }
}

#[tokio::test]
async fn commands_show_who_they_are() {
    let world = World::new(
        &json!({ "anonymous": [], "users": [user("ops", &["read", "list", "push"])], "tokens": [token("ops", &["read", "list"])] }),
    );
    let server = world.start().await;
    let file = world.file("token");
    std::fs::write(&file, "ops\n").unwrap();
    let account = crate::support::Account::new();
    send(
        &server.http,
        "POST",
        &account.path(),
        Some(&basic("ops", "hush-hush")),
        &world.operator.account(&account, 10),
    )
    .await
    .expect(200);
    let (file, url) = (file.to_str().unwrap(), &*server.url);
    let as_user = url.replace("://", "://ops:hush-hush@");
    let refused = run(["list", "--url", url]).await;
    assert!(refused.status != 0 && refused.stderr.contains("needs credentials"), "{}", refused.stderr);
    run(["list", "--url", url, "--token-file", file]).await.expect(0);
    run(["-token-file", file, "list", "--url", url]).await.expect(0);
    run(["list", "--url", &as_user]).await.expect(0);
    let shown = run(["show", &account.key(), "--url", &as_user]).await.expect(0);
    assert!(shown.stdout.contains("post by user ops from 127.0.0.1"), "{}", shown.stdout);
    run_with(&[("NAS_TOKEN", "ops")], ["list", "--url", url]).await.expect(0);
    run_with(&[("NAS_REPLICA__TOKEN", "ops")], ["list", "--url", url]).await.expect(0);
    run_with(&[("NAS_REPLICA__TOKEN", "other"), ("NAS_TOKEN", "ops")], ["list", "--url", url]).await.expect(0);
    // The server at the address of the settings.
    let address = server.host();
    run(["-hp", address, "list", "--token-file", file]).await.expect(0);
    run(["-hp", address, "healthcheck", "--ready"]).await.expect(0);
    run(["status", url, "--token-file", file]).await;
    let wrong = run(["list", "--url", url, "--token-file", "/nowhere"]).await.expect(1);
    assert!(wrong.stderr.contains("cannot read the token in /nowhere"), "{}", wrong.stderr);
    // What is shown of the configuration has no secret.
    let shown =
        run(["-c", world.file("nas.json").to_str().unwrap(), "-token-file", file, "config"]).await.expect(0).stdout;
    assert!(shown.contains("\"ops\"") && !shown.contains("$2b$") && shown.matches("***").count() == 3, "{shown}");
}

#[tokio::test]
async fn the_shipped_closed_server_is_closed() {
    let text = include_str!("../../deploy/closed.conf");
    let hash = bcrypt::hash_with_salt("hush-hush", 4, [7; 16]).unwrap().to_string();
    let (authority, folder) = (crate::support::Authority::new("Tests"), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    authority.server().write(&at("tls.pem"), &at("tls.key"));
    authority.write(&at("clients.pem"));
    let operator = crate::support::Operator::new();
    std::fs::write(at("operator.jwt"), operator.jwt()).unwrap();
    let text = text
        .replace("/etc/nats-account-server", folder.path().to_str().unwrap())
        .replace("/var/lib/nats-account-server", at("tokens").to_str().unwrap())
        .replace("require_existing: true", "require_existing: false")
        .replace("<hash>", &hash)
        .replacen("<sha256>", &"ab".repeat(32), 1)
        .replacen("<sha256>", &"cd".repeat(32), 1);
    std::fs::create_dir(at("tokens")).unwrap();
    std::fs::write(at("closed.conf"), text).unwrap();
    let client = authority.http_client(None);
    let launch = Launch::default().flag("-c", at("closed.conf")).https(&at("tls.pem"), &at("tls.key"), client);
    let server = launch.start().await;
    assert!(!server.log().contains("access."), "{}", server.log());
    server.http.get("/jwt/v1/operator").await.expect(401);
    get(&server.http, "/jwt/v1/operator", &basic("nats", "hush-hush")).await.expect(200);
    get(&server.http, "/jwt/v1/pack", &basic("nats", "hush-hush")).await.expect(403);
}
