//! The servers that the table is asked of, and what they hold.

use std::collections::BTreeMap;
use std::net::TcpListener;

use nats_account_server::jwt::activation_hash_id;
use serde_json::json;

use super::layout::readable;
use super::row::{Body, On, Parsed, Row};
use crate::support::{Account, Launch, Operator, Server, now};

/// Pages of this origin may use the read-only server.
pub(crate) const PAGE: &str = "https://console.example.com";

pub(crate) struct World {
    primary: Server,
    read_only: Server,
    replica: Server,
    /// Texts by their names.
    names: BTreeMap<&'static str, String>,
    /// Where a claim asks the server to fetch something from.
    lure: TcpListener,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let operator = Operator::new();
        let folder = tempfile::tempdir().unwrap();
        let (own, foreign) = (folder.path().join("own"), folder.path().join("foreign"));
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(&foreign).unwrap();
        let lure = TcpListener::bind("127.0.0.1:0").unwrap();
        lure.set_nonblocking(true).unwrap();

        let [held, lasting, expired, importer, fresh, unknown, other] =
            ["held", "lasting", "expired", "importer", "fresh", "unknown", "other"].map(Account::named);
        let ends = |account: &Account, in_seconds: i64| {
            let mut claims = account.claims(now() - 1_000);
            claims["exp"] = (now() + in_seconds).into();
            claims
        };
        let held_jwt = operator.account(&held, 500);
        let lasting_jwt = operator.sign(&ends(&lasting, 86_400));
        let expired_jwt = operator.sign(&ends(&expired, -60));
        let file = |dir: &std::path::Path, name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        for dir in [&own, &foreign] {
            file(dir, &format!("{}.jwt", held.key()), &held_jwt);
            file(dir, &format!("{}.jwt", expired.key()), &expired_jwt);
            // Names that no account has.
            file(dir, "notes-jwt", "no token");
            file(dir, "operator.jwt", &operator.jwt());
        }
        let launch = Launch::primary(&operator).env("NAS_LOG__LEVEL", "debug").dir(&own);
        let primary = launch.start().await;
        let launch = Launch::primary(&operator).env("NAS_HTTP__CORS_ORIGINS", PAGE);
        let read_only = launch.env("NAS_STORE__READONLY", "true").dir(&foreign).start().await;
        let system_jwt = operator.account(operator.system(), 100);
        let launch = Launch::replica(&operator, &primary.url).env("NAS_SYSTEM_ACCOUNT", &system_jwt);
        let replica = launch.env("NAS_HTTP__CORS_ORIGINS", "*").start().await;
        replica.follows().await;

        primary.http.post(&lasting.path(), lasting_jwt.clone()).await.expect(200);
        let activation = held.activation(&importer, "orders.>", 100);
        primary.http.post("/jwt/v1/activations", activation.clone()).await.expect(200);
        let hash = activation_hash_id(&held.key(), &importer.key(), "orders.>").unwrap();

