//! The folder's content, and the three servers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::DemoError;
use super::find::NatsServer;
use super::folder::Folder;
use super::http::Http;
use super::keys;
use super::mint::{Cast, Named, Version};
use super::ports::Ports;
use super::process::{Process, Processes};

/// Everything that the steps need.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) folder: Folder,
    pub(super) ports: Ports,
    pub(super) cast: Cast,
    pub(super) http: Http,
    program: PathBuf,
}

impl Stage {
    /// Writes keys, JWTs, credentials and the nats-server's configuration. `now` in Unix seconds.
    pub(super) fn set(folder: Folder, ports: Ports, now: i64) -> Result<Self, DemoError> {
        let program = std::env::current_exe()
            .map_err(|error| DemoError::new(format!("cannot find this program's own file: {error}")))?;
        let stage = Self { folder, ports, cast: Cast::new(now), http: Http::new()?, program };
        keys::write(&stage.folder, &stage.cast, ports)?;
        stage.folder.write("nats.conf", &stage.nats_conf())?;
        Ok(stage)
    }

    /// Signs a version of an account's JWT and keeps it in the folder, for curl and for nsc.
    pub(super) fn version(&self, file: &str, account: &Named, version: Version<'_>) -> Result<String, DemoError> {
        let token = self.cast.account_jwt(account, version);
        self.folder.write(&format!("jwt/{file}.jwt"), &token)?;
        Ok(token)
    }

    /// The URL of an account on the primary.
    pub(super) fn at_primary(&self, account: &Named) -> String {
        format!("{}/jwt/v1/accounts/{}", self.ports.primary_url(), account.id())
    }

    /// The URL of an account on the replica.
    pub(super) fn at_replica(&self, account: &Named) -> String {
        format!("{}/jwt/v1/accounts/{}", self.ports.replica_url(), account.id())
    }

    /// Starts the primary and waits until it is ready.
    pub(super) async fn start_primary(&self, processes: &mut Processes) -> Result<(), DemoError> {
        let own = [("-dir", self.folder.path("primary"))];
        let url = self.ports.primary_url();
        self.start_server(processes, "primary", self.ports.primary, &url, own).await
    }

    /// Starts the replica and waits until it has reached the primary.
    pub(super) async fn start_replica(&self, processes: &mut Processes) -> Result<(), DemoError> {
        let own = [("-primary", PathBuf::from(self.ports.primary_url()))];
        let url = self.ports.replica_url();
        self.start_server(processes, "replica", self.ports.replica, &url, own).await
    }

    async fn start_server(
        &self,
        processes: &mut Processes,
        name: &'static str,
        port: u16,
        url: &str,
        own: [(&str, PathBuf); 1],
    ) -> Result<(), DemoError> {
        let shared = [
            ("-hp", PathBuf::from(format!("127.0.0.1:{port}"))),
            ("-operator", self.folder.path(keys::OPERATOR)),
            ("-nats", PathBuf::from(self.ports.nats_url())),
            ("-creds", self.folder.path("sys.creds")),
        ];
        let arguments: Vec<OsString> =
            shared.into_iter().chain(own).flat_map(|(flag, value)| [flag.into(), value.into_os_string()]).collect();
        let process = processes.add(Process::start(name, &self.program, &arguments, self.log(name))?);
        self.http.wait(process, &format!("{url}/readyz"), |reply| reply.status == 200).await
    }

    /// Starts the nats-server and waits until it is healthy.
    pub(super) async fn start_nats(&self, processes: &mut Processes, server: &NatsServer) -> Result<(), DemoError> {
        let arguments = ["-c".into(), self.folder.path("nats.conf").into_os_string()];
        let process = processes.add(Process::start("nats-server", &server.path, &arguments, self.log("nats-server"))?);
        self.http.wait(process, &format!("{}/healthz", self.ports.monitor_url()), |reply| reply.status == 200).await
    }

    /// Waits until primary and replica are connected to the nats-server, by its own account of its connections.
    pub(super) async fn wait_for_system_users(&self, processes: &mut Processes) -> Result<(), DemoError> {
        let url = format!("{}/connz?acc={}", self.ports.monitor_url(), self.cast.system.id());
        let both = |body: &str| {
            let connections: Option<serde_json::Value> = serde_json::from_str(body).ok();
            connections.and_then(|value| value["num_connections"].as_u64()).is_some_and(|number| number >= 2)
        };
        let Some(primary) = processes.first() else { return Ok(()) };
        self.http.wait(primary, &url, |reply| both(&reply.body)).await
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.folder.path(&format!("{name}.log"))
    }

    fn nats_conf(&self) -> String {
        format!(
            "# Written by `nats-account-server demo`.\n\
             listen: \"127.0.0.1:{nats}\"\n\
             http: \"127.0.0.1:{monitor}\"\n\
             server_name: demo\n\
             \n\
             operator: {operator}\n\
             system_account: {system}\n\
             # Accounts come from the replica.\n\
             resolver: URL(\"{replica}/jwt/v1/accounts/\")\n",
            nats = self.ports.nats,
            monitor = self.ports.monitor,
            operator = quoted(&self.folder.path(keys::OPERATOR)),
            system = self.cast.system.id(),
            replica = self.ports.replica_url(),
        )
    }
}

/// A path as a string of the NATS configuration language.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}
