//! What goes into the files.

use std::path::{Path, PathBuf};

use super::super::local;
use super::super::shown::word;
use crate::config::{Settings, TokenSource};
use crate::gate::Trust;
use crate::key::AccountKey;

/// The content of the configuration.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) dir: PathBuf,
    /// The operator's JWT in a file of its own, and its text if that file is to be made.
    pub(super) operator: PathBuf,
    pub(super) operator_text: Option<String>,
    pub(super) store: PathBuf,
    pub(super) creds: Option<PathBuf>,
    pub(super) nats: Vec<String>,
    pub(super) host: String,
    pub(super) port: u16,
    /// Where the server will be reached on this machine.
    pub(super) url: String,
    pub(super) system_account: Option<AccountKey>,
}

impl Plan {
    /// The error names a path that a configuration file cannot hold, or a port that is not one.
    pub(super) fn new(dir: &Path, settings: &Settings, operator: &TokenSource, trust: &Trust) -> Result<Self, String> {
        let dir = absolute(dir)?;
        let (operator, operator_text) = match operator {
            TokenSource::Path(path) => (absolute(path)?, None),
            TokenSource::Inline(_) => (dir.join("operator.jwt"), Some(trust.text().to_owned())),
        };
        Ok(Self {
            store: settings.store.dir.as_deref().map_or_else(|| Ok(dir.join("jwt")), absolute)?,
            creds: settings.nats.creds.as_deref().map(absolute).transpose()?,
            nats: settings.nats.servers.clone(),
            host: settings.http.host.clone(),
            port: settings.http.port,
            url: local::url_of(&settings.http)?,
            system_account: trust.system_account().copied(),
            dir,
            operator,
            operator_text,
        })
    }

    /// The settings file.
    pub(super) fn settings_file(&self) -> PathBuf {
        self.dir.join("nats-account-server.conf")
    }

    /// The lines for nats-servers.
    pub(super) fn nats_server_file(&self) -> PathBuf {
        self.dir.join("nats-server.conf")
    }

    /// What the operator does next.
    pub(super) fn next_steps(&self, trust: &Trust) -> Vec<String> {
        let url = format!("{}/jwt/v1", self.url);
        let mut steps = vec![
            format!(
                "nsc edit operator --account-jwt-server-url {}, then write the operator's JWT to its file again",
                word(&url)
            ),
            format!("start the server: nats-account-server -c {}", word(&self.settings_file().to_string_lossy())),
        ];
        match self.system_account {
            Some(key) => steps.push(format!(
                "push the system account ({key}) first, because nats-servers ask for it when they start: nsc push -a SYS -u {}",
                word(&url)
            )),
            None => steps.push(format!(
                "make a system account for the operator {} with nsc, name it in the operator's JWT (nsc edit operator --system-account \
                 SYS), and push it first",
                word(trust.name())
            )),
        }
        steps.push(format!("push the other accounts: nsc push -A -u {}", word(&url)));
        steps.push(format!(
            "add the lines of {} to each nats-server, and start it; elsewhere than on this machine, with this machine's name in the \
             URL",
            word(&self.nats_server_file().to_string_lossy())
        ));
        steps.push(format!("see what runs: nats-account-server healthcheck --ready {}", word(&self.url)));
        steps
    }
}

/// An absolute path that a configuration file can hold.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    let path = std::path::absolute(path).map_err(|error| format!("cannot use the path {shown}: {error}"))?;
    match path.to_str() {
        Some(text) if !text.contains(char::is_control) => Ok(path),
        _ => Err(format!(
            "cannot use the path {shown}: a configuration file holds only UTF-8 text without control characters"
        )),
    }
}
