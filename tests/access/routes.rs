//! The table of routes in `docs/access.md`, walked with the program.

use serde_json::json;

use super::world::{World, basic, bearer, send, token, user};
use crate::support::{Account, Authority, Launch, Operator, Server};

const SCOPES: [&str; 4] = ["read", "list", "push", "admin"];

/// The rows of the table: method, path, scopes.
fn rows(account: &Account) -> Vec<(String, String, Vec<&'static str>)> {
    let page = include_str!("../../docs/access.md");
    let row = |line: &'static str| {
        let [_, method, path, scopes, _] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else { return None };
        let path = path.strip_prefix('`')?.strip_suffix('`').filter(|path| path.starts_with('/'))?;
        let path = path.replace("<key>", &account.key()).replace("<hash>", &"A".repeat(56)).replace("<serial>", "2");
        Some((method.to_owned(), path, scopes.split(", ").filter(|scope| *scope != "none").collect()))
    };
    let rows: Vec<_> = page.lines().filter_map(row).collect();
    assert!(rows.len() > 30, "the table is read");
    rows
}

/// A closed server that holds an account.
async fn closed(account: &Account) -> (World, Server) {
    let mut users: Vec<_> = SCOPES.iter().map(|scope| user(scope, &[scope])).collect();
    users.extend([user("all", &SCOPES), user("none", &[]), user("announcer", &["read", "push"])]);
    let world = World::new(&json!({ "anonymous": [], "users": users, "tokens": [token("lister", &["list"])] }));
    let server = world.start().await;
    let jwt = world.operator.account(account, 10);
    send(&server.http, "POST", &account.path(), Some(&basic("push", "hush-hush")), &jwt).await.expect(200);
    (world, server)
}

#[tokio::test]
async fn each_route_needs_the_scopes_of_the_table_and_no_others() {
    let account = Account::new();
    let (_world, server) = closed(&account).await;
    for (method, path, scopes) in rows(&account) {
        let ask =
            async |method: &str, credential: Option<&str>| send(&server.http, method, &path, credential, "x").await;
        let mut methods = vec![method.as_str()];
        methods.extend((method == "GET").then_some("HEAD"));
        for method in methods {
            let anonymous = ask(method, None).await;
            let wrong = ask(method, Some(&basic("all", "wrong"))).await;
            for reply in [&anonymous, &wrong] {
                assert_eq!(reply.status == 401, !scopes.is_empty(), "{method} {path}: {}", reply.body);
            }
            for (name, has) in SCOPES.iter().map(|scope| (*scope, vec![*scope])).chain([
                ("all", SCOPES.to_vec()),
                ("announcer", vec!["read", "push"]),
                ("none", vec![]),
            ]) {
                let reply = ask(method, Some(&basic(name, "hush-hush"))).await;
                match scopes.iter().find(|scope| !has.contains(scope)) {
                    None => assert!(!matches!(reply.status, 401 | 403), "{method} {path} {name}: {}", reply.body),
                    Some(missing) => {
                        assert_eq!(reply.status, 403, "{method} {path} {name}: {}", reply.body);
                        let named = reply.body.contains(&format!("lacks the scope {missing}"));
                        assert!(named || method == "HEAD", "{method} {path} {name}: {}", reply.body);
                    }
                }
            }
            let reply = ask(method, Some(&bearer("lister"))).await;
            let may = scopes.iter().all(|scope| *scope == "list");
            assert_eq!(matches!(reply.status, 401 | 403), !may, "{method} {path}: {}", reply.body);
        }
        assert_eq!(ask("OPTIONS", None).await.status, 200, "OPTIONS {path}");
    }
}

