//! Where `explain` asks, and what it says to people.

use serde_json::json;

use super::{codes, document, explain};
use crate::support::command::run;
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Server, free_address, now};

/// What a person sees, with the parts that differ from run to run replaced.
#[tokio::test]
async fn a_person_reads_each_reason_and_what_to_do() {
    let (operator, account, folder) = (Operator::new(), Account::named("my app"), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let user = account.user_claiming(json!({ "name": "alice", "nats": { "src": ["10.0.0.0/8"] } }), None);
    let mut claims = account.claims(now() - 100);
    claims["nats"]["revocations"] = json!({ user.key(): now() });
    claims["nats"]["limits"]["conn"] = 5.into();
    primary.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    let ran = explain(folder.path(), &user, &["--url", &primary.url]).await.expect(1);
    let ends = |key: &str| format!("({}…{})", &key[..4], &key[52..]);
    for line in [
        format!("user     alice {}, issued ", ends(&user.key())),
        format!("account  my app {}, issued ", ends(&account.key())),
        format!("asked    {}", primary.url),
        "pass     user_jwt           the user JWT is genuine".to_owned(),
        "FAIL     revocation         the account revokes the user: JWTs issued up to ".to_owned(),
        "→ issue the user again, or withdraw the revocation: nsc revocations delete-user -a 'my app' -n alice && nsc \
         push -a 'my app'"
            .to_owned(),
        "unknown  source             only clients in 10.0.0.0/8 are accepted".to_owned(),
        "→ give the address that the nats-server sees, with --from".to_owned(),
        "warning  connections        the account may have 5 connections, and a further one is refused".to_owned(),
        "the nats-servers are not known: NATS is not configured".to_owned(),
        "refused: the account revokes the user".to_owned(),
    ] {
        assert!(ran.stdout.contains(&line), "{line}\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\x1b') && ran.stderr.is_empty(), "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test]
async fn an_accepted_user_sees_what_it_may_do() {
    let (operator, account, folder) = (Operator::new(), Account::named("app"), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let user = account.user_with(json!({ "allow": ["a.>"], "deny": ["a.b"] }), json!({}));
    let mut claims = account.claims(now() - 100);
    claims["nats"]["default_permissions"] = json!({ "sub": { "allow": ["d"] } });
    primary.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    let ran = explain(folder.path(), &user, &["--url", &primary.url]).await.expect(0);
    for line in ["publish: a.>, but not a.b\nsubscribe: everything\n", "\naccepted\n"] {
        assert!(ran.stdout.contains(line), "{line}\n{}", ran.stdout);
    }
    // A user without permissions has the account's.
    let (document, _) = document(folder.path(), &account.user(), &["--url", &primary.url]).await;
    assert_eq!(document["permissions"]["permissions_from"], "account_defaults");
    assert_eq!(document["permissions"]["subscribe"]["allow"], json!(["d"]));
}

#[tokio::test]
async fn what_cannot_be_told_is_2() {
    let (operator, account, folder) = (Operator::new(), Account::named("app"), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    primary.http.post(&account.path(), operator.account(&account, 100)).await.expect(200);
    let url: &[&str] = &["--url", &primary.url];
    let limited = account.user_claiming(json!({ "nats": { "src": ["10.0.0.0/8"] } }), None);
    let (document_of, status) = document(folder.path(), &limited, url).await;
    assert_eq!(
        (&document_of["verdict"], status, codes(&document_of, "unknown")),
        (&"unsure".into(), 2, vec!["source"])
    );

    let user = account.user();
    let nowhere = format!("http://{}", free_address());
    let ran = explain(folder.path(), &user, &["--url", &nowhere]).await.expect(2);
    assert!(ran.stderr.contains("does not answer"), "{}", ran.stderr);
    let stranger = FakePrimary::stranger(|_| Answer::new(404, "not found")).await;
    let ran = explain(folder.path(), &user, &["--url", &stranger.url]).await.expect(2);
    assert!(ran.stderr.contains("no account server"), "{}", ran.stderr);
    // A JWT of another kind, or with a wrong signature, is refused by every nats-server.
    let file = folder.path().join("account.jwt");
    std::fs::write(&file, operator.account(&account, 100)).unwrap();
    let ran = run(["explain", "--url", &primary.url, file.to_str().unwrap()]).await.expect(1);
    assert!(ran.stdout.contains("refused: the user JWT cannot be used: not user claim"), "{}", ran.stdout);
    let ran = run(["explain", "--url", &primary.url, "/no/such/file"]).await.expect(2);
    assert!(ran.stderr.contains("cannot read /no/such/file"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_service_of_the_account_decides_about_its_users() {
    let (operator, account, folder) = (Operator::new(), Account::named("app"), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let (service, user) = (account.user(), account.user());
    let mut claims = account.claims(now() - 100);
    claims["nats"]["authorization"] = json!({ "auth_users": [service.key()] });
    primary.http.post(&account.path(), operator.sign(&claims)).await.expect(200);
    for (user, verdict, code) in [(&service, "accepted", None), (&user, "unsure", Some("auth_callout"))] {
        let (document, _) = document(folder.path(), user, &["--url", &primary.url]).await;
        assert_eq!((document["verdict"].as_str(), document["reason"]["code"].as_str()), (Some(verdict), code));
    }
}

#[tokio::test]
async fn a_folder_is_read_with_and_without_a_server() {
    let (operator, dir, users) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (account, gone) = (Account::named("app"), Account::named("gone"));
    let address = free_address();
    let mut primary = Launch::primary(&operator).dir(dir.path()).at(&address).start().await;
    for account in [&account, &gone] {
        primary.http.post(&account.path(), operator.account(account, 100)).await.expect(200);
    }
    primary.http.delete(&gone.path(), operator.delete_request(&[&gone], 0)).await.expect(200);
    let folder = dir.path().to_str().unwrap();
    let (user, of_gone) = (account.user(), gone.user());
    // The operator is the one in the journal.
    let running: &[&str] = &["-dir", folder, "-hp", &address];
    for (args, place) in [(running, &*primary.url), (&["-dir", folder, "--offline"], folder)] {
        let (document, status) = document(users.path(), &user, args).await;
        assert_eq!((&document["verdict"], status), (&"accepted".into(), 0), "{document:#}");
        assert!(document["place"].as_str().unwrap().contains(place), "{document:#}");
        assert!(document["nats_servers_unknown"].is_string(), "{document:#}");
    }
    primary.signal("TERM");
    assert!(primary.exit().await.success());
    let (document_of, status) = document(users.path(), &of_gone, &["-dir", folder]).await;
    assert_eq!((status, &document_of["reason"]["code"]), (1, &"account".into()), "{document_of:#}");
    assert!(document_of["reason"]["text"].as_str().unwrap().contains("was deleted at "), "{document_of:#}");
    // An operator that withdrew the key withholds the account, and so does a nats-server.
    let other = Operator::new();
    let (document_of, status) = document(users.path(), &other.system().user(), &["-dir", folder]).await;
    assert_eq!((status, codes(&document_of, "fail")), (1, vec!["account"]), "{document_of:#}");
}
