//! Every example of the help is run as it is shown.

use std::path::Path;
use std::process::Command;

use crate::support::{Account, Http, Operator, Server};
use nats_account_server::jwt::activation_hash_id;

/// The commands of a help text, in order.
fn commands(help: &str) -> Vec<&str> {
    help.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with("resolver:")).collect()
}

/// Runs a command in a folder. Returns what it prints.
fn run(command: &str, folder: &Path, account: &str, hash: &str) -> String {
    let own = Path::new(env!("CARGO_BIN_EXE_nats-account-server")).parent().unwrap();
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path)
        // Where curl finds that an error's status is an error.
        .env("CURL_HOME", folder)
        .env("ACCOUNT", account)
        .env("HASH", hash)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}\n{shown}{}", String::from_utf8_lossy(&output.stderr));
    shown
}

#[tokio::test]
async fn every_example_of_the_help_works_where_it_is_shown() {
    let operator = Operator::new();
    let (account, importer, folder) = (Account::new(), Account::new(), tempfile::tempdir().unwrap());
    let (primary, jwt) = (Server::primary(&operator).await, operator.account(&account, 100));
    let replica = Server::replica(&operator, &primary.url).await;
    for (name, text) in [
        ("account.jwt", jwt.clone()),
        ("activation.jwt", account.activation(&importer, "orders", 100)),
        ("operator.nk", operator.seed()),
        (".curlrc", "fail\nsilent\nshow-error\nnoproxy = \"*\"\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let hash = activation_hash_id(&account.key(), &importer.key(), "orders").unwrap();
    let try_out = |command: &str| run(command, folder.path(), &account.key(), &hash);

    let help = primary.http.get("/jwt/v1/help").await.expect(200).body;
    assert!(help.contains(&format!("resolver: URL({}/jwt/v1/accounts/)", primary.url)), "{help}");
    assert!(help.lines().all(|line| line.len() <= 110), "{help}");
    let (deletion, others): (Vec<_>, Vec<_>) =
        commands(&help).into_iter().partition(|line| line.contains("delete-request") || line.contains("DELETE"));
    assert!(others.len() > 15 && deletion.len() == 2, "{help}");
    others.iter().for_each(|command| drop(try_out(command)));

    // A replica shows what works there.
    let help = replica.http.get("/jwt/v1/help").await.expect(200).body;
    assert!(help.contains(&format!("Not here: {}", "this server is a read-only replica")), "{help}");
    let shown = commands(&help);
    assert!(shown.len() > 10 && !help.contains("DELETE"), "{help}");
    shown.iter().for_each(|command| drop(try_out(command)));

    deletion.iter().for_each(|command| drop(try_out(command)));
    primary.http.get(&account.path()).await.expect(404);
}

#[tokio::test]
async fn the_help_names_the_server_as_the_client_does_and_nothing_that_a_shell_would_run() {
    let server = Server::primary(&Operator::new()).await;
    let shown = |headers: Vec<(&'static str, &'static str)>| {
        let http: Http = server.http.clone();
        async move { http.send("GET", "/jwt/v1/help", &headers).await.expect(200).body }
    };
    let named = shown(vec![("host", "accounts.example.com"), ("x-forwarded-proto", "https")]).await;
    assert!(named.contains("curl https://accounts.example.com/jwt/v1/operator\n"), "{named}");
    for host in ["a$(id)", "a;id", "a`id`", "a'b", "a b"] {
        let named = shown(vec![("x-forwarded-host", host), ("x-forwarded-proto", "x;y")]).await;
        assert!(named.contains("curl http://localhost:9090/jwt/v1/operator\n") && !named.contains(host), "{named}");
    }
}