#[tokio::test]
async fn a_closed_server_tells_nobody_what_exists() {
    let account = Account::new();
    let (_world, server) = closed(&account).await;
    let first = server.http.get(&account.path()).await.expect(401);
    let challenges: Vec<_> =
        first.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(challenges.len() == 2 && challenges[0].starts_with("Basic realm=") && challenges[1].starts_with("Bearer "));
    let key = account.key();
    for path in [
        format!("/jwt/v1/accounts/{}", Account::new().key()),
        "/jwt/v1/accounts/x".to_owned(),
        format!("{}/", account.path()),
        format!("/jwt/v1//accounts/{key}"),
        format!("/jwt/v1/x/../accounts/{key}"),
        format!("/jwt/v1/%61ccounts/{key}"),
        format!("/jwt%2Fv1%2Faccounts%2F{key}"),
        format!("/JWT/v1/accounts/{key}"),
        format!("/healthz/../jwt/v1/accounts/{key}"),
        format!("/jwt/v1/accounts/{key}?check=true"),
        format!("/jwt/v1/accounts/{key}/history"),
        "/jwt/v1/activations/x".to_owned(),
        "/".to_owned(),
        "/x".to_owned(),
        "/metrics/".to_owned(),
        "//".to_owned(),
        "*".to_owned(),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = server.http.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer}");
        assert!(answer.ends_with(&first.body) && !answer.contains("location:"), "{path}: {answer}");
        // Whoever may read comes by the same ways to no more than the route says.
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {}\r\n\r\n",
            basic("admin", "hush-hush")
        );
        let answer = server.http.raw(head.as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    let json = server.http.get("/api/v1/accounts").await.expect(401).json();
    assert_eq!((&json["code"], &json["type"]), (&"no_credentials".into(), &"/problems/no-credentials".into()));
    // A replica's spelling of a method makes no difference.
    for method in ["PUT", "PATCH", "get", "GETS", "TRACE"] {
        let head = format!("{method} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", account.path());
        let answer = server.http.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{method}: {answer}");
    }
}

#[tokio::test]
async fn without_access_everything_is_open_and_the_log_says_so() {
    let (operator, account) = (Operator::new(), Account::new());
    let server = Launch::primary(&operator).start().await;
    server.logs("access: every client may, without credentials: read, list, push").await;
    // Credentials may be for a proxy in front.
    for credential in [None, Some("Digest x"), Some("Basic !")] {
        send(&server.http, "POST", &account.path(), credential, &operator.account(&account, 10)).await.expect(200);
        send(&server.http, "GET", &account.path(), credential, "").await.expect(200);
        send(&server.http, "GET", "/api/v1/accounts", credential, "").await.expect(200);
    }
    assert!(!server.log().contains("plain HTTP"), "{}", server.log());
}

#[tokio::test]
async fn certificates_and_networks_decide_where_nothing_else_is_shown() {
    let (authority, account, folder) = (Authority::new("Tests"), Account::new(), tempfile::tempdir().unwrap());
    let access = |networks| {
        json!({
            "anonymous": [], "users": [user("nsc", &["push"])],
            "certificates": [{ "san": "client.example", "scopes": ["read", "list"] }], "networks": networks,
        })
    };
    let world = World::new(&access(json!([{ "cidr": "10.0.0.0/8", "scopes": ["read"] }])));
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    authority.server().write(&cert, &key);
    let launch = || {
        let client = authority.http_client(Some(&authority.client()));
        world
            .launch()
            .https(&cert, &key, client)
            .path("NAS_HTTP__TLS__ROOT", &authority.write(&folder.path().join("ca.pem")))
    };
    let server = launch().env("NAS_HTTP__TRUSTED_PROXIES", "127.0.0.1").start().await;
    let jwt = world.operator.account(&account, 10);
    assert!(
        send(&server.http, "POST", &account.path(), None, &jwt)
            .await
            .expect(403)
            .body
            .contains("certificate client.example lacks")
    );
    send(&server.http, "POST", &account.path(), Some(&basic("nsc", "hush-hush")), &jwt).await.expect(200);
    assert_eq!(server.http.get(&account.path()).await.expect(200).body, jwt);
    server.http.get("/jwt/v1/pack").await.expect(200);
    for path in [account.path(), format!("{}?check=true", account.path())] {
        let reply = server.http.get(&path).await.expect(200);
        assert!(reply.header("cache-control").starts_with("private, max-age=5"), "{path}: {:?}", reply.headers);
    }
    // The credential decides alone.
    send(&server.http, "GET", &account.path(), Some(&basic("nsc", "hush-hush")), "").await.expect(403);
    send(&server.http, "GET", &account.path(), Some(&basic("nsc", "wrong")), "").await.expect(401);
    let bare = crate::support::Http::with(authority.http_client(None).build().unwrap(), &server.url);
    bare.get(&account.path()).await.expect(401);
    let from = async |address: &str, path: &str| bare.send("GET", path, &[("x-forwarded-for", address)]).await.status;
    assert_eq!([from("10.1.2.3", &account.path()).await, from("10.1.2.3", "/metrics").await], [200, 401]);
    assert_eq!(from("192.0.2.1, 10.1.2.3", &account.path()).await, 200);
    assert_eq!(from("10.1.2.3, 192.0.2.1", &account.path()).await, 401, "what a client says itself does not count");
    let history = get_history(&server, &account).await;
    assert_eq!(history["versions"][0]["principal"], "user nsc", "{history}");
}

async fn get_history(server: &Server, account: &Account) -> serde_json::Value {
    server.http.get(&format!("{}/history", account.path())).await.expect(200).json()
}
