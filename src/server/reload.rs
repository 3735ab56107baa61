//! SIGHUP: the server applies the settings that can change while it runs, and names the others. It also reads an operator
//! JWT in an nsc folder again whenever nsc writes it.
//!
//! The settings are loaded again with the same command line. A configuration that cannot be used changes nothing.
//! Otherwise each part is applied on its own: the log level, the TLS files, who may do what, the NATS credentials, the audit log, the operator
//! JWT, and a replica's access to its primary. A part that cannot be applied is reported and stays as it was. Each reload warns of
//! the changes that wait for a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::signal::unix::Signal;

use super::access;
use super::error::StartError;
use super::listen::Certificates;
use super::notify;
use super::role::Role;
use super::trust;
use crate::access::{AccessControl, Policy};
use crate::config::{Overrides, Settings, TokenSource};
use crate::gate::Trust;
use crate::jwt::OperatorJwt;
use crate::logging::Logging;
use crate::node::{Node, OperatorFile};
use crate::upstream::Access;

/// What it takes to load the settings again.
#[derive(Debug, Clone)]
pub struct Reload {
    overrides: Overrides,
    logging: Logging,
}

/// The running server, as far as it can change.
#[derive(Debug)]
pub(crate) struct Live {
    /// The settings in effect.
    pub(crate) settings: Settings,
    pub(crate) node: Arc<Node>,
    pub(crate) role: Role,
    pub(crate) access: Arc<AccessControl>,
    pub(crate) certificates: Certificates,
}

impl Reload {
    /// `overrides`: what the command line said when the settings were loaded at start.
    pub const fn new(overrides: Overrides, logging: Logging) -> Self {
        Self { overrides, logging }
    }

