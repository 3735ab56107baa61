//! Attackers who guess passwords, and the clients next to them.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::world::{World, basic, get, send, user};
use crate::support::{Account, Http, until};

#[tokio::test]
async fn a_client_behind_the_same_address_as_an_attacker_goes_on() {
    let account = Account::new();
    let users = [user("nats", &["read"]), user("nsc", &["read", "push"])];
    let world = World::new(&json!({ "anonymous": [], "users": users }));
    let server = Arc::new(world.start().await);
    let (nats, nsc) = (basic("nats", "hush-hush"), basic("nsc", "hush-hush"));
    send(&server.http, "POST", &account.path(), Some(&nsc), &world.operator.account(&account, 10)).await.expect(200);
    get(&server.http, &account.path(), &nats).await.expect(200);
    let (stop, wrong) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let attackers = (0..4).map(|attacker| {
        let (server, path, stop, wrong) = (server.clone(), account.path(), stop.clone(), wrong.clone());
        tokio::spawn(async move {
            let mut statuses = std::collections::BTreeSet::new();
            while stop.load(Ordering::Relaxed) == 0 {
                let guess = format!("{attacker} {}", wrong.fetch_add(1, Ordering::Relaxed));
                // Two names that exist, and made-up ones.
                let name = ["nats", "nsc", &format!("made-up {guess}")][wrong.load(Ordering::Relaxed) % 3].to_owned();
                statuses.insert(get(&server.http, &path, &basic(&name, &guess)).await.status);
            }
            statuses
        })
    });
    let attackers: Vec<_> = attackers.collect();
    until("the attackers are locked out", || async {
        server.http.get("/healthz").await.status == 200 && wrong.load(Ordering::Relaxed) > 300
    })
    .await;
    // Passwords that are known are known.
    let began = Instant::now();
    for _ in 0..200 {
        get(&server.http, &account.path(), &nats).await.expect(200);
        get(&server.http, &format!("{}?check=true", account.path()), &nsc).await.expect(200);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // The same user with a password that was not seen yet: another spelling of the same header.
    let unseen = basic("nsc", "hush-hush").replace("Basic", "basic");
    until("it gets its turn", || async {
        let reply = get(&server.http, &account.path(), &unseen).await;
        assert!(matches!(reply.status, 200 | 429 | 503), "{}", reply.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
        reply.status == 200
    })
    .await;
    stop.store(1, Ordering::Relaxed);
    for statuses in join_all(attackers).await {
        assert!(statuses.unwrap().iter().all(|status| matches!(status, 401 | 429 | 503)));
    }
    let reply = get(&server.http, &account.path(), &basic("nats", "one more")).await;
    assert!(reply.status == 401 || !reply.header("retry-after").is_empty(), "{}", reply.body);
}

/// An address of this machine that is not the loopback.
fn own_address() -> Option<IpAddr> {
    // Nothing is sent.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").ok()?;
    socket
        .local_addr()
        .ok()
        .map(|local| local.ip())
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
}

#[tokio::test]
async fn a_password_over_plain_http_is_a_warning_unless_it_stays_on_this_machine_or_a_proxy_had_it_encrypted() {
    let Some(own) = own_address() else {
        return println!("skipped: this machine has no address but the loopback");
    };
    let users = [user("nsc", &["read"]), user("none", &[])];
    let world = World::new(&json!({ "anonymous": [], "users": users }));
    let credential = basic("nsc", "hush-hush");
    for (proxies, proto, is_warned) in
        [("192.0.2.1", "https", true), (&*own.to_string(), "https", false), (&own.to_string(), "http", true)]
    {
        let server = world.launch().env("NAS_HTTP__TRUSTED_PROXIES", proxies).at("0.0.0.0:0").start().await;
        let outside = Http::new(&server.url.replace("127.0.0.1", &own.to_string()));
        let headers = [("authorization", &*credential), ("x-forwarded-proto", proto)];
        for path in ["/jwt/v1/operator", &Account::new().path()] {
            server.http.send("GET", path, &headers).await;
        }
        assert!(!server.log().contains("plain HTTP"), "from this machine: {}", server.log());
        for path in ["/jwt/v1/operator", &Account::new().path()] {
            outside.send("GET", path, &headers).await;
        }
        let said = "the credentials of user nsc came from";
        if is_warned {
            server.logs_times(said, 1).await;
        }
        assert_eq!(server.log().matches(said).count(), usize::from(is_warned), "{proxies} {proto}: {}", server.log());
        assert!(!server.log().contains("hush"), "{}", server.log());
    }
}

#[tokio::test]
async fn unknown_names_take_as_long_as_known_ones() {
    let world = World::new(&json!({ "anonymous": [], "users": [{
        // Slow enough to be measured.
        "name": "nsc", "password": bcrypt::hash_with_salt("hush-hush", 9, [7; 16]).unwrap().to_string(), "scopes": ["read"],
    }] }));
    let server = world.start().await;
    let took = async |name: String| {
        let began = Instant::now();
        get(&server.http, "/jwt/v1/help", &basic(&name, "wrong")).await.expect(401);
        began.elapsed()
    };
    let (known, unknown) = (took("nsc".to_owned()).await, took("nobody".to_owned()).await);
    assert!(unknown > known / 3, "{known:?} {unknown:?}");
}
