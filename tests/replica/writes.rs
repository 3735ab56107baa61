//! Changes that are sent to a replica.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nats_account_server::jwt::HashId;
use parking_lot::Mutex;

use crate::support::{Account, Answer, Authority, FakePrimary, Launch, Operator, Proxy, Server, now, until};

const ACTIVATIONS: &str = "/jwt/v1/activations";
const SECRET: &str = "hush-hush";

fn forwarding(operator: &Operator, primary: &str) -> Launch {
    Launch::replica(operator, primary).env("NAS_REPLICA__WRITES", "forward")
}

async fn outcomes(replica: &Server, outcome: &str) -> f64 {
    replica.http.metric("replica_writes_total", &format!("outcome=\"{outcome}\"")).await
}

/// A primary without a feed that says to every request, whatever its method, what is put down for its path, and a replica
/// that asks it about nothing twice.
struct Scripted {
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    primary: FakePrimary,
    replica: Server,
}

impl Scripted {
    async fn new(operator: &Operator) -> Self {
        let answers = Arc::new(Mutex::new(HashMap::<String, Answer>::new()));
        let script = answers.clone();
        let primary = FakePrimary::new(move |path| {
            script.lock().get(path).cloned().unwrap_or_else(|| Answer::new(404, "404 page not found\n"))
        })
        .await;
        let launch = forwarding(operator, &primary.url).env("NAS_REPLICA__TTL", "1h");
        let replica = launch.env("NAS_REPLICA__NEGATIVE_TTL", "1h").start_unready().await;
        Self { answers, primary, replica }
    }

    fn says(&self, path: &str, status: u16, body: impl Into<String>) {
        self.answers.lock().insert(path.to_owned(), Answer::new(status, body));
    }

    async fn serves(&self, path: &str, body: &str) {
        assert_eq!(self.replica.http.get(path).await.expect(200).body, body);
    }
}

#[tokio::test]
async fn a_client_that_follows_a_redirection_reaches_the_primary() {
    let (operator, account, importer) = (Operator::new(), Account::new(), Account::new());
    let primary = Server::primary(&operator).await;
    let url = primary.url.replace("://", &format!("://me:{SECRET}@"));
    let replica = Launch::replica(&operator, &url).env("NAS_REPLICA__WRITES", "redirect").start().await;
    replica.follows().await;
    let jwt = operator.account(&account, 100);
    let asked = format!("{}?wait=1s", account.path());
    let reply = replica.http.post(&asked, jwt.clone()).await.expect(307);
    assert_eq!(reply.header("location"), format!("{}{asked}", primary.url));
    assert!(reply.body.contains(&primary.url) && !reply.body.contains(SECRET), "{}", reply.body);
    primary.http.get(&account.path()).await.expect(404);
    let reply = replica.http.send("OPTIONS", &account.path(), &[]).await.expect(200);
    assert_eq!(reply.header("allow"), "GET, HEAD, POST, DELETE, OPTIONS");
    // The body is not waited for.
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\n", account.path());
    let began = Instant::now();
    assert!(replica.http.raw(head.as_bytes()).await.starts_with("HTTP/1.1 307 "));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let at = |path: &str| format!("{}{path}", replica.url);
    let reply = client.post(at(&asked)).body(jwt.clone()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["nas-receipts"].as_bytes()), (200, &b"not-configured"[..]));
    assert_eq!(primary.http.get(&account.path()).await.expect(200).body, jwt);
    // One that does not go out at once.
    for age in (20..25).rev() {
        let large = operator.sign(&account.with_bulk(now() - age, 700_000));
        assert_eq!(client.post(at(&account.path())).body(large).send().await.unwrap().status(), 200);
    }
    let activation = account.activation(&importer, "news", 10);
    assert_eq!(client.post(at(ACTIVATIONS)).body(activation).send().await.unwrap().status(), 200);
    let request = operator.delete_request(&[&account], 0);
    assert_eq!(client.delete(at(&account.path())).body(request).send().await.unwrap().status(), 200);
    primary.http.get(&account.path()).await.expect(404);
    assert_eq!(outcomes(&replica, "redirected").await, 10.0);
}

