//! TLS and passwords towards the primary and towards NATS.
use std::path::PathBuf;

use crate::support::{
    Account, Answer, Authority, Connection, FakePrimary, Launch, NatsServer, Operator, Pair, Proxy, Server, until,
};

/// Everything that no log may show.
const SECRET: &str = "hush-hush";

/// A folder of certificates, all of one authority.
struct Keys {
    authority: Authority,
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl Keys {
    fn new() -> Self {
        let (authority, folder) = (Authority::new("Tests"), tempfile::tempdir().unwrap());
        let root = authority.write(&folder.path().join("ca.pem"));
        Self { authority, folder, root }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a pair and gives the names of its files.
    fn pair(&self, name: &str, pair: &Pair) -> (PathBuf, PathBuf) {
        let (cert, key) = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        pair.write(&cert, &key);
        (cert, key)
    }

    /// A primary that only clients of the authority reach.
    async fn primary(&self, operator: &Operator) -> Server {
        let (cert, key) = self.pair("primary", &self.authority.server());
        Launch::primary(operator)
            .https(&cert, &key, self.authority.http_client(Some(&self.authority.client())))
            .path("NAS_HTTP__TLS__ROOT", &self.root)
            .env("NAS_HTTP__TLS__CLIENT_AUTH", "required")
            .start()
            .await
    }

    /// A nats-server's `tls` section, which demands client certificates.
    fn nats_tls(&self) -> String {
        let (cert, key) = self.pair("nats", &self.authority.server());
        format!("tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {:?}, verify: true }}\n", self.root)
    }
}

trait WithTls {
    fn tls(self, section: &str, root: Option<&PathBuf>, pair: Option<&(PathBuf, PathBuf)>) -> Self;
}

impl WithTls for Launch {
    fn tls(mut self, section: &str, root: Option<&PathBuf>, pair: Option<&(PathBuf, PathBuf)>) -> Self {
        let (cert, key) = pair.map(|(cert, key)| (cert, key)).unzip();
        for (name, path) in [("ROOT", root), ("CERT", cert), ("KEY", key)] {
            if let Some(path) = path {
                self = self.path(&format!("NAS_{section}__TLS__{name}"), path);
            }
        }
        self
    }
}

async fn connected(server: &Server) {
    until("it is connected to NATS", || async { server.http.metric("nats_connected", "").await == 1.0 }).await;
}

#[tokio::test]
async fn a_replica_follows_a_primary_over_mutual_tls() {
    let (keys, operator, account) = (Keys::new(), Operator::new(), Account::new());
    let primary = keys.primary(&operator).await;
    primary.http.post(&account.path(), operator.account(&account, 20)).await.expect(200);
    let link = Proxy::to(primary.host()).await;
    let url = format!("https://replica:{SECRET}@{}", link.address());
    let own = keys.pair("replica", &keys.authority.client());
    let other = Authority::new("Other");
    let new = other.client_config(Some(&other.client()), &[&rustls::version::TLS13]);
    let both = keys.file("both.pem");
    std::fs::write(&both, keys.authority.pem.clone() + &other.pem).unwrap();
    let replica = Launch::replica(&operator, &url)
        .flag("-dump", "-V")
        .env("RUST_LOG", "trace")
        .tls("REPLICA", Some(&both), Some(&own))
        .start()
        .await;
    replica.follows().await;
    replica.http.get(&account.path()).await.expect(200);
    let newer = operator.account(&account, 10);
    primary.http.post(&account.path(), newer.clone()).await.expect(200);
    until("the change arrives", || async { replica.http.get(&account.path()).await.body == newer }).await;
    let told = replica.http.get("/readyz?verbose").await.body + &replica.http.post(&account.path(), newer).await.body;
    assert!(told.contains("127.0.0.1") && !told.contains(SECRET), "{told}");
    assert!(!replica.log().contains(SECRET), "{}", replica.log());

    // The primary turns to another authority. The connections of before live on; new ones need new certificates.
    other.write(&keys.root);
    keys.pair("primary", &other.server());
    until("the primary has the other authority's certificate", || async {
        Connection::open(primary.host(), &new).is_ok()
    })
    .await;
    keys.pair("replica", &other.client());
    replica.logs("replica.tls: reloaded").await;
    link.lead_to(primary.host());
    until("it is let in again", || async { replica.http.get(&Account::new().path()).await.status == 404 }).await;
    replica.follows().await;
    assert_eq!(replica.http.metric("reloads_total", "{result=\"ok\",what=\"replica.tls\"}").await, 1.0);
}

#[tokio::test]
async fn a_replica_says_why_it_does_not_get_on_with_its_primary() {
    let (keys, operator, account) = (Keys::new(), Operator::new(), Account::new());
    let primary = keys.primary(&operator).await;
    let stranger = keys.pair("stranger", &Authority::new("Other").client());
    let table = [
        (None, None, "of an authority that is not trusted here: name a file with that authority in replica.tls.root"),
        (Some(&keys.root), None, "wants a client certificate: name one in replica.tls.cert"),
        (Some(&keys.root), Some(&stranger), "does it accept our certificate?"),
    ];
    for (root, pair, said) in table {
        let replica = Launch::replica(&operator, &primary.url).tls("REPLICA", root, pair).start_unready().await;
        replica.logs(said).await;
        let answer = replica.http.get(&account.path()).await.expect(503);
        assert!(answer.body.contains(said), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_replica_shows_its_primary_who_it_is() {
    let (operator, account) = (Operator::new(), Account::new());
    let basic = format!("authorization: Basic {}\r\n", data_encoding::BASE64.encode(b"me:p@ss"));
    let bearer = format!("authorization: Bearer {SECRET}\r\n");
    for (userinfo, token, header) in [("me:p%40ss@", "", basic), ("", SECRET, bearer)] {
        let jwt = operator.account(&account, 10);
        let primary = FakePrimary::without_feed(move |_| Answer::new(200, jwt.clone())).await;
        let url = primary.url.replace("http://", &format!("http://{userinfo}"));
        let replica = Launch::replica(&operator, &url).env("NAS_REPLICA__TOKEN", token).start_unready().await;
        replica.http.get(&account.path()).await.expect(200);
        until("the feed is asked for", || async { !primary.heads("/jwt/v1/changes").is_empty() }).await;
        for path in ["/jwt/v1/changes", "/jwt/v1/accounts/"] {
            let head = primary.heads(path).remove(0);
            assert!(head.to_lowercase().contains(&header.to_lowercase()), "{head}");
        }
    }
}

#[tokio::test]
async fn a_token_for_the_primary_is_never_shown() {
    let operator = Operator::new();
    let primary = FakePrimary::without_feed(|_| Answer::new(500, "")).await;
    let replica = Launch::replica(&operator, &primary.url)
        .env("NAS_REPLICA__TOKEN", SECRET)
        .env("RUST_LOG", "trace")
        .flag("-dump", "-DV")
        .start_unready()
        .await;
    replica.http.get(&Account::new().path()).await.expect(503);
    replica.logs("\"token\": \"***\"").await;
    assert!(!replica.log().contains(SECRET), "{}", replica.log());
    let (code, text) =
        Launch::replica(&operator, &primary.url).env("NAS_REPLICA__TOKEN", &format!("{SECRET} x")).fail().await;
    assert!(code == Some(1) && text.contains("replica.token is a secret") && !text.contains(SECRET), "{text}");
    let url = primary.url.replace("http://", "http://u:p@");
    let (code, text) = Launch::replica(&operator, &url).env("NAS_REPLICA__TOKEN", SECRET).fail().await;
    assert!(code == Some(1) && text.contains("exclude each other") && !text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn a_primary_of_another_authority_is_no_error_line_and_no_path_of_a_build() {
    let (keys, operator) = (Keys::new(), Operator::new());
    let primary = keys.primary(&operator).await;
    let own = keys.pair("own", &keys.authority.client());
    // Only the authorities of the system count: another part of the TLS library looks at those.
    let replica = Launch::replica(&operator, &primary.url).tls("REPLICA", None, Some(&own));
    let replica = replica.start_unready().await;
    replica.logs("authority that is not trusted here").await;
    for _ in 0..3 {
        replica.http.get(&Account::new().path()).await.expect(503);
    }
    let log = replica.log();
    assert!(!log.contains("[ERR]") && !log.contains(".cargo") && !log.contains(".rs"), "{log}");
}

#[tokio::test]
async fn changes_are_announced_to_a_nats_server_that_demands_certificates() {
    let (keys, operator, account) = (Keys::new(), Operator::new(), Account::new());
    let creds = keys.file("sys.creds");
    std::fs::write(&creds, operator.system().user().creds()).unwrap();
    let resolver = Server::primary(&operator).await;
    resolver.http.post(&operator.system().path(), operator.account(operator.system(), 90_000)).await.expect(200);
    let lines = NatsServer::resolving(&operator, &resolver.url) + &keys.nats_tls();
    let nats = NatsServer::start_with("2.12.8", &lines).await;
    let own = keys.pair("own", &keys.authority.client());
    let launch = Launch::primary(&operator).nats(&format!("nats://{}", nats.address()), &creds);
    let primary = launch.clone().tls("NATS", Some(&keys.root), Some(&own)).start().await;
    connected(&primary).await;
    primary.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    until("the nats-server answers", || async { primary.http.metric("announce_replies_total", "").await >= 1.0 }).await;

    // Without what is needed it says so, and goes on trying.
    for (root, pair, said) in [(None, Some(&own), "UnknownIssuer"), (Some(&keys.root), None, "CertificateRequired")] {
        launch.clone().tls("NATS", root, pair).start().await.logs(said).await;
    }
    let (cert, _) = keys.pair("a", &keys.authority.client());
    let (_, key) = keys.pair("b", &keys.authority.client());
    let nowhere = keys.file("nowhere.pem");
    for (root, pair, parts) in [
        (Some(&nowhere), None, ["nats.tls.root", "nowhere.pem"]),
        (None, Some((cert, key)), ["nats.tls.key", "b.key: the key does not match the certificate in"]),
    ] {
        let (code, text) = launch.clone().flag("-hp", "127.0.0.1:0").tls("NATS", root, pair.as_ref()).fail().await;
        assert!(code == Some(1) && parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[tokio::test]
async fn users_passwords_and_tokens_in_nats_addresses_are_used_and_never_shown() {
    let operator = Operator::new();
    let table = [
        (format!("authorization {{ user: me, password: \"{SECRET}@1\" }}\n"), format!("me:{SECRET}%401@")),
        (format!("authorization {{ token: \"{SECRET}\" }}\n"), format!("{SECRET}@")),
    ];
    for (lines, userinfo) in table {
        let nats = NatsServer::start_with("2.12.8", &lines).await;
        for scheme in ["nats://", ""] {
            let url = format!("{scheme}{userinfo}{}", nats.address());
            let server = Launch::primary(&operator)
                .flag("-nats", &url)
                .flag("-dump", "-DV")
                .env("RUST_LOG", "trace")
                .start()
                .await;
            connected(&server).await;
            let told = server.log() + &server.http.get("/readyz?verbose").await.body;
            assert!(!told.contains(SECRET), "{told}");
        }
        let wrong = format!("nats://me:{SECRET}-not@{}", nats.address());
        let server = Launch::primary(&operator).flag("-nats", &wrong).start().await;
        server.logs("uthorization").await;
        assert!(!server.log().contains(SECRET), "{}", server.log());
    }
    for bad in [
        format!("nats://me:{SECRET}@h, nats://you:{SECRET}@i"),
        format!("me:{SECRET}@h ost"),
        format!("me:{SECRET}@h:x"),
    ] {
        let (code, text) = Launch::primary(&operator).flag("-nats", &bad).fail().await;
        assert!(code == Some(1) && !text.contains(SECRET), "{text}");
    }
}
