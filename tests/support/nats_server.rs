//! Real nats-servers in operator mode, with a URL resolver.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use super::login::info;
use super::server::Log;
use super::{Operator, PATIENCE, within};

/// In a configuration, the folder of the nats-server, which goes with it.
pub(crate) const OWN_FOLDER: &str = "@FOLDER@";

/// A running nats-server, killed when it is dropped.
pub(crate) struct NatsServer {
    child: Child,
    log: Log,
    ports: Ports,
    _folder: tempfile::TempDir,
}

/// A nats-server to be started.
pub(crate) struct NatsLaunch {
    version: String,
    name: String,
    config: String,
}

impl NatsLaunch {
    /// A nats-server of the release `version` that trusts the operator and has no resolver yet.
    pub(crate) fn new(version: &str, operator: &Operator) -> Self {
        let lines = format!("operator: {:?}\nsystem_account: {}", operator.jwt(), operator.system().key());
        Self::bare(version).with(&lines)
    }

    /// A nats-server of the release `version` with nothing configured.
    pub(crate) fn bare(version: &str) -> Self {
        Self { version: version.to_owned(), name: format!("test-{version}"), config: String::new() }
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Asks `resolver` (`http://host:port`) for accounts.
    pub(crate) fn asks(self, resolver: &str) -> Self {
        self.with(&format!("resolver: URL(\"{resolver}/jwt/v1/accounts/\")"))
    }

    /// Forms a cluster with the nats-server that is reached at `seed`, or begins one.
    pub(crate) fn cluster(self, seed: Option<&str>) -> Self {
        let routes = seed.map_or_else(String::new, |seed| format!("routes: [\"nats://{seed}\"]"));
        self.with(&format!("cluster {{ name: test, listen: \"127.0.0.1:-1\", {routes} }}"))
    }

    /// Further lines of configuration.
    pub(crate) fn with(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// Starts it and waits until it serves.
    pub(crate) async fn start(self) -> NatsServer {
        let (version, folder) = (&self.version, tempfile::tempdir().unwrap());
        let config = folder.path().join("server.conf");
        let text = format!(
            "server_name: {:?}\nlisten: 127.0.0.1:-1\nports_file_dir: {:?}\n{}",
            self.name,
            folder.path(),
            self.config.replace(OWN_FOLDER, &folder.path().to_string_lossy())
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(binary(version))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let ports = folder.path().join(format!("nats-server_{}.ports", child.id()));
        let mut server = NatsServer { child, log, ports: Ports::default(), _folder: folder };
        let started = Instant::now();
        loop {
            if let Some(ports) = Ports::read(&ports) {
                server.ports = ports;
                return server;
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("nats-server {version} ended with {status}:\n{}", server.log.text());
            }
            assert!(started.elapsed() < PATIENCE, "nats-server {version} does not start:\n{}", server.log.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl NatsServer {
    /// Whether the release `version` is here.
    pub(crate) fn has(version: &str) -> bool {
        path(version).exists()
    }

    /// Starts the release `version`, whose resolver asks `resolver` (`http://host:port`), and waits until it serves.
    pub(crate) async fn start(version: &str, operator: &Operator, resolver: &str) -> Self {
        NatsLaunch::new(version, operator).asks(resolver).start().await
    }

    /// The lines of a configuration for an operator's accounts.
    pub(crate) fn resolving(operator: &Operator, resolver: &str) -> String {
        NatsLaunch::new("", operator).asks(resolver).config
    }

    /// Starts the release `version` with these lines in its configuration, and waits until it serves.
    pub(crate) async fn start_with(version: &str, lines: &str) -> Self {
        NatsLaunch::bare(version).with(lines).start().await
    }

    /// Host and port for clients.
    pub(crate) fn address(&self) -> &str {
        &self.ports.clients
    }

    /// The id that it made at its start.
    pub(crate) async fn id(&self) -> String {
        info(self.address()).await["server_id"].as_str().unwrap().to_owned()
    }

    /// Host and port for the other nats-servers of its cluster.
    pub(crate) fn cluster_address(&self) -> &str {
        &self.ports.cluster
    }

    /// Host and port for monitoring, if that is configured.
    pub(crate) fn monitoring(&self) -> &str {
        &self.ports.monitoring
    }

    /// Host and port for WebSocket clients, if that is configured.
    pub(crate) fn websocket(&self) -> &str {
        &self.ports.websocket
    }

    /// Sends a signal by its name, as in `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }
}

impl Drop for NatsServer {
    #[allow(clippy::print_stdout)] // shown with a test that failed
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- log of the nats-server at {}:\n{}", self.ports.clients, self.log.text());
        }
    }
}

/// Where it listens.
#[derive(Default)]
struct Ports {
    clients: String,
    cluster: String,
    monitoring: String,
    websocket: String,
}

impl Ports {
    /// Reads a ports file; `None` while it is not written.
    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
        // With TLS it is tls://
        let first = |kind: &str| ports[kind][0].as_str()?.split("://").last().map(str::to_owned);
        let (cluster, monitoring) = (first("cluster").unwrap_or_default(), first("monitoring").unwrap_or_default());
        let websocket = first("websocket").unwrap_or_default();
        Some(Self { clients: first("nats")?, cluster, monitoring, websocket })
    }
}

fn path(version: &str) -> PathBuf {
    let tools = std::env::var_os("NAS_TEST_NATS_SERVER_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools"), PathBuf::from);
    tools.join(format!("nats-server-{version}/nats-server"))
}

fn binary(version: &str) -> PathBuf {
    let path = path(version);
    assert!(path.exists(), "{} is missing: run tests/get-nats-server.sh {version}", path.display());
    path
}

/// Waits until the nats-server has taken in what the client sent so far, its subscriptions among it.
pub(crate) async fn settled(client: &async_nats::Client) {
    let inbox = client.new_inbox();
    let mut heard = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, "".into()).await.unwrap();
    within("the client's own message", heard.next()).await.unwrap();
}
