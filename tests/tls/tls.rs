//! HTTPS: who is served, and what happens when certificates change.
// The servers are ours.
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::feed::Events;
use crate::support::{Account, Authority, Connection, Http, Launch, NatsServer, Operator, Pair, Server, until, within};
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncReadExt as _;

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// An authority and the files of a server that it issued a certificate for.
struct Site {
    operator: Operator,
    authority: Authority,
    pair: Pair,
    cert: PathBuf,
    key: PathBuf,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let (authority, folder) = (Authority::new("Tests"), tempfile::tempdir().unwrap());
        let (cert, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
        let pair = authority.server();
        pair.write(&cert, &key);
        Self { operator: Operator::new(), authority, pair, cert, key, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A primary to be started, and a client that trusts the authority.
    fn launch(&self) -> Launch {
        Launch::primary(&self.operator).https(&self.cert, &self.key, self.authority.http_client(None))
    }

    fn connect(&self, server: &Server) -> std::io::Result<Connection> {
        Connection::open(server.host(), &self.authority.client_config(None, BOTH))
    }

    /// Waits until new connections get this certificate.
    async fn shows(&self, server: &Server, pair: &Pair) {
        until("the new certificate is shown", || async {
            self.connect(server).is_ok_and(|connection| connection.certificate() == pair.der())
        })
        .await;
    }
}

#[tokio::test]
async fn tokens_are_pushed_and_read_over_https() {
    let (site, account) = (Site::new(), Account::new());
    let server = site.launch().start().await;
    let resolver = format!("resolver: URL({}/jwt/v1/accounts/)", server.url);
    assert!(server.url.starts_with("https://") && server.log().contains(&resolver), "{}", server.log());
    let jwt = site.operator.account(&account, 10);
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    let answer = server.http.request("GET", &account.path()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_11));
    assert_eq!(answer.text().await.unwrap(), jwt);
    let expiry = server.http.metric("tls_certificate_expiry_timestamp_seconds", "section=\"http.tls\"").await;
    assert_eq!(expiry, 3_786_912_000.0);
    // Somebody else's client.
    let stranger = Http::with(Authority::new("Other").http_client(None).build().unwrap(), &server.url);
    assert!(stranger.try_get("/livez").await.unwrap_err().is_connect());
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_sessions_are_resumed() {
    let site = Site::new();
    let server = site.launch().start().await;
    for versions in [&[&TLS12], &[&TLS13]] {
        let config = site.authority.client_config(None, versions);
        assert!(!Connection::open(server.host(), &config).unwrap().is_resumed());
        assert!(Connection::open(server.host(), &config).unwrap().is_resumed());
    }
}

#[tokio::test]
async fn plain_http_and_silence_on_the_https_port_come_to_an_end() {
    let site = Site::new();
    let server = site.launch().env("NAS_HTTP__READ_TIMEOUT", "500ms").start().await;
    let plain = Http::new(&format!("http://{}", server.host()));
    let answer = within("the end", plain.raw(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    assert!(!answer.contains("200"), "{answer}");
    let mut silent = tokio::net::TcpStream::connect(server.host()).await.unwrap();
    let mut nothing = Vec::new();
    let _ = within("the end", silent.read_to_end(&mut nothing)).await;
    server.http.get("/livez").await.expect(200);
}

#[tokio::test]
async fn the_end_is_not_delayed_by_who_is_connected_over_https() {
    let site = Site::new();
    let mut server = site.launch().start().await;
    let mut events = Events::open(&server.http, "").await;
    let _idle = site.connect(&server).unwrap();
    until("the follower is there", || async { server.http.metric("feed_followers", "").await == 1.0 }).await;
    let told = Instant::now();
    server.signal("TERM");
    within("the end of the stream", async { while events.next().await.is_some() {} }).await;
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3), "it took {:?}", told.elapsed());
}

#[tokio::test]
async fn a_push_over_https_that_is_under_way_ends_before_the_server_does() {
    let (site, account) = (Site::new(), Account::new());
    let mut server = site.launch().start().await;
    let jwt = site.operator.account(&account, 10);
    let mut push = site.connect(&server).unwrap();
    let (path, length) = (account.path(), jwt.len());
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    push.send(&head);
    assert!(push.answer().unwrap().starts_with("HTTP/1.1 100 "));
    server.signal("TERM");
    server.logs("stopping http server").await;
    // A client so slow that a server with nothing to do would have ended by then.
    for piece in jwt.as_bytes().chunks(length.div_ceil(10)) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        push.send(std::str::from_utf8(piece).unwrap());
    }
    assert!(push.answer().unwrap().starts_with("HTTP/1.1 200 "));
    drop(push);
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test]
async fn nobody_gets_http_2() {
    let site = Site::new();
    let server = site.launch().start().await;
    let offer = |protocols: &[&str]| {
        let mut config = (*site.authority.client_config(None, BOTH)).clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Connection::open(server.host(), &Arc::new(config))
    };
    for protocols in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
        let protocol = offer(protocols).unwrap().protocol();
        assert_eq!(protocol.as_deref(), (!protocols.is_empty()).then_some("http/1.1"), "{protocols:?}");
    }
    assert!(offer(&["h2"]).is_err());
    // With prior knowledge, over TLS and in the clear.
    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let answer = site.connect(&server).unwrap().raw(PREFACE);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    let plain = Server::primary(&site.operator).await;
    let answer = plain.http.raw(PREFACE.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
}

#[tokio::test]
async fn client_certificates_are_checked_as_far_as_configured() {
    let site = Site::new();
    let root = site.authority.write(&site.file("clients.pem"));
    let (good, foreign) = (site.authority.client(), Authority::new("Other").client());
    // Without a certificate, with a good one, with one of another authority.
    let table = [
        (None, None, [true, true, true]),
        (Some("off"), Some(&root), [true, true, true]),
        (None, Some(&root), [true, true, false]),
        (Some("optional"), Some(&root), [true, true, false]),
        (Some("required"), Some(&root), [false, true, false]),
    ];
    for (mode, root, wanted) in table {
        let mut launch =
            Launch::primary(&site.operator).https(&site.cert, &site.key, site.authority.http_client(Some(&good)));
        if let Some(mode) = mode {
            launch = launch.env("NAS_HTTP__TLS__CLIENT_AUTH", mode);
        }
        if let Some(root) = root {
            launch = launch.path("NAS_HTTP__TLS__ROOT", root);
        }
        let server = launch.start().await;
        for versions in [&[&TLS12], &[&TLS13]] {
            let served = [None, Some(&good), Some(&foreign)]
                .map(|own| Connection::open(server.host(), &site.authority.client_config(own, versions)).is_ok());
            assert_eq!(served, wanted, "{mode:?} with {root:?}");
        }
    }
}

#[tokio::test]
async fn changed_files_are_loaded_while_connections_live_on() {
    let site = Site::new();
    let server = site.launch().start().await;
    let mut living = site.connect(&server).unwrap();
    assert_eq!(living.certificate(), site.pair.der());
    let second = site.authority.server();
    second.write(&site.cert, &site.key);
    site.shows(&server, &second).await;
    let loaded = || async { server.http.metric("reloads_total", "{result=\"ok\",what=\"http.tls\"}").await };
    assert_eq!(loaded().await, 1.0);
    assert!(living.get("/livez").unwrap().starts_with("HTTP/1.1 200"));

    // Half a certificate, a key of another one, nothing at all: each is said once, and changes nothing.
    let third = site.authority.server();
    let failed = || async { server.http.metric("reloads_total", "result=\"failed\",what=\"http.tls\"").await };
    let half = &third.cert[..third.cert.len() / 2];
    for (count, (content, said)) in
        [(half, "not well-formed PEM"), (third.cert.as_str(), "does not match"), ("", "no certificate")]
            .into_iter()
            .enumerate()
    {
        std::fs::write(&site.cert, content).unwrap();
        server.logs(said).await;
        until("it is counted", || async { failed().await == count as f64 + 1.0 }).await;
        assert_eq!(site.connect(&server).unwrap().certificate(), second.der());
    }
    third.write(&site.cert, &site.key);
    site.shows(&server, &third).await;
    assert_eq!((failed().await, loaded().await), (3.0, 2.0));
    assert_eq!(server.log().matches("stay in use").count(), 3, "{}", server.log());
    assert!(living.get("/livez").unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_folder_that_is_exchanged_by_a_symbolic_link_is_noticed() {
    let site = Site::new();
    // As Kubernetes mounts a secret: the files are links into `..data`, which is a link to a folder.
    let version = |name: &str, pair: &Pair| {
        std::fs::create_dir(site.file(name)).unwrap();
        pair.write(&site.file(name).join("tls.crt"), &site.file(name).join("tls.key"));
    };
    let point = |name: &str| {
        symlink(name, site.file("..next")).unwrap();
        std::fs::rename(site.file("..next"), site.file("..data")).unwrap();
    };
    version("..1", &site.pair);
    point("..1");
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), site.file(name)).unwrap();
    }
    let client = site.authority.http_client(None);
    let launch = Launch::primary(&site.operator).https(&site.file("tls.crt"), &site.file("tls.key"), client);
    let server = launch.start().await;
    let second = site.authority.server();
    version("..2", &second);
    point("..2");
    std::fs::remove_dir_all(site.file("..1")).unwrap();
    site.shows(&server, &second).await;
    assert!(!server.log().contains("in use"), "{}", server.log());
}