#[tokio::test]
async fn a_forwarded_change_is_answered_by_the_primary() {
    let (operator, account, importer) = (Operator::new(), Account::new(), Account::new());
    let primary = Server::primary(&operator).await;
    let replica = forwarding(&operator, &primary.url).start().await;
    let (old, new) = (operator.account(&account, 100), operator.account(&account, 50));
    let reply = replica.http.post(&account.path(), new.clone()).await.expect(200);
    assert_eq!((&*reply.body, reply.header("nas-receipts"), reply.header("cache-control")), ("", "", "no-store"));
    for server in [&primary, &replica] {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, new);
    }
    let waiting = format!("{}?wait=1s", account.path());
    let reply = replica.http.post(&waiting, new.clone()).await.expect(200);
    assert_eq!(reply.header("nas-receipts"), "not-configured");

    let asking_json = replica.http.request("POST", &account.path()).header("accept", "application/json");
    let reply = asking_json.body(old.clone()).send().await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["content-type"]),
        (409, &"application/problem+json".parse().unwrap())
    );
    for (path, body, status) in [
        (account.path(), old, 409),
        (account.path(), operator.account(&importer, 10), 400),
        (account.path(), Operator::new().account(&account, 10), 400),
        (format!("{}?wait=soon", account.path()), new.clone(), 400),
        ("/jwt/v1/accounts/x".to_owned(), new.clone(), 400),
        (ACTIVATIONS.to_owned(), importer.activation(&account, "news", 10), 400),
    ] {
        let reply = replica.http.post(&path, body.clone()).await.expect(status);
        let direct = primary.http.post(&path, body).await.expect(status);
        assert_eq!((&reply.body, reply.header("content-type")), (&direct.body, direct.header("content-type")));
    }

    replica.http.post(ACTIVATIONS, account.activation(&importer, "news", 10)).await.expect(200);
    let reply = replica.http.send("OPTIONS", ACTIVATIONS, &[]).await.expect(200);
    assert_eq!(reply.header("allow"), "POST, OPTIONS");
    let request = operator.delete_request(&[&account, &importer], 0);
    let reply = replica.http.delete(&account.path(), request).await.expect(200);
    assert!(reply.body.starts_with("deleted 2 accounts\n"), "{}", reply.body);
    for server in [&primary, &replica] {
        server.http.get(&account.path()).await.expect(404);
    }
    assert_eq!((outcomes(&replica, "taken").await, outcomes(&replica, "refused").await), (4.0, 5.0));
}

#[tokio::test]
async fn who_was_told_that_his_change_is_made_sees_it_at_the_replica() {
    let (operator, account) = (Operator::new(), Account::new());
    let scripted = Scripted::new(&operator).await;
    let (path, http) = (account.path(), &scripted.replica.http);
    let push = async |jwt: &str, held: &str| {
        scripted.says(&path, 200, held);
        http.post(&path, jwt.to_owned()).await.expect(200);
        scripted.serves(&path, held).await;
    };
    http.get(&path).await.expect(404);
    let first = operator.account(&account, 1_000);
    push(&first, &first).await;
    // Which of two of one second counts, only the primary knows.
    let second = now() - 900;
    for connections in [4, 5] {
        let newer = operator.sign(&account.with_connections(second, connections));
        push(&newer, &newer).await;
    }
    // A signing service makes something else of what is pushed.
    push(&account.sign(&account.claims(now() - 800)), &operator.account(&account, 700)).await;

    // A primary that says 404 takes nothing away that is held; a delete request does.
    scripted.says(&path, 200, "deleted 1 accounts\n");
    http.delete(&path, operator.delete_request(&[&account], 0)).await.expect(200);
    scripted.says(&path, 404, "no\n");
    http.get(&path).await.expect(404);
}

#[tokio::test]
async fn an_answer_from_before_a_change_that_is_still_under_way_does_not_count_after_it() {
    let operator = Operator::new();
    let scripted = Scripted::new(&operator).await;
    let http = &scripted.replica.http;
    for signs_itself in [false, true] {
        let account = Account::new();
        let (path, taken) = (account.path(), operator.account(&account, 600));
        let pushed = if signs_itself { account.sign(&account.claims(now())) } else { taken.clone() };
        let before = Answer::new(404, "no\n").after(Duration::from_millis(700));
        scripted.answers.lock().insert(path.clone(), before);
        tokio::join!(http.get(&path), async {
            until("the primary is asked", || async { !scripted.primary.heads(&path).is_empty() }).await;
            scripted.says(&path, 200, taken.clone());
            http.post(&path, pushed).await.expect(200);
            scripted.serves(&path, &taken).await;
        });
    }
}

