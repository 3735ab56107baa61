//! A server that answers and is no account server: what it lacks is not believed, and people are told what it is.

use std::time::{Duration, Instant};

use crate::support::{Account, Answer, FakePrimary, Launch, NatsLaunch, Operator, Proxy, Server, free_address, until};

/// What a stranger answers to everything, and what has to be said of it.
struct Stranger {
    name: &'static str,
    answer: Answer,
    said: &'static [&'static str],
}

fn strangers() -> Vec<Stranger> {
    let html = |answer: Answer| answer.header("content-type", "text/html; charset=utf-8").header("server", "nginx/1.2");
    let stranger = |name, answer, said| Stranger { name, answer, said };
    vec![
        stranger("404", Answer::new(404, "404 page not found\n"), &["is not an account server", "404 Not Found"]),
        stranger(
            "an ingress",
            Answer::new(404, "default backend - 404"),
            &["is not an account server", "default backend of an ingress"],
        ),
        stranger("a page", html(Answer::new(404, "<html>no</html>")), &["`Server: nginx/1.2`", "a web page"]),
        stranger("a page for everything", html(Answer::new(200, "<html>hi</html>")), &["200 OK", "a web page"]),
        // It passes the probe, and has no JWT and no feed.
        stranger("an empty page for everything", Answer::new(200, ""), &[]),
        stranger(
            "a redirection",
            Answer::new(301, "").header("location", "https://user:pw@elsewhere.example:8443/x?secret=1"),
            &["301 Moved Permanently", "redirects to https://elsewhere.example:8443"],
        ),
        stranger("405", Answer::new(405, "no\n"), &["is not an account server"]),
        stranger("410", Answer::new(410, "gone\n"), &["is not an account server"]),
        stranger(
            "plain HTTP at a port of HTTPS",
            Answer::new(400, "Client sent an HTTP request to an HTTPS server.\n"),
            &["speaks HTTPS", "https://"],
        ),
        stranger("401", Answer::new(401, "who?\n"), &["401 Unauthorized", "replica.token", "certificate"]),
        stranger("403", Answer::new(403, "no\n"), &["403 Forbidden", "replica.token", "certificate"]),
        stranger("407", Answer::new(407, "no\n"), &["407 Proxy Authentication Required", "proxy"]),
    ]
}

/// Nothing is believed of the server at `url`, and each of `said` is in the log, in a 503 and in the readiness report.
async fn is_not_believed(launch: Launch, name: &str, url: &str, said: &[&str]) {
    let replica = launch.start_unready().await;
    let mut replies = Vec::new();
    for path in [Account::new().path(), Account::new().path(), format!("/jwt/v1/activations/{}", hash())] {
        replies.push(replica.http.get(&path).await);
    }
    for reply in replies {
        assert_eq!(reply.status, 503, "{name}: {}", reply.body);
        for said in said {
            assert!(reply.body.contains(said), "{name}: {}", reply.body);
        }
    }
    until(&format!("{name}: it is said in the log"), || async {
        said.iter().all(|said| replica.log().lines().any(|line| line.contains("[WRN]") && line.contains(said)))
    })
    .await;
    until(&format!("{name}: the readiness report says it"), || async {
        let ready = replica.http.get("/readyz?verbose").await.expect(503).body;
        said.iter().all(|said| ready.contains(said)) && ready.contains(url)
    })
    .await;
    assert!(!replica.log().contains("secret=1") && !replica.log().contains("user:pw"), "{}", replica.log());
}

fn hash() -> String {
    let [issuer, importer] = [(); 2].map(|()| Account::new());
    nats_account_server::jwt::activation_hash_id(&issuer.key(), &importer.key(), "orders").unwrap()
}

#[tokio::test]
async fn what_is_no_account_server_is_not_believed_and_said() {
    let operator = Operator::new();
    for Stranger { name, answer, said } in strangers() {
        let server = FakePrimary::stranger(move |_| answer.clone()).await;
        let mode = if name == "404" { "mirror" } else { "cache" };
        let launch = Launch::replica(&operator, &server.url).env("NAS_REPLICA__MODE", mode);
        is_not_believed(launch, name, &server.url, said).await;
        assert!(server.heads("").len() < 100, "{name}: {} requests", server.heads("").len());
    }
}

#[tokio::test]
async fn a_monitoring_port_of_a_nats_server_is_called_that() {
    let nats = NatsLaunch::bare("2.12.8").with("http: \"127.0.0.1:-1\"").start().await;
    let url = format!("http://{}", nats.monitoring());
    let said = ["is not an account server", "404 Not Found", "the monitoring port of a nats-server"];
    is_not_believed(Launch::replica(&Operator::new(), &url), "nats-server", &url, &said).await;
}

#[tokio::test]
async fn an_account_server_that_gives_way_to_something_else_is_not_believed_until_it_is_back() {
    let (operator, account) = (Operator::new(), Account::new());
    let primary = Server::primary(&operator).await;
    let jwt = operator.account(&account, 100);
    primary.http.post(&account.path(), jwt.clone()).await.expect(200);
    let way = Proxy::to(primary.host()).await;
    let replica = Server::replica(&operator, &way.url()).await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
    replica.http.get(&Account::new().path()).await.expect(404);
    // It answers the probe as older servers do, which is not enough from here on.
    let other = FakePrimary::without_feed(|_| Answer::new(404, "404 page not found\n")).await;
    way.lead_to(other.url.trim_start_matches("http://"));
    until("what it lacks is not believed", || async {
        let reply = replica.http.get(&Account::new().path()).await;
        reply.status == 503 && reply.body.contains("an account server answered there before")
    })
    .await;
    for _ in 0..5 {
        replica.http.get(&Account::new().path()).await.expect(503);
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
    }
    replica.http.get("/readyz").await.expect(200);
    way.lead_to(primary.host());
    until("it is believed again", || async { replica.http.get(&Account::new().path()).await.status == 404 }).await;
}