        let mut fetching = fresh.claims(now() - 400);
        let url = format!("http://{}/token", lure.local_addr().unwrap());
        fetching["nats"]["imports"] = json!([{
            "name": "i", "account": held.key(), "subject": "x", "type": "stream", "token": url
        }]);
        let blocking = {
            let mut claims = fresh.claims(now());
            claims["nats"]["exports"] = json!([{ "name": "x", "subject": "a b", "type": "stream" }]);
            operator.sign(&claims)
        };
        let leave_of_the_operator = operator.sign(&json!({
            "sub": held.key(), "iat": now(),
            "nats": { "type": "activation", "version": 2, "subject": "orders", "kind": "stream" }
        }));
        let stranger = Account::new();
        let names = BTreeMap::from([
            ("held", held.key()),
            ("held jwt", held_jwt.clone()),
            ("held older", operator.account(&held, 900)),
            ("held readable", readable(&held_jwt)),
            ("lasting", lasting.key()),
            ("lasting readable", readable(&lasting_jwt)),
            ("lasting jwt", lasting_jwt),
            ("expired", expired.key()),
            ("expired readable", readable(&expired_jwt)),
            ("expired jwt", expired_jwt),
            ("unknown", unknown.key()),
            ("unknown jwt", operator.account(&unknown, 100)),
            ("other", other.key()),
            ("other jwt", operator.account(&other, 10)),
            ("other signed by itself", other.sign(&other.claims(now()))),
            ("other signed by another account", stranger.sign(&other.claims(now()))),
            ("other of a stranger", Operator::new().account(&other, 10)),
            ("other expired", operator.sign(&ends(&other, -60))),
            ("other with a line end", operator.account(&other, 10).replacen('.', ".\n", 1)),
            ("fresh", fresh.key()),
            ("fresh jwt", operator.account(&fresh, 100)),
            ("fresh fetching", operator.sign(&fetching)),
            ("fresh blocking", blocking),
            ("user", held.user().key()),
            ("user jwt", held.user().jwt),
            ("system", operator.system().key()),
            ("system jwt", system_jwt),
            ("operator", operator.key()),
            ("operator jwt", operator.jwt()),
            ("operator readable", readable(&operator.jwt())),
            ("hash", hash.clone()),
            ("bare hash", hash.trim_end_matches('=').to_owned()),
            ("escaped hash", hash.replace('=', "%3D")),
            ("activation", activation.clone()),
            ("activation readable", readable(&activation)),
            ("activation of nobody", stranger.activation(&importer, "orders", 10)),
            ("activation of the operator", leave_of_the_operator),
            ("no hash", activation_hash_id("I", "S", "foo").unwrap()),
            ("primary", primary.url.clone()),
            ("host", primary.host().to_owned()),
        ]);
        Self { primary, read_only, replica, names, lure, folder }
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.names {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    const fn server(&self, on: On) -> &Server {
        match on {
            On::Primary => &self.primary,
            On::ReadOnly => &self.read_only,
            On::Replica => &self.replica,
        }
    }

    /// What differs from a row.
    pub(crate) async fn faults(&self, row: &Row) -> Vec<String> {
        let headers: Vec<_> = row.headers.iter().map(|(name, value)| (*name, self.filled(value))).collect();
        let (path, sent) = (self.filled(&row.path), self.filled(&row.sent));
        let Some(reply) = Parsed::of(self.server(row.on), row.method, &path, &headers, &sent).await else {
            return vec![format!("{}: no answer", row.name)];
        };
        let mut faults = Vec::new();
        let mut fault = |what: String| faults.push(format!("{}: {what}", row.name));
        if reply.status != row.status {
            fault(format!("{} instead of {}: {}", reply.status, row.status, reply.body));
        }
        for (name, value) in &row.told {
            let (found, wanted) = (reply.header(name), self.filled(value));
            if found != wanted {
                fault(format!("{name} is {found:?} instead of {wanted:?}"));
            }
        }
        let (holds, wanted) = match &row.body {
            Body::Any => (true, String::new()),
            Body::Is(text) => (reply.body == self.filled(text), self.filled(text)),
            Body::Starts(text) => (reply.body.starts_with(&self.filled(text)), self.filled(text)),
            Body::Has(text) => (reply.body.contains(&self.filled(text)), self.filled(text)),
        };
        if !holds {
            fault(format!("the body is {:?} instead of {wanted:?}", reply.body));
        }
        // What holds of every answer.
        if reply.header("date").is_empty() || !reply.header("server").is_empty() {
            fault("there is no Date, or a Server".to_owned());
        }
        if row.on == On::Primary && !(reply.header("vary").is_empty() && reply.header(ALLOW_ORIGIN).is_empty()) {
            fault("it speaks of origins".to_owned());
        }
        if !reply.header("access-control-allow-credentials").is_empty() {
            fault("it lets a page use a browser's credentials".to_owned());
        }
        if reply.status >= 400 && reply.body.contains("eyJ") {
            fault("an error shows a token".to_owned());
        }
        faults
    }

    /// What no request may have brought about.
    pub(crate) async fn is_unharmed(&self) {
        for server in [&self.primary, &self.read_only, &self.replica] {
            server.http.get("/livez").await.expect(200);
            let log = server.log();
            let forged: Vec<&str> = log.lines().filter(|line| !line.starts_with("20")).collect();
            assert!(forged.is_empty(), "lines that the server did not begin: {forged:?}");
        }
        for dir in ["own", "foreign"] {
            let file = self.folder.path().join(dir).join(format!("{}.jwt", self.names["expired"]));
            let kept = std::fs::read_to_string(file).unwrap();
            assert_eq!(kept, self.names["expired jwt"], "what has expired stays in {dir}");
        }
        let fetched = self.lure.accept();
        assert!(
            fetched.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "a URL in a claim was fetched"
        );
    }
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