#[tokio::test]
async fn a_forwarded_activation_is_no_longer_remembered_as_unknown() {
    let (operator, account, importer) = (Operator::new(), Account::new(), Account::new());
    let scripted = Scripted::new(&operator).await;
    let activation = account.activation(&importer, "news", 10);
    let path = format!("{ACTIVATIONS}/{}", HashId::of(&account.key(), &importer.key(), "news").unwrap());
    scripted.says(&account.path(), 200, operator.account(&account, 10));
    scripted.replica.http.get(&path).await.expect(404);
    scripted.says(&path, 200, activation.clone());
    scripted.replica.http.get(&path).await.expect(404);
    scripted.says(ACTIVATIONS, 200, "");
    scripted.replica.http.post(ACTIVATIONS, activation.clone()).await.expect(200);
    scripted.serves(&path, &activation).await;
}

#[tokio::test]
async fn a_promise_and_a_redirection_of_the_primary_go_back_as_they_are() {
    let (operator, account) = (Operator::new(), Account::new());
    let scripted = Scripted::new(&operator).await;
    let (http, path) = (&scripted.replica.http, account.path());
    scripted.says(&path, 202, "somebody will look at it");
    let reply = http.post(&path, account.sign(&account.claims(now()))).await.expect(202);
    assert_eq!(reply.body, "somebody will look at it");
    scripted.says(&path, 507, "error saving JWT\n");
    http.post(&path, operator.account(&account, 10)).await.expect(507);
    assert_eq!((outcomes(&scripted.replica, "taken").await, outcomes(&scripted.replica, "failed").await), (1.0, 1.0));
    let other = Launch::replica(&operator, "http://primary.example:1").env("NAS_REPLICA__WRITES", "redirect");
    let other = other.start_unready().await;
    let replica = forwarding(&operator, &other.url).start_unready().await;
    let reply = replica.http.post(&path, "x").await.expect(307);
    assert_eq!(reply.header("location"), format!("http://primary.example:1{path}"));
}

#[tokio::test]
async fn a_primary_that_is_away_is_told_from_one_that_is_silent() {
    let (operator, account) = (Operator::new(), Account::new());
    let primary = Server::primary(&operator).await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = forwarding(&operator, &proxy.url()).start().await;
    let nowhere = forwarding(&operator, "http://127.0.0.1:1").start_unready().await;
    let jwt = operator.account(&account, 10);
    let reply = nowhere.http.post(&account.path(), jwt.clone()).await.expect(502);
    assert!(reply.body.starts_with("the primary cannot be reached\nhttp://127.0.0.1:1: "), "{}", reply.body);
    assert!(reply.body.contains("nothing was changed"), "{}", reply.body);
    assert_eq!((reply.header("retry-after"), outcomes(&nowhere, "unreachable").await), ("1", 1.0));

    proxy.cut();
    let reply = replica.http.post(&account.path(), jwt.clone()).await.expect(502);
    assert!(reply.body.starts_with("the primary gave no usable answer\n"), "{}", reply.body);
    assert!(reply.body.contains("may or may not have arrived"), "{}", reply.body);

    proxy.heal();
    proxy.black_hole();
    let (waited, began) = (Duration::from_millis(500), Instant::now());
    let reply = replica.http.post(&format!("{}?wait=500ms", account.path()), jwt.clone()).await.expect(504);
    assert!(began.elapsed() >= waited + Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(reply.body.starts_with("the primary gave no answer in time\n"), "{}", reply.body);
    assert!(reply.body.contains("it is safe to send it again"), "{}", reply.body);
    assert_eq!((reply.header("retry-after"), outcomes(&replica, "timeout").await), ("1", 1.0));
    proxy.heal();
    replica.http.post(&account.path(), jwt).await.expect(200);
}

#[tokio::test]
async fn so_many_changes_wait_for_the_primary_and_no_more() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    let proxy = Proxy::to(primary.host()).await;
    let replica = forwarding(&operator, &proxy.url()).start().await;
    proxy.black_hole();
    let pushes = join_all((0..80).map(|_| async {
        let account = Account::new();
        replica.http.post(&account.path(), operator.account(&account, 10)).await
    }));
    let (replies, ()) = tokio::join!(pushes, async {
        until("there is no room", || async { outcomes(&replica, "busy").await == 16.0 }).await;
        proxy.heal();
    });
    let count = |status| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!((count(200), count(503)), (64, 16));
    let busy = replies.iter().find(|reply| reply.status == 503).unwrap();
    assert!(busy.body.contains("nothing was changed") && busy.header("retry-after") == "1", "{}", busy.body);
}