#[tokio::test]
async fn clients_of_an_authority_that_is_taken_away_are_refused_also_with_a_session_of_before() {
    let site = Site::new();
    let root = site.authority.write(&site.file("clients.pem"));
    let other = Authority::new("Other");
    let (before, after) = (site.authority.client(), other.client());
    let server = Launch::primary(&site.operator)
        .https(&site.cert, &site.key, site.authority.http_client(Some(&before)))
        .path("NAS_HTTP__TLS__ROOT", &root)
        .env("NAS_HTTP__TLS__CLIENT_AUTH", "required")
        .start()
        .await;
    for versions in [&[&TLS12], &[&TLS13]] {
        site.authority.write(&root);
        let (old, new) = (
            site.authority.client_config(Some(&before), versions),
            site.authority.client_config(Some(&after), versions),
        );
        until("the first authority counts", || async { Connection::open(server.host(), &old).is_ok() }).await;
        assert!(Connection::open(server.host(), &old).unwrap().is_resumed());
        assert!(Connection::open(server.host(), &new).is_err());
        other.write(&root);
        until("the second authority counts", || async { Connection::open(server.host(), &new).is_ok() }).await;
        assert!(Connection::open(server.host(), &old).is_err());
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_at_start() {
    let site = Site::new();
    let other = site.authority.server();
    let write = |name: &str, content: &str| {
        std::fs::write(site.file(name), content).unwrap();
        site.file(name)
    };
    let nowhere = site.file("nowhere.pem");
    let both = write("both.pem", &(other.cert.clone() + &site.pair.cert));
    let other_key = write("other.key", &other.key);
    let encrypted = write("encrypted.key", &other.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    let old_encrypted = write(
        "old-encrypted.key",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    );
    let half = write("half.pem", &site.pair.cert[..100]);
    let no_der = write("no-der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let table: [(&Path, &Path, &[&str]); 10] = [
        (&nowhere, &site.key, &["http.tls.cert", "nowhere.pem", "cannot be read", "No such file"]),
        (&site.key, &site.key, &["http.tls.cert", "server.key", "no certificate in it"]),
        (&half, &site.key, &["http.tls.cert", "half.pem", "written to its end"]),
        (&no_der, &site.key, &["http.tls.cert", "no-der.pem", "certificate 1 in it cannot be used"]),
        (&site.cert, &nowhere, &["http.tls.key", "nowhere.pem", "cannot be read"]),
        (&site.cert, &site.cert, &["http.tls.key", "server.pem", "no private key in it"]),
        (&site.cert, &other_key, &["http.tls.key", "other.key", "does not match the certificate in", "server.pem"]),
        (&both, &site.key, &["http.tls.key", "matches certificate 2 in", "both.pem", "put that certificate first"]),
        (&site.cert, &encrypted, &["http.tls.key", "encrypted.key", "is encrypted", "openssl pkey"]),
        (&site.cert, &old_encrypted, &["http.tls.key", "old-encrypted.key", "is encrypted"]),
    ];
    for (cert, key, parts) in table {
        let launch = Launch::primary(&site.operator).flag("-hp", "127.0.0.1:0");
        let (code, text) = launch.https(cert, key, site.authority.http_client(None)).fail().await;
        assert_eq!(code, Some(1), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    }
    let launch = site.launch().flag("-hp", "127.0.0.1:0").path("NAS_HTTP__TLS__ROOT", &nowhere);
    let (code, text) = launch.fail().await;
    assert!(code == Some(1) && text.contains("http.tls.root") && text.contains("nowhere.pem"), "{text}");
}

#[tokio::test]
async fn a_nats_server_resolves_accounts_over_https() {
    for version in ["2.10.26", "2.15.1"] {
        let site = Site::new();
        let root = site.authority.write(&site.file("ca.pem"));
        let own = site.authority.client();
        own.write(&site.file("nats.pem"), &site.file("nats.key"));
        let server = Launch::primary(&site.operator)
            .https(&site.cert, &site.key, site.authority.http_client(Some(&own)))
            .path("NAS_HTTP__TLS__ROOT", &root)
            .env("NAS_HTTP__TLS__CLIENT_AUTH", "required")
            .start()
            .await;
        let account = Account::new();
        for (account, age) in [(site.operator.system(), 90_000), (&account, 10)] {
            server.http.post(&account.path(), site.operator.account(account, age)).await.expect(200);
        }
        let tls = format!(
            "resolver_tls {{ ca_file: {root:?}, cert_file: {:?}, key_file: {:?} }}\n",
            site.file("nats.pem"),
            site.file("nats.key")
        );
        let nats = NatsServer::start_with(version, &(NatsServer::resolving(&site.operator, &server.url) + &tls)).await;
        let options = async_nats::ConnectOptions::with_credentials(&account.user().creds()).unwrap();
        within("a connection", options.connect(format!("nats://{}", nats.address()))).await.unwrap();
        assert!(
            server.http.metric("http_requests_total", "code=\"200\",method=\"GET\",route=\"account\"").await >= 2.0
        );
    }
}
