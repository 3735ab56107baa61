//! Odd arguments, servers that are none, and files without an account.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{cmd, end, lines};
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Server, free_address};

#[tokio::test]
async fn arguments_that_cannot_be_used_are_named() {
    let long = "a".repeat(257);
    for (args, said) in [
        (&["list", "--name", ""][..], "a pattern of 1 to 256 characters"),
        (&["list", "--name", &long], "a pattern of 1 to 256 characters"),
        (&["list", "--expiring", "soon"], "a moment such as "),
        (&["list", "--expiring", "5y"], "a moment such as "),
        (&["list", "--changed-since", "2026-13-01T00:00:00Z"], "a moment such as "),
        (&["list", "--state", "dead"], "one or several of live, expired"),
        (&["list", "--state", "live,"], "one or several of live, expired"),
        (&["list", "--limit", "0"], "0 is not in 1.."),
        (&["list", "--url", "http://x", "--offline"], "cannot be used with"),
        (&["list", "--url", "nowhere"], "cannot use the URL of --url"),
        (&["show"], "required"),
        (&["show", "app", "--diff", "0"], "the serial of a version is expected"),
        (&["show", "--diff", "app"], "ACCOUNT goes before --diff"),
        (&["show", "app", "--diff", "1", "2", "3"], "unexpected argument '3'"),
    ] {
        let ran = cmd(args).await.expect(2);
        assert!(ran.stderr.contains(said) && ran.stdout.is_empty(), "{args:?}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_server_that_cannot_tell_is_2() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let cache = Server::replica(&operator, &primary.url).await;
    let html = FakePrimary::stranger(|_| Answer::new(200, "<html>\x1b[31m</html>")).await;
    let missing = FakePrimary::stranger(|_| Answer::new(404, "<html>not here</html>")).await;
    let same =
        FakePrimary::new(|_| Answer::new(200, r#"{"accounts":[],"next":"x","position":{"session":"5c","serial":1}}"#))
            .await;
    let nowhere = format!("http://{}", free_address());
    for (url, said) in [
        (&cache.url, format!("ask its primary, at {}", primary.url)),
        (&html.url, "it answers with something else".to_owned()),
        (&missing.url, "no account server with an API does that".to_owned()),
        (&same.url, "the same page of accounts again".to_owned()),
        (&nowhere, "does not answer".to_owned()),
    ] {
        for command in [&["list"][..], &["show", "app"], &["show", "app", "--diff"]] {
            // What is unreachable is tried for seconds.
            if *url == nowhere && command.len() > 1 {
                continue;
            }
            let ran = cmd(&[command, &["--url", url]].concat()).await.expect(2);
            assert!(ran.stderr.contains(&said) && ran.stdout.is_empty(), "{command:?}: {}", ran.stderr);
            assert!(!ran.stderr.contains('\x1b'), "{}", ran.stderr);
        }
    }
    // Nor can the folder of a cache, or settings that are none.
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    end(Launch::replica(&operator, &primary.url).dir(dir.path()).start().await).await;
    let ran = cmd(&["list", "-dir", folder, "-primary", &primary.url]).await.expect(2);
    assert!(ran.stderr.contains(&format!("ask its primary, with --url {}", primary.url)), "{}", ran.stderr);
    for command in [&["list"][..], &["show", "app"]] {
        let ran = cmd(&[command, &["-c", "/no/such/file"]].concat()).await.expect(2);
        assert!(ran.stderr.contains("cannot use the settings"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let server = FakePrimary::new(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::new(503, r#"{"code":"not_yet","detail":"the folder is still being imported"}"#).header("retry-after", "1"),
        1 => Answer::new(
            200,
            r#"{"accounts":[{"key":"A","name":"one","state":"new","issuer":null,"iat":null,"serial":null,"changed_at":null,
                "via":"pigeon","more":1}],"next":"x","position":{"session":"5c","serial":1}}"#,
        ),
        _ => Answer::new(200, r#"{"accounts":[],"position":{"session":"5c","serial":1}}"#),
    })
    .await;
    // What later servers add is no error.
    let ran = cmd(&["list", "--json", "--url", &server.url]).await.expect(0);
    assert_eq!(lines(&ran)[0]["via"], "pigeon");
}

#[tokio::test]
async fn a_file_without_an_account_is_named() {
    let (operator, account, dir) = (Operator::new(), Account::named("app"), tempfile::tempdir().unwrap());
    let file = dir.path().join("given.jwt");
    let path = file.to_str().unwrap();
    let user = account.user();
    let forged = operator.account(&account, 100).replace(".ey", ".Ey");
    for (content, said) in [
        (Vec::new(), "it is empty"),
        (b"hello".to_vec(), "it is plain text"),
        (b"\0\x1b[31m\xff".to_vec(), "has no account JWT"),
        (user.jwt.clone().into_bytes(), "not account claim"),
        (operator.jwt().into_bytes(), "not account claim"),
        (forged.into_bytes(), "cannot be shown"),
        (user.creds().into_bytes(), "has no account JWT"),
        (vec![b'x'; 5 << 20], "has no account JWT"),
    ] {
        std::fs::write(&file, &content).unwrap();
        let ran = cmd(&["show", path]).await.expect(2);
        assert!(ran.stderr.contains(said) && ran.stderr.contains(path), "{said}: {}", ran.stderr);
        assert!(!ran.stderr.contains('\x1b') && ran.stdout.is_empty(), "{}", ran.stderr);
        let seed = user.creds().lines().find(|line| line.starts_with("SU")).unwrap().to_owned();
        assert!(!ran.stderr.contains(&seed), "{}", ran.stderr);
    }
    let ran = cmd(&["show", "/no/such.jwt"]).await.expect(2);
    assert!(ran.stderr.contains("cannot read /no/such.jwt"), "{}", ran.stderr);
    std::fs::write(&file, operator.account(&account, 100)).unwrap();
    let ran = cmd(&["show", path, "--diff"]).await.expect(2);
    assert!(ran.stderr.contains("a file has one version"), "{}", ran.stderr);
}
