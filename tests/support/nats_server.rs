//! Real nats-servers in operator mode, with a URL resolver.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::server::Log;
use super::{Operator, PATIENCE};

/// A running nats-server, killed when it is dropped.
pub(crate) struct NatsServer {
    child: Child,
    log: Log,
    address: String,
    _folder: tempfile::TempDir,
}

impl NatsServer {
    /// Starts the release `version`, whose resolver asks `resolver` (`http://host:port`), and waits until it serves.
    pub(crate) async fn start(version: &str, operator: &Operator, resolver: &str) -> Self {
        Self::start_with(version, &Self::resolving(operator, resolver)).await
    }

    /// The lines of a configuration for an operator's accounts.
    pub(crate) fn resolving(operator: &Operator, resolver: &str) -> String {
        format!(
            "operator: {:?}\nsystem_account: {}\nresolver: URL(\"{resolver}/jwt/v1/accounts/\")\n",
            operator.jwt(),
            operator.system().key(),
        )
    }

    /// Starts the release `version` with these lines in its configuration, and waits until it serves.
    pub(crate) async fn start_with(version: &str, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("server.conf");
        let text =
            format!("server_name: test-{version}\nlisten: 127.0.0.1:-1\nports_file_dir: {:?}\n{lines}", folder.path(),);
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
        let mut server = Self { child, log, address: String::new(), _folder: folder };
        let started = Instant::now();
        loop {
            if let Some(address) = address(&ports) {
                server.address = address;
                return server;
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("nats-server {version} ended with {status}:\n{}", server.log.text());
            }
            assert!(started.elapsed() < PATIENCE, "nats-server {version} does not start:\n{}", server.log.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Host and port for clients.
    pub(crate) fn address(&self) -> &str {
        &self.address
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
            println!("--- log of the nats-server at {}:\n{}", self.address, self.log.text());
        }
    }
}

/// The address in a ports file; `None` while it is not written.
fn address(ports: &Path) -> Option<String> {
    let text = std::fs::read_to_string(ports).ok()?;
    let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
    // With TLS it is tls://
    Some(ports["nats"][0].as_str()?.split("://").last()?.to_owned())
}

fn binary(version: &str) -> PathBuf {
    let tools = std::env::var_os("NAS_TEST_NATS_SERVER_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools"), PathBuf::from);
    let path = tools.join(format!("nats-server-{version}/nats-server"));
    assert!(path.exists(), "{} is missing: run tests/get-nats-server.sh {version}", path.display());
    path
}