    /// Reloads at every hang-up, until the server stops. A hang-up during a reload causes another one after it.
    pub(crate) async fn at(self, mut hangups: Signal, mut live: Live) {
        loop {
            let is_hangup = tokio::select! {
                _ = hangups.recv() => true,
                () = live.operator_edited() => false,
                () = live.node.draining().cancelled() => return,
            };
            let reload = self.clone();
            // Files may be on a slow disk.
            let read = tokio::task::spawn_blocking(move || {
                let new = if is_hangup {
                    tracing::info!("received sig-hup, reloading the settings");
                    notify::reloading();
                    reload.reload(&mut live)
                } else {
                    Some(live.settings.clone())
                };
                let operator = new.as_ref().and_then(|new| live.read_operator(new));
                (live, new, operator)
            });
            let (back, new, operator) = match read.await {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!("reloading the settings failed: {error}. Restart this server to apply changes");
                    return;
                }
            };
            live = back;
            if let Some(operator) = operator {
                live.change_operator(operator).await;
            }
            if is_hangup {
                notify::ready();
            }
            if let Some(new) = new.filter(|_| is_hangup) {
                for key in differences(&live.settings, &new) {
                    tracing::warn!("{key} has changed; it takes effect at the next start");
                }
                tracing::info!("reloaded the settings");
            }
        }
    }

    /// Loads the settings again, and applies all that can change but the operator JWT. `None`: they cannot be used.
    fn reload(&self, live: &mut Live) -> Option<Settings> {
        let metrics = live.node.metrics().clone();
        let (new, warnings) = match Settings::load(&self.overrides) {
            Ok(loaded) => loaded,
            Err(error) => {
                // Some texts have several lines, with the place in the file.
                for line in format!("cannot use the settings: {error}").lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("nothing is changed");
                metrics.reloaded("settings", false);
                return None;
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        metrics.reloaded("settings", true);
        self.log_level(live, &new);
        live.https(&new);
        live.clients_access(&new);
        live.access(&new);
        live.creds(&new);
        live.audit(&new);
        Some(new)
    }

    fn log_level(&self, live: &mut Live, new: &Settings) {
        if live.settings.log.level != new.log.level {
            live.settings.log.level = new.log.level;
            self.logging.set_level(new.log.level);
            tracing::info!("log.level is {:?} now", new.log.level);
        }
    }
}

impl Live {
    /// Certificate, key, and who the clients are. HTTPS itself comes and goes with the listening socket.
    fn https(&mut self, new: &Settings) {
        for (tls, new, old) in [
            (&self.certificates.main, &new.http.tls, &mut self.settings.http.tls),
            (&self.certificates.admin, &new.admin.tls, &mut self.settings.admin.tls),
        ] {
            if let Some(tls) = tls
                && new.is_on()
            {
                tls.reload(new);
                *old = new.clone();
            }
        }
    }

    /// Who may do what, and what commands show, which is no affair of a running server. Passwords that are known to be right stay so while their hashes do.
    fn clients_access(&mut self, new: &Settings) {
        self.settings.token = new.token.clone();
        if self.settings.access == new.access {
            return;
        }
        let policy = Policy::of(&new.access);
        self.node.metrics().reloaded("access", policy.is_ok());
        match policy {
            Ok(policy) => {
                access::tell(&policy);
                self.access.replace(policy);
            }
            Err(error) => tracing::error!("cannot use the new access: {error}. The previous one stays in force"),
        }
        // Also if it cannot be used: the log says so, and a restart would not help.
        self.settings.access = new.access.clone();
    }

    /// What a replica shows to its primary.
    fn access(&mut self, new: &Settings) {
        if let Role::Replica(replica) = &self.role
            && new.is_replica()
        {
            replica.set_access(&Access::of(&new.replica));
            self.settings.replica.token = new.replica.token.clone();
            self.settings.replica.tls = new.replica.tls.clone();
        }
    }

    /// The credentials file is read again, even from the same place.
    fn creds(&mut self, new: &Settings) {
        if let Some(nats) = self.node.nats() {
            nats.reload(new.nats.creds.clone());
            self.settings.nats.creds = new.nats.creds.clone();
        }
    }

    /// The log may have been moved away, too.
    fn audit(&mut self, new: &Settings) {
        if let Role::Primary(primary) = &self.role
            && let Some(audit) = primary.audit()
        {
            audit.set_on_failure(new.audit.on_failure);
            audit.reopen();
            self.settings.audit.on_failure = new.audit.on_failure;
        }
    }

    /// Waits until nsc has written the operator JWT in use. What it writes of another operator JWT is its own affair.
    async fn operator_edited(&self) {
        if let Role::Primary(primary) = &self.role
            && let (Some(TokenSource::Path(file)), Some(nsc)) = (&self.settings.operator, &self.settings.store.nsc)
            && is_in(file, nsc)
        {
            return primary.operator_edited().await;
        }
        std::future::pending::<()>().await;
    }

    /// The operator JWT is read again, even from the same place. `None`: there is none to read.
    fn read_operator(&mut self, new: &Settings) -> Option<Result<Arc<Trust>, StartError>> {
        let (Some(_), Some(source)) = (&self.settings.operator, &new.operator) else { return None };
        let result = trust::load_operator(source).and_then(|trust| {
            trust::check_system_account(&self.settings, Some(&trust))?;
            Ok(Arc::new(trust))
        });
        let read = result.as_ref().map(Arc::clone).map_err(|error| error.for_clients());
        self.node.set_operator_file(OperatorFile { place: trust::place(source), read });
        // Also if it is broken: the log says so, and a restart would not help.
        self.settings.operator = new.operator.clone();
        Some(result)
    }

    /// Brings the operator JWT that was read into force.
    async fn change_operator(&self, read: Result<Arc<Trust>, StartError>) {
        let before = self.node.trust();
        let result = match read {
            Ok(trust) => {
                let after = trust.token().clone();
                self.node.set_operator(trust).await.map(|_| after).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        self.node.metrics().reloaded("operator", result.is_ok());
        match result {
            Ok(after) => tell(before.as_deref(), &after, &self.node),
            Err(error) => {
                tracing::error!("cannot use the new operator JWT: {error}. The previous one stays in use");
            }
        }
    }
}

/// Whether a file is directly in a folder, however the two are written.
fn is_in(file: &Path, folder: &Path) -> bool {
    let parent = file.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let real = |path: &Path| path.canonicalize().ok();
    parent == Some(folder) || parent.and_then(real).is_some_and(|parent| Some(parent) == real(folder))
}

/// Logs what a new operator JWT changes.
fn tell(before: Option<&Trust>, after: &[u8], node: &Node) {
    let Some(before) = before.filter(|before| before.token()[..] != *after) else { return };
    for warning in node.trust().iter().flat_map(|trust| trust.warnings().to_vec()) {
        tracing::warn!("operator JWT: {warning}");
    }
    let read = |token: &[u8]| OperatorJwt::decode(std::str::from_utf8(token).ok()?).ok();
    // Both were read before.
    let (Some(old), Some(new)) = (read(before.token()), read(after)) else { return };
    let mut changes = Vec::new();
    for key in new.body.signing_keys.iter().filter(|key| !old.body.signing_keys.contains(key)) {
        changes.push(format!("signing key {key} is new"));
    }
    for key in old.body.signing_keys.iter().filter(|key| !new.body.signing_keys.contains(key)) {
        changes.push(format!("signing key {key} is withdrawn"));
    }
    if old.body.strict_signing_key_usage != new.body.strict_signing_key_usage {
        changes.push(format!("strict signing key usage is {}", new.body.strict_signing_key_usage));
    }
    if old.body.system_account != new.body.system_account {
        changes.push(format!("the system account is {}", new.body.system_account));
    }
    if old.claims.name != new.claims.name {
        changes.push(format!("its name is {}", new.claims.name));
    }
    let changes = if changes.is_empty() { "its keys are the same".to_owned() } else { changes.join("; ") };
    tracing::info!("a new JWT of the operator {} is in use: {changes}", before.identity());
}

/// The keys of settings that differ.
fn differences(old: &Settings, new: &Settings) -> Vec<String> {
    let flat = |settings: &Settings| {
        let mut values = BTreeMap::new();
        // Plain data with text as keys always has a JSON form.
        flatten("", serde_json::to_value(settings).unwrap_or_default(), &mut values);
        values
    };
    let (old, new) = (flat(old), flat(new));
    new.into_iter().filter(|(key, value)| old.get(key) != Some(value)).map(|(key, _)| key).collect()
}

fn flatten(prefix: &str, value: Value, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&path, value, out);
            }
        }
        value => {
            out.insert(prefix.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    #[test]
    fn what_differs_is_named_by_its_key() {
        let old = Settings::default();
        let mut new = old.clone();
        assert_eq!(differences(&old, &new), Vec::<String>::new());
        new.http.port = 1;
        new.log.level = LogLevel::Debug;
        new.nats.tls.root = Some("a".into());
        new.operator = Some(TokenSource::from("eyJ".to_owned()));
        assert_eq!(differences(&old, &new), ["http.port", "log.level", "nats.tls.root", "operator"]);
        assert_eq!(differences(&new, &old), ["http.port", "log.level", "nats.tls.root", "operator"]);
    }
}
