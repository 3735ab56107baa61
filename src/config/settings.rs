//! The settings of the server: every value is chosen, checked and parsed.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::file_mode::FileMode;
use super::secret::Secret;
use super::token_source::{SystemAccount, TokenSource};
use super::units::millis;
use crate::key::{Kind, PublicKey};

/// All settings of one run. [`Settings::default`] is what a server without a configuration does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The operator whose accounts the server stores: its JWT, or a file with it. Default: the operator's file in
    /// `store.nsc`; else none, so nothing can be pushed.
    pub operator: Option<TokenSource>,
    /// The identity key of another operator: at a start, its configured JWT may take the place of the operator that the store
    /// has. Default: none.
    pub change_operator: Option<String>,
    /// The system account: its key, its JWT, or a file with its JWT. Default: none.
    pub system_account: Option<SystemAccount>,
    /// Base URLs of the primary, tried in order, without a trailing slash and without `/jwt/v1`. Not empty: this server
    /// is a replica. Default: empty, a primary.
    pub primary: Vec<String>,
    /// Whether every warning about the settings is an error. Default: no.
    pub strict: bool,
    /// The HTTP edge.
    pub http: Http,
    /// Where tokens are kept.
    pub store: Store,
    /// The connection to the nats-servers.
    pub nats: Nats,
    /// How a replica behaves. Without effect on a primary.
    pub replica: Replica,
    /// Log settings.
    pub log: Log,
}

impl Settings {
    /// The identity key of another operator, which may replace the operator of the store.
    pub fn change_operator(&self) -> Option<PublicKey> {
        self.change_operator.as_deref().and_then(|key| PublicKey::parse_kind(key, Kind::Operator).ok())
    }

    /// Whether this server follows a primary.
    pub fn is_replica(&self) -> bool {
        !self.primary.is_empty()
    }
}

/// The HTTP edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Name or address to listen on. Default `localhost`; `0.0.0.0` is every IPv4 interface.
    pub host: String,
    /// TCP port; 0 lets the system choose. Default 9090.
    pub port: u16,
    /// Time for a client to send its request; zero is no limit. Default 5 s.
    #[serde(with = "millis")]
    pub read_timeout: Duration,
    /// Time in which a client may read nothing of its answer before the connection is closed; zero is no limit. Default
    /// 5 s.
    #[serde(with = "millis")]
    pub write_timeout: Duration,
    /// Worker threads. Default: one per core.
    pub workers: usize,
    /// Time after SIGTERM in which requests are still accepted, so that clients can switch to another server. Default:
    /// none.
    #[serde(with = "millis")]
    pub drain_delay: Duration,
    /// Time that requests under way get to end after that. Default 10 s.
    #[serde(with = "millis")]
    pub shutdown_grace: Duration,
    /// Connections open at once, over all workers. Default 25 000.
    pub max_connections: usize,
    /// Proxies whose `X-Forwarded-For` and `Forwarded` headers tell the client's address. Default: none, the address that
    /// connects is the client's.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins of web pages whose scripts may read and push, as in `https://console.example.com`; `*` is all of them.
    /// Default: none, no CORS header is sent.
    pub cors_origins: Vec<String>,
    /// Limits for one client.
    pub limits: HttpLimits,
    /// Serving HTTPS.
    pub tls: HttpTls,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 9090,
            read_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            drain_delay: Duration::ZERO,
            shutdown_grace: Duration::from_secs(10),
            max_connections: 25_000,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            limits: HttpLimits::default(),
            tls: HttpTls::default(),
        }
    }
}

/// Requests of one client per second; 20 times as many at once. Zero is no limit.
///
/// Reads of what is stored or cached are never limited, nor are changes that are accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Changes that are rejected, or change nothing. Default 1000.
    pub pushes: u32,
    /// Keys that a replica's primary is asked for although nothing is known of them. Default 1000.
    pub unknown_keys: u32,
    /// Packs and lists of keys. Default 20.
    pub listings: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { pushes: 1000, unknown_keys: 1000, listings: 20 }
    }
}

/// HTTPS settings. The files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpTls {
    /// Certificate chain of this server, its own certificate first. Default: none, plain HTTP.
    pub cert: Option<PathBuf>,
    /// Private key of `cert`. Default: none.
    pub key: Option<PathBuf>,
    /// Certificate authorities of clients. Default: none.
    pub root: Option<PathBuf>,
    /// Whether clients are asked for a certificate. Default: `optional` if there is a `root`, else `off`.
    pub client_auth: Option<ClientAuth>,
}

