//! Routes, methods, and what surrounds the tokens.

use crate::support::{Account, Operator, Server};

#[tokio::test]
async fn the_probe_of_a_nats_server_is_answered_with_or_without_its_slash() {
    let server = Server::primary(&Operator::new()).await;
    for path in ["/jwt/v1/accounts", "/jwt/v1/accounts/", "/jwt/v1/accounts/?x=y"] {
        let reply = server.http.get(path).await.expect(200);
        assert_eq!(reply.body, "");
        assert_eq!(reply.header("cache-control"), "no-cache, no-store, must-revalidate");
    }
}

#[tokio::test]
async fn methods_that_a_route_does_not_know_are_refused_with_those_it_does() {
    let server = Server::primary(&Operator::new()).await;
    let account = Account::new().path();
    let reads = "GET, HEAD, OPTIONS";
    let writes = "GET, HEAD, POST, DELETE, OPTIONS";
    for (path, allow) in [
        (&*account, writes),
        (&*format!("{account}/propagation"), reads),
        ("/jwt/v1/accounts", reads),
        ("/jwt/v1/accounts/", reads),
        ("/jwt/v1/operator", "GET, HEAD, POST, OPTIONS"),
        ("/jwt/v1/changes", reads),
        ("/jwt/v1/digests", "GET, HEAD, POST, OPTIONS"),
        ("/jwt/v1/keys", reads),
        ("/healthz", reads),
        ("/livez", reads),
        ("/readyz", reads),
        ("/metrics", reads),
    ] {
        for method in ["PUT", "PATCH", "POST", "DELETE", "BREW"] {
            if allow.contains(method) {
                continue;
            }
            let reply = server.http.send(method, path, &[]).await.expect(405);
            assert_eq!(reply.header("allow"), allow, "{method} {path}");
        }
        let reply = server.http.send("OPTIONS", path, &[]).await.expect(200);
        assert_eq!((reply.header("allow"), &*reply.body), (allow, ""), "{path}");
    }
}

#[tokio::test]
async fn a_slash_too_many_leads_to_the_path_without_it() {
    let server = Server::primary(&Operator::new()).await;
    let account = Account::new().path();
    for path in [&*account, &*format!("{account}/propagation"), "/healthz", "/jwt/v1/operator", "/metrics"] {
        for (method, status) in [("GET", 301), ("HEAD", 301), ("POST", 307), ("DELETE", 307)] {
            let reply = server.http.send(method, &format!("{path}/?text=true"), &[]).await.expect(status);
            assert_eq!(reply.header("location"), format!("{path}?text=true"), "{method}");
        }
    }
    // The client's own spelling is sent back, so that no escape of it becomes a header.
    let reply = server.http.get("/jwt/v1/accounts/a%0d%0aset-cookie:x=y/").await.expect(301);
    assert_eq!(reply.header("location"), "/jwt/v1/accounts/a%0d%0aset-cookie:x=y");
    assert_eq!(reply.header("set-cookie"), "");
}

#[tokio::test]
async fn what_is_no_route_is_not_found() {
    let server = Server::primary(&Operator::new()).await;
    for path in ["/", "/jwt", "/jwt/v2/operator", "/jwt/v1/accounts/a/b", "//", "/..%2fetc", "/%"] {
        let reply = server.http.get(path).await.expect(404);
        assert_eq!(reply.body, "404 page not found\n", "{path}");
        server.http.post(path, "x").await.expect(404);
    }
}

#[tokio::test]
async fn requests_that_are_no_http_do_not_harm_the_server() {
    let server = Server::primary(&Operator::new()).await;
    for bytes in [&b"\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0x16, 3, 1, 0, 0], &[0xff; 9000]] {
        let answer = server.http.raw(&[bytes, b"\r\n\r\n"].concat()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    server.http.get("/livez").await.expect(200);
}

#[tokio::test]
async fn health_readiness_and_metrics_can_be_asked_for() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    assert_eq!(server.http.get("/healthz").await.expect(200).body, "");
    assert_eq!(server.http.get("/livez").await.expect(200).body, "ok\n");
    assert_eq!(server.http.get("/readyz").await.expect(200).body, "ok\n");
    let verbose = server.http.get("/readyz?verbose").await.expect(200).body;
    for line in
        ["[+] store: 0 accounts", &format!("[+] operator: {} (Tests)", operator.key()), "[+] nats: not configured"]
    {
        assert!(verbose.contains(line), "{verbose}");
    }
    let metrics = server.http.get("/metrics").await.expect(200);
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.body.contains("role=\"primary\""), "{}", metrics.body);
    let account = Account::new();
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    server.http.get(&account.path()).await.expect(200);
    server.http.get(&Account::new().path()).await.expect(404);
    assert_eq!(server.http.metric("accounts", "").await, 1.0);
    assert_eq!(server.http.metric("accepted_total", "path=\"post\"").await, 1.0);
    assert_eq!(server.http.metric("http_requests_total", "code=\"404\",method=\"GET\",route=\"account\"").await, 1.0);
    assert_eq!(server.http.metric("http_requests_total", "route=\"account\"").await, 3.0);
}