#[tokio::test]
async fn two_replicas_that_name_each_other_do_not_forward_for_ever() {
    let (operator, account) = (Operator::new(), Account::new());
    let link = Proxy::to_nowhere().await;
    let one = forwarding(&operator, &link.url()).start_unready().await;
    let other = forwarding(&operator, &one.url).start_unready().await;
    link.lead_to(other.host());
    let began = Instant::now();
    let reply = one.http.post(&account.path(), operator.account(&account, 10)).await.expect(508);
    assert!(reply.body.contains("has come here by way of 2 replicas"), "{}", reply.body);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((outcomes(&one, "loop").await, outcomes(&one, "failed").await), (1.0, 1.0));
    assert_eq!((outcomes(&other, "loop").await, outcomes(&other, "failed").await), (0.0, 1.0));
}

#[tokio::test]
async fn a_change_passes_a_few_replicas_and_is_seen_on_all_of_them() {
    let (operator, account) = (Operator::new(), Account::new());
    let mut chain = vec![Server::primary(&operator).await];
    for _ in 0..9 {
        let next = forwarding(&operator, &chain.last().unwrap().url).start_unready().await;
        chain.push(next);
    }
    let jwt = operator.account(&account, 10);
    chain[9].http.post(&account.path(), jwt.clone()).await.expect(508);
    chain[0].http.get(&account.path()).await.expect(404);
    chain[8].http.post(&account.path(), jwt.clone()).await.expect(200);
    for server in chain[..9].iter().rev() {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, jwt);
    }
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_does_not_get_to_the_primary() {
    let (operator, account) = (Operator::new(), Account::new());
    let primary = FakePrimary::without_feed(|_| Answer::new(200, "")).await;
    let replica = forwarding(&operator, &primary.url).env("NAS_HTTP__READ_TIMEOUT", "3s").start_unready().await;
    for (length, status) in [(5, 408), ((1 << 20) + 5_000, 413)] {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n",
            account.path()
        );
        let answer = replica.http.raw(head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert_eq!(primary.requests(), 0);
    replica.http.post(&account.path(), "x".repeat(1 << 20)).await.expect(200);
    assert_eq!(primary.heads_of("POST", &account.path()).len(), 1);
}

#[tokio::test]
async fn who_shows_nothing_comes_as_the_replica_and_others_as_themselves() {
    let (operator, account) = (Operator::new(), Account::new());
    let primary = FakePrimary::without_feed(|_| Answer::new(200, "")).await;
    let by_token = forwarding(&operator, &primary.url).env("NAS_REPLICA__TOKEN", SECRET).env("RUST_LOG", "trace");
    let by_password = forwarding(&operator, &primary.url.replace("://", &format!("://me:{SECRET}@")));
    for (launch, own) in [(by_token, format!("Bearer {SECRET}")), (by_password, "Basic bWU6aHVzaC1odXNo".to_owned())] {
        let replica = launch.start_unready().await;
        for (shown, wanted) in [(None, own.as_str()), (Some("Bearer the-client"), "Bearer the-client")] {
            let before = primary.heads_of("POST", &account.path()).len();
            let mut request = replica.http.request("POST", &format!("{}?wait=1s", account.path())).body("x");
            if let Some(shown) = shown {
                request = request.header("authorization", shown);
            }
            assert_eq!(request.send().await.unwrap().status(), 200);
            let heads = primary.heads_of("POST", &format!("{}?wait=1s ", account.path()));
            let values: Vec<_> =
                heads[before].lines().filter_map(|line| line.strip_prefix("authorization: ")).collect();
            assert_eq!(values, [wanted]);
            assert!(heads[before].contains("\r\nvia: 1.1 nats-account-server-"), "{}", heads[before]);
        }
        let log = replica.log();
        assert!(!log.contains(SECRET) && !log.contains("the-client"), "{log}");
    }
}

#[tokio::test]
async fn a_change_is_forwarded_over_https_with_a_token() {
    let (operator, account, authority) = (Operator::new(), Account::new(), Authority::new("Tests"));
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    authority.server().write(&cert, &key);
    let root = authority.write(&folder.path().join("root.pem"));
    let primary = Launch::primary(&operator).https(&cert, &key, authority.http_client(None)).start().await;
    let replica = forwarding(&operator, &primary.url)
        .env("NAS_REPLICA__TOKEN", SECRET)
        .path("NAS_REPLICA__TLS__ROOT", &root)
        .start()
        .await;
    let jwt = operator.account(&account, 10);
    replica.http.post(&account.path(), jwt.clone()).await.expect(200);
    assert_eq!(primary.http.get(&account.path()).await.expect(200).body, jwt);
    replica.http.post(&account.path(), operator.account(&account, 20)).await.expect(409);
    let stranger = forwarding(&operator, &primary.url).start_unready().await;
    let reply = stranger.http.post(&account.path(), jwt).await.expect(502);
    assert!(reply.body.contains("replica.tls.root") && reply.body.contains("nothing was changed"), "{}", reply.body);
}

/// A cache asks its primary about digests in the name of who asks it, and with nothing else: what the primary gives only to
/// those that it knows is not given to everybody who can reach the cache.
#[tokio::test]
async fn a_question_about_digests_goes_on_without_the_credentials_of_the_replica() {
    let operator = Operator::new();
    let primary = FakePrimary::without_feed(|_| Answer::new(404, "")).await;
    primary.now_says(|path| {
        if path.starts_with("/jwt/v1/digests") { Answer::new(401, "who are you?") } else { Answer::new(404, "") }
    });
    let by_token = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__TOKEN", SECRET);
    let by_password = Launch::replica(&operator, &primary.url.replace("://", &format!("://me:{SECRET}@")));
    for launch in [by_token, by_password] {
        let replica = launch.start_unready().await;
        for shown in [None, Some("Bearer the-client")] {
            let before = primary.heads_of("GET", "/jwt/v1/digests").len();
            let mut request = replica.http.request("GET", "/jwt/v1/digests");
            if let Some(shown) = shown {
                request = request.header("authorization", shown);
            }
            assert_eq!(request.send().await.unwrap().status(), 401);
            let heads = primary.heads_of("GET", "/jwt/v1/digests");
            let values: Vec<_> =
                heads[before].lines().filter_map(|line| line.strip_prefix("authorization: ")).collect();
            assert_eq!(values, Vec::from_iter(shown));
        }
    }
}

#[tokio::test]
async fn a_question_about_digests_goes_on_without_the_certificate_of_the_replica() {
    let (operator, authority) = (Operator::new(), Authority::new("Tests"));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (server, client) = (authority.server(), authority.client());
    server.write(&at("cert.pem"), &at("key.pem"));
    client.write(&at("client.pem"), &at("client.key"));
    let root = authority.write(&at("root.pem"));
    let primary = Launch::primary(&operator)
        .https(&at("cert.pem"), &at("key.pem"), authority.http_client(Some(&client)))
        .path("NAS_HTTP__TLS__ROOT", &root)
        .env("NAS_HTTP__TLS__CLIENT_AUTH", "required")
        .start()
        .await;
    let replica = Launch::replica(&operator, &primary.url)
        .path("NAS_REPLICA__TLS__ROOT", &root)
        .path("NAS_REPLICA__TLS__CERT", &at("client.pem"))
        .path("NAS_REPLICA__TLS__KEY", &at("client.key"))
        .start()
        .await;
    primary.http.get("/jwt/v1/digests").await.expect(200);
    replica.follows().await;
    replica.http.get("/jwt/v1/digests").await.expect(503);
}