impl HttpTls {
    /// Whether HTTPS is served, not plain HTTP.
    pub const fn is_on(&self) -> bool {
        self.cert.is_some()
    }

    /// Whether clients are asked for a certificate, as configured or by default.
    ///
    /// The Go servers ignored `root`, so it must not exclude clients without a certificate.
    pub fn client_auth(&self) -> ClientAuth {
        let default = if self.root.is_some() { ClientAuth::Optional } else { ClientAuth::Off };
        self.client_auth.unwrap_or(default)
    }

    /// The files alone.
    pub fn files(&self) -> Tls {
        Tls { cert: self.cert.clone(), key: self.key.clone(), root: self.root.clone() }
    }
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not.
    Off,
    /// They are asked. A client without a certificate is served, one with a wrong certificate is rejected.
    Optional,
    /// Only clients with a certificate of the configured authorities are served.
    Required,
}

/// Files for TLS, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain of this side. Default: none.
    pub cert: Option<PathBuf>,
    /// Private key of `cert`. Default: none.
    pub key: Option<PathBuf>,
    /// Certificate authorities that the other side is checked against. Default: none (the system's, as a client).
    pub root: Option<PathBuf>,
}

impl Tls {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where tokens are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Folder of tokens on a primary, of the snapshot on a replica. Default: none, everything is in memory.
    pub dir: Option<PathBuf>,
    /// Whether files are in sub-folders named after the last two characters of the key. Default: no.
    pub shard: bool,
    /// Folder of the journal. Default: none, which is `<dir>/.nats-account-server`.
    pub state_dir: Option<PathBuf>,
    /// Whether a missing state folder is an error at start, as it is when a volume is not mounted. Default: no.
    pub require_existing: bool,
    /// Versions kept per key, the current one included. Default 5.
    pub history: usize,
    /// How long former versions are kept; zero is no limit. Default: no limit.
    #[serde(with = "millis")]
    pub history_age: Duration,
    /// Who may read the files of tokens, whatever the umask. Default 0640.
    pub file_mode: FileMode,
    /// Interval of folder scans for changes that the system did not report. Default 60 s.
    #[serde(with = "millis")]
    pub look_interval: Duration,
    /// Memory for token bodies on a primary, in bytes. Default 64 MiB.
    pub cache_bytes: u64,
    /// How far an `iat` may be ahead of the clock. Default 1 h.
    #[serde(with = "millis")]
    pub max_iat_ahead: Duration,
    /// Activations that one account may have. Default 10 000.
    pub activations_per_account: u64,
    /// Whether activations are also written to the folder, as the Go server did. A nats-server that opens such a folder
    /// takes them for accounts. Default: no.
    pub activation_files: bool,
    /// Whether the folder belongs to somebody else and is only read. Default: no.
    pub readonly: bool,
    /// Operator folder of nsc to serve from. Default: none.
    pub nsc: Option<PathBuf>,
    /// Base URL of an account server whose pack a primary imports at start. Default: none.
    pub import_from: Option<String>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            dir: None,
            shard: false,
            state_dir: None,
            require_existing: false,
            history: 5,
            history_age: Duration::ZERO,
            file_mode: FileMode::DEFAULT,
            look_interval: Duration::from_secs(60),
            cache_bytes: 64 * 1024 * 1024,
            max_iat_ahead: Duration::from_secs(3600),
            activations_per_account: 10_000,
            activation_files: false,
            readonly: false,
            nsc: None,
            import_from: None,
        }
    }
}