#[tokio::test]
async fn a_server_of_old_is_believed_as_long_as_its_probe_is_answered() {
    let operator = Operator::new();
    let primary = FakePrimary::without_feed(|_| Answer::new(404, "404 page not found\n")).await;
    let replica = Launch::replica(&operator, &primary.url).start().await;
    let probes = || primary.heads("/jwt/v1/accounts/ ").len();
    let (before, began) = (probes(), Instant::now());
    for _ in 0..3 {
        let asked = (0..20).map(|_| async { replica.http.get(&Account::new().path()).await.status });
        assert_eq!(futures_util::future::join_all(asked).await, [404; 20]);
    }
    let most = before + 2 + usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(probes() <= most, "{} probes, {most} expected", probes());
    // A load balancer, say, whose account servers are down: by its looks, or by the next probe.
    let page = || Answer::new(404, "<html>no</html>").header("content-type", "text/html").header("server", "nginx");
    primary.is_stranger(true);
    primary.now_says(move |_| page());
    replica.http.get(&Account::new().path()).await.expect(503);
    primary.now_says(|_| Answer::new(404, "404 page not found\n"));
    replica.http.get(&Account::new().path()).await.expect(503);
    primary.is_stranger(false);
    until("it is believed again", || async { replica.http.get(&Account::new().path()).await.status == 404 }).await;
    primary.is_stranger(true);
    until("it is not believed", || async { replica.http.get(&Account::new().path()).await.status == 503 }).await;
}

#[tokio::test]
async fn a_list_with_strangers_before_a_primary_uses_the_primary() {
    let operator = Operator::new();
    let primary = Server::primary(&operator).await;
    for Stranger { name, answer, .. } in strangers() {
        let server = FakePrimary::stranger(move |_| answer.clone()).await;
        let replica = Launch::replica(&operator, &format!("{},{}", server.url, primary.url)).start().await;
        let account = Account::new();
        let jwt = operator.account(&account, 100);
        primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt, "{name}");
        replica.http.get(&Account::new().path()).await.expect(404);
        replica.follows().await;
        assert_eq!(replica.http.metric("replica_upstream", &format!("url=\"{}\"", primary.url)).await, 1.0, "{name}");
    }
}

#[tokio::test]
async fn no_change_is_made_by_a_stranger() {
    let (operator, account) = (Operator::new(), Account::new());
    for status in [200, 202, 404, 405] {
        let stranger = FakePrimary::stranger(move |_| Answer::new(status, "ok\n")).await;
        let launch = Launch::replica(&operator, &stranger.url).env("NAS_REPLICA__WRITES", "forward");
        let replica = launch.start_unready().await;
        let reply = replica.http.post(&account.path(), operator.account(&account, 10)).await;
        assert!(reply.status >= 500 && reply.body.contains("is not an account server"), "{status}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_replica_whose_primary_is_itself_says_so() {
    let (operator, own) = (Operator::new(), free_address());
    let replica = Launch::replica(&operator, &format!("http://{own}")).at(&own).start_unready().await;
    let said = "it leads back to this server itself";
    for _ in 0..3 {
        let began = Instant::now();
        let reply = replica.http.get(&Account::new().path()).await.expect(503);
        assert!(reply.body.contains(said), "{}", reply.body);
        assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
    }
    replica.logs(&format!("the primary http://{own} cannot be used: {said}")).await;
    until("the readiness report says it", || async {
        replica.http.get("/readyz").await.expect(503).body.contains(said)
    })
    .await;
}

#[tokio::test]
async fn replicas_that_ask_each_other_in_a_circle_say_so() {
    let operator = Operator::new();
    let addresses = [free_address(), free_address(), free_address()];
    let mut replicas = Vec::new();
    for (place, own) in addresses.iter().enumerate() {
        let next = format!("http://{}", addresses[(place + 1) % addresses.len()]);
        replicas.push(Launch::replica(&operator, &next).at(own).start_unready().await);
    }
    let said = "it leads back to this server by way of replicas (2 in all)";
    for replica in &replicas {
        replica.logs(said).await;
        let began = Instant::now();
        let reply = replica.http.get(&Account::new().path()).await.expect(503);
        assert!(reply.body.contains(said), "{}", reply.body);
        assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
        until("the readiness report says it", || async {
            replica.http.get("/readyz").await.expect(503).body.contains(said)
        })
        .await;
    }
}

/// Leads each connection to the next of some servers.
async fn in_turn(to: [String; 2]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for turn in [0, 1].into_iter().cycle() {
            let (mut client, _) = listener.accept().await.unwrap();
            let to = to[turn].clone();
            tokio::spawn(async move {
                if let Ok(mut server) = tokio::net::TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_replica_that_is_among_the_servers_that_it_asks_asks_the_others() {
    let (operator, own) = (Operator::new(), free_address());
    let primary = Server::primary(&operator).await;
    let pool = in_turn([own.clone(), primary.host().to_owned()]).await;
    let replica = Launch::replica(&operator, &pool).at(&own).start().await;
    replica.follows().await;
    for _ in 0..10 {
        let account = Account::new();
        let jwt = operator.account(&account, 100);
        primary.http.post(&account.path(), jwt.clone()).await.expect(200);
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, jwt);
        replica.http.get(&Account::new().path()).await.expect(404);
    }
    assert!(!replica.log().contains("cannot be used"), "{}", replica.log());
}
