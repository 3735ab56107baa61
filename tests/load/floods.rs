//! Clients that send a lot: what an answer and the log repeat of it, and how much of it is in memory.
use std::time::Duration;

use crate::support::{Account, Launch, Operator, Server, until, within};
use data_encoding::BASE64URL_NOPAD;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The largest body of a push, in bytes.
const LARGEST: usize = 1 << 20;

fn raise() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// The longest run of the letter that the tests send.
fn longest_run(text: &str) -> usize {
    text.split(|symbol: char| !symbol.eq_ignore_ascii_case(&'x')).map(str::len).max().unwrap_or(0)
}

fn token(header: &str, claims: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}.{}", part(header), part(claims), BASE64URL_NOPAD.encode(&[0; 64]))
}

#[tokio::test]
async fn neither_an_answer_nor_the_log_repeats_much_of_what_was_sent() {
    const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
    let operator = Operator::new();
    let server =
        Launch::primary(&operator).env("NAS_LOG__LEVEL", "debug").env("NAS_HTTP__CORS_ORIGINS", "*").start().await;
    let account = Account::new();
    let (long, path) = ("x".repeat(500_000), account.path());
    let head = "x".repeat(60_000);
    let issues = serde_json::json!({ "nats": {
        "imports": (0..200).map(|_| serde_json::json!({ "name": long[..1000], "type": "stream", "subject": "a b" })).collect::<Vec<_>>(),
    }});
    let mut claims = account.claims(crate::support::now() - 10);
    claims["nats"]["imports"] = issues["nats"]["imports"].clone();
    let bodies = [
        token(&format!(r#"{{"typ":"{long}","alg":"ed25519-nkey"}}"#), "{}"),
        token(&format!(r#"{{"typ":"JWT","alg":"{long}"}}"#), "{}"),
        token(HEADER, &format!(r#"{{"{long}":1"#)),
        token(HEADER, &format!(r#"{{"sub":{{"{long}":1}}}}"#)),
        token(
            HEADER,
            &format!(r#"{{"sub":"{long}","iss":"{long}","jti":"{long}","nats":{{"type":"{long}","version":2}}}}"#),
        ),
        operator.sign(&claims),
        format!("{long}.{long}"),
        long.clone(),
    ];
    let mut requests: Vec<(String, String, String)> = Vec::new();
    for body in bodies {
        for path in [&*path, "/jwt/v1/activations", "/jwt/v1/operator"] {
            requests.push((format!("POST {path}"), String::new(), body.clone()));
        }
        requests.push((format!("DELETE {path}"), String::new(), body));
    }
    for text in [
        format!(r#"{{"{}":1}}"#, &long[..100_000]),
        format!(r#"{{"session":"{0}","id":"{0}","have":"{0}"}}"#, &long[..2_000]),
        format!(r#"{{"have":[["{0}","{0}"]]}}"#, &long[..2_000]),
    ] {
        requests.push(("POST /jwt/v1/digests".to_owned(), String::new(), text.clone()));
        requests.push(("POST /jwt/v1/followers".to_owned(), String::new(), text));
    }
    for target in [
        format!("/{head}"),
        format!("/jwt/v1/accounts/{head}"),
        format!("/jwt/v1/accounts/{head}/"),
        format!("/jwt/v1/accounts/{head}/history"),
        format!("/jwt/v1//accounts/{}?{head}", account.key()),
        format!("/JWT/v1/accounts/?{head}"),
        format!("/jwt/v1/activations/{head}"),
        format!("/jwt/v1/pack?max={head}"),
        format!("/jwt/v1/digests?prefix={head}"),
        format!("/jwt/v1/changes?session={head}&after={head}&chain={head}"),
        format!("/jwt/v1/changes?wait={head}"),
        format!("{path}/propagation?serial={head}"),
        format!("/jwt/v1/ahead?after={head}"),
    ] {
        requests.push((format!("GET {target}"), String::new(), String::new()));
        requests.push((format!("POST {target}"), String::new(), "x".to_owned()));
    }
    for query in ["wait", "require", "withhold"] {
        requests.push((format!("POST {path}?{query}={head}"), String::new(), "x".to_owned()));
        requests.push((format!("POST /jwt/v1/operator?{query}={head}"), String::new(), "x".to_owned()));
    }
    for (line, headers) in [
        ("GET /jwt/v1/help", format!("x-forwarded-host: {head}\r\n")),
        (
            "OPTIONS /jwt/v1/operator",
            format!(
                "origin: https://a\r\naccess-control-request-method: POST\r\naccess-control-request-headers: {head}\r\n"
            ),
        ),
        ("GET /livez", format!("accept: application/json\r\nif-none-match: \"{head}\"\r\n")),
        ("GET /jwt/v1/accounts/y", format!("accept: application/json, {head}\r\n")),
    ] {
        requests.push((line.to_owned(), headers, String::new()));
    }
    requests.push((format!("{} /livez", head.to_uppercase()), String::new(), String::new()));
    for (line, headers, body) in requests {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        let answer = server.http.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{line:.100}: {answer}");
        assert!(
            longest_run(&answer) <= 256 && answer.len() < 8192,
            "{line:.100}: {} bytes: {answer:.600}",
            answer.len()
        );
    }
    let log = server.log();
    let line = log.lines().max_by_key(|line| (longest_run(line), line.len())).unwrap();
    assert!(longest_run(line) <= 256, "{line:.2000}");
    assert!(log.lines().all(|line| line.len() < 4096));
}

#[tokio::test]
async fn a_thousand_malformed_requests_are_a_handful_of_lines() {
    let server = Server::primary(&Operator::new()).await;
    let before = server.log().lines().count();
    let noise: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /livez HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\0\x01\x02\x03",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"POST /jwt/v1/operator HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    ];
    for number in 0..1000 {
        let answer = server.http.raw(noise[number % noise.len()]).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let rejected = "rejected a connection from 127.0.0.1: it sent no HTTP request: ";
    server.logs(rejected).await;
    let lines = server.log().lines().skip(before).map(str::to_owned).collect::<Vec<_>>();
    assert!(lines.len() <= 10, "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains("[WRN]")), "{lines:#?}");
}

#[tokio::test]
async fn rejected_requests_are_a_warning_for_each_reason_with_path_and_client() {
    let server = Launch::primary(&Operator::new()).env("NAS_HTTP__TRUSTED_PROXIES", "127.0.0.1").start().await;
    let before = server.log().lines().count();
    let path = Account::new().path();
    for _ in 0..100 {
        let request = server.http.request("POST", &path).header("x-forwarded-for", "192.0.2.7").body("no token");
        assert_eq!(request.send().await.unwrap().status().as_u16(), 400);
        server.http.send("PUT", &path, &[]).await.expect(405);
    }
    let lines = server.log().lines().skip(before).map(str::to_owned).collect::<Vec<_>>();
    assert!(lines.len() <= 6, "{lines:#?}");
    let wanted = format!("path={path} client=192.0.2.7 status=400 reason=undecodable");
    let told = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(told("[WRN] rejected POST from 192.0.2.7: bad JWT in request: ") && told(&wanted), "{lines:#?}");
    assert!(told("[WRN] rejected PUT from 127.0.0.1: Method Not Allowed"), "{lines:#?}");
}

/// A push of the largest size from a client at an address of its own, of which half is sent.
async fn half_a_push(server: &Server, number: usize, expect: &str) -> TcpStream {
    let mut stream = within("a connection", TcpStream::connect(server.host())).await.unwrap();
    let path = Account::new().path();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 10.1.{}.{}\r\ncontent-length: {LARGEST}\r\n{expect}\r\n",
        number / 250,
        number % 250 + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The first line of an answer, if one comes at once.
async fn first_line(stream: &mut TcpStream) -> Option<String> {
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut answer)).await.ok()?.unwrap_or(0);
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(!text.starts_with("HTTP/1.1 503") || text.contains("retry-after: 1\r\n"), "{text}");
    text.lines().next().map(str::to_owned)
}

#[tokio::test]
async fn bodies_in_transit_have_a_bound_and_those_that_began_come_to_their_end() {
    raise();
    let operator = Operator::new();
    let launch = Launch::primary(&operator).env("NAS_HTTP__TRUSTED_PROXIES", "127.0.0.1");
    let server = launch.env("NAS_HTTP__READ_TIMEOUT", "60s").start().await;
    let before = server.peak_memory();
    let half = vec![b'x'; LARGEST / 2];
    let mut pushes = Vec::new();
    for number in 0..600 {
        let mut stream = half_a_push(&server, number, "").await;
        // One that is answered already may take no more.
        let _ = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&half)).await;
        pushes.push(stream);
    }
    let (mut waiting, mut rejected) = (Vec::new(), 0);
    for mut stream in pushes {
        match first_line(&mut stream).await {
            None => waiting.push(stream),
            Some(line) => {
                assert!(line.starts_with("HTTP/1.1 503") || line.is_empty(), "{line}");
                rejected += 1;
            }
        }
    }
    assert_eq!((waiting.len(), rejected), (56, 544));
    let peak = server.peak_memory() - before;
    assert!(peak < 160 << 20, "{} MiB", peak >> 20);
    assert!(server.http.metric("http_body_bytes", "").await <= f64::from(64 << 20));
    assert!(server.http.metric("http_bodies_rejected_total", "").await >= 544.0);
    // A client that asks first sends nothing.
    let mut asking = half_a_push(&server, 700, "expect: 100-continue\r\n").await;
    assert!(first_line(&mut asking).await.unwrap().starts_with("HTTP/1.1 503"));
    // A small push has room.
    let account = Account::new();
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    for stream in &mut waiting {
        stream.write_all(&half).await.unwrap();
        let line = loop {
            if let Some(line) = first_line(stream).await {
                break line;
            }
        };
        assert!(line.starts_with("HTTP/1.1 400"), "{line}");
    }
    until("all is free", || async { server.http.metric("http_body_bytes", "").await == 0.0 }).await;
    let mut asking = half_a_push(&server, 700, "expect: 100-continue\r\n").await;
    assert!(first_line(&mut asking).await.unwrap().starts_with("HTTP/1.1 100"));
}

#[tokio::test]
async fn one_client_has_a_part_of_the_room_and_not_for_ever() {
    let server = Launch::primary(&Operator::new()).env("NAS_HTTP__READ_TIMEOUT", "2s").start().await;
    let mut pushes = Vec::new();
    for number in 0..20 {
        pushes.push(half_a_push(&server, number, "").await);
    }
    let mut rejected = 0;
    for stream in &mut pushes {
        rejected += usize::from(first_line(stream).await.is_some_and(|line| line.starts_with("HTTP/1.1 503")));
    }
    assert_eq!(rejected, 4);
    until("those that send nothing are given up", || async { server.http.metric("http_body_bytes", "").await == 0.0 })
        .await;
}