/// The connection to the nats-servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    /// Addresses, `nats://host:port` or `host:port`. Default: empty, NATS is not used.
    pub servers: Vec<String>,
    /// Credentials file of a system-account user. Default: none.
    pub creds: Option<PathBuf>,
    /// Time for one attempt to connect. Default 5 s.
    #[serde(with = "millis")]
    pub connect_timeout: Duration,
    /// Pause between attempts to connect, before jitter. Default 1 s.
    #[serde(with = "millis")]
    pub reconnect_wait: Duration,
    /// Time to gather the receipts of nats-servers after a change was announced. Default 2 s.
    #[serde(with = "millis")]
    pub receipts_timeout: Duration,
    /// Time between two comparisons of packs with other resolvers. Default 60 s.
    #[serde(with = "millis")]
    pub sync_interval: Duration,
    /// Whether requests of the account-resolver protocol are answered. Default `auto`.
    pub resolver: ResolverMode,
    /// Whether PACK requests are answered. Default `auto`.
    pub pack_responder: PackResponder,
    /// Whether a primary compares what the nats-servers run with what it stores, and repairs what differs. Default true.
    pub reconcile: bool,
    /// Loaded accounts of each nats-server that a sweep compares in a second. Default 20.
    pub reconcile_rate: usize,
    /// Whether to close connections that still use what a change withdrew. Default false.
    pub kick: bool,
    /// Subject of a signing service for self-signed account JWTs, literal. Default: none, such JWTs are rejected.
    pub sign_request_subject: Option<String>,
    /// Longest wait for the answer of the signing service. Default 1 s.
    #[serde(with = "millis")]
    pub sign_request_timeout: Duration,
    /// How long a replica that is silent counts for the receipts of changes. Default 24 h.
    #[serde(with = "millis")]
    pub replica_forget: Duration,
    /// Files for TLS towards the nats-servers.
    pub tls: Tls,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            creds: None,
            connect_timeout: Duration::from_secs(5),
            reconnect_wait: Duration::from_secs(1),
            receipts_timeout: Duration::from_secs(2),
            sync_interval: Duration::from_secs(60),
            resolver: ResolverMode::Auto,
            pack_responder: PackResponder::Auto,
            reconcile: true,
            reconcile_rate: 20,
            kick: false,
            sign_request_subject: None,
            sign_request_timeout: Duration::from_secs(1),
            replica_forget: Duration::from_secs(24 * 3600),
            tls: Tls::default(),
        }
    }
}

/// Whether this server answers UPDATE, LIST and DELETE, the requests to which every full resolver gives an answer.
///
/// A tool that sends one counts the answers, or takes the first for the answer of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolverMode {
    /// As `silent` where nats-servers with a full resolver are there, else as `participant`.
    Auto,
    /// Answers.
    Participant,
    /// Applies changes without an answer. LOOKUP is answered.
    Silent,
    /// Neither listens nor asks.
    Off,
}

/// Whether this server is one of those that answer PACK: one of them gets each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackResponder {
    /// Where no full resolver is there to answer.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// How a replica behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replica {
    /// The name of this replica. Default: the host's name and the port.
    pub name: Option<String>,
    /// How much of the primary this replica holds. Default `cache`.
    pub mode: ReplicaMode,
    /// Age at which an entry is checked against the primary while its change feed is away. Default 5 s.
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// Longest wait of one request for the primary. Default 1 s: nats-server itself waits 1.9 s and does not retry.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// Memory for the cache, in bytes. Default 256 MiB.
    pub cache_bytes: u64,
    /// How long a key that the primary does not know is remembered as such. Default 2 s.
    #[serde(with = "millis")]
    pub negative_ttl: Duration,
    /// How this replica answers changes of clients. Default `refuse`.
    pub writes: ReplicaWrites,
    /// Bearer token that is shown to the primary. Default: none.
    pub token: Option<Secret>,
    /// Files for TLS towards the primary; `root` counts besides the system's authorities.
    pub tls: Tls,
}

impl Default for Replica {
    fn default() -> Self {
        Self {
            name: None,
            mode: ReplicaMode::Cache,
            ttl: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            cache_bytes: 256 * 1024 * 1024,
            negative_ttl: Duration::from_secs(2),
            writes: ReplicaWrites::Refuse,
            token: None,
            tls: Tls::default(),
        }
    }
}

/// How much of its primary a replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaMode {
    /// What clients asked for, within a bound.
    Cache,
    /// Everything.
    Mirror,
}

/// How a replica answers changes of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaWrites {
    /// 405, which names the primary.
    Refuse,
    /// 307: sends the client to the primary.
    Redirect,
    /// Sends it on to the primary, and passes the answer back.
    Forward,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important lines that are written. Default `info`.
    pub level: LogLevel,
    /// For people or for machines. Default `human`.
    pub format: LogFormat,
    /// Whether a human line starts with date and time. Default: yes.
    pub time: bool,
    /// Whether the label is coloured when standard error is a terminal. Default: yes.
    pub colors: bool,
    /// Whether a human line carries the process id. Default: no.
    pub pid: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Human, time: true, colors: true, pid: false }
    }
}

/// Importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something needs attention.
    Warn,
    /// Log level.
    Info,
    /// Every request.
    Debug,
    /// Everything.
    Trace,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `2026/11/23 23:50:56.236792 [INF] text key=value`, as nats-server writes.
    Human,
    /// One JSON object a line.
    Json,
}
