//! What can only be judged when all settings are together.

use super::error::ConfigError;
use super::settings::{ReplicaMode, ReplicaWrites, Settings, Tls};
use super::urls;

/// Refuses what this version cannot do, and settings that contradict each other. `origin` says where a path was set.
pub(super) fn check(
    settings: &Settings,
    origin: &dyn Fn(&str) -> String,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    unsupported(settings, origin)?;
    without_effect(settings, warnings);
    let Tls { cert, key, .. } = &settings.nats.tls;
    if cert.is_some() != key.is_some() {
        return Err(ConfigError::Conflict("nats.tls.cert and nats.tls.key are needed together".to_owned()));
    }
    if settings.nats.servers.is_empty() && settings.nats.creds.is_some() {
        warnings.push("nats.creds has no effect, because nats.servers is empty: NATS is not used".to_owned());
    }
    if settings.is_replica() && settings.store.nsc.is_some() {
        return Err(ConfigError::Conflict(
            "replicas cannot be run in NSC mode: remove store.nsc or primary".to_owned(),
        ));
    }
    if settings.store.readonly && settings.store.dir.is_none() && settings.store.nsc.is_none() {
        warnings.push("store.readonly has no effect, because store.dir is not set".to_owned());
    }
    if settings.store.nsc.is_some() && settings.store.dir.is_some() {
        warnings.push("store.dir has no effect, because store.nsc is set".to_owned());
    }
    if settings.store.require_existing && settings.store.dir.is_none() && settings.store.state_dir.is_none() {
        warnings.push("store.require_existing has no effect, because store.dir is not set".to_owned());
    }
    Ok(())
}

/// Each rule goes when its feature comes.
fn unsupported(settings: &Settings, origin: &dyn Fn(&str) -> String) -> Result<(), ConfigError> {
    let Settings { http, replica, .. } = settings;
    let rules = [
        (http.tls.cert.is_some(), "http.tls.cert", NO_TLS),
        (http.tls.key.is_some(), "http.tls.key", NO_TLS),
        (http.tls.root.is_some(), "http.tls.root", NO_TLS),
        (replica.mode == ReplicaMode::Mirror, "replica.mode", "mirror will come later, use cache"),
        (replica.writes != ReplicaWrites::Refuse, "replica.writes", "only refuse is"),
    ];
    match rules.into_iter().find(|(set, ..)| *set) {
        Some((_, key, advice)) => Err(ConfigError::Unsupported { key, origin: origin(key), advice }),
        None => Ok(()),
    }
}

/// Settings that are known, but change nothing in this version. Each line goes when its feature comes.
fn without_effect(settings: &Settings, warnings: &mut Vec<String>) {
    let default = Settings::default();
    let lines = [
        (settings.http.write_timeout != default.http.write_timeout, "http.write_timeout"),
        (settings.nats.sync_interval != default.nats.sync_interval, "nats.sync_interval"),
    ];
    for (_, key) in lines.into_iter().filter(|(set, _)| *set) {
        warnings.push(format!("{key} has no effect in this version"));
    }
    if let [first, _, ..] = &settings.primary[..] {
        warnings.push(format!(
            "of the primaries only the first is used in this version: {}",
            urls::without_password(first)
        ));
    }
    if settings.is_replica() && settings.store.dir.is_some() {
        warnings.push("store.dir has no effect on a replica in this version: its cache is in memory".to_owned());
    }
}

const NO_TLS: &str = "put a proxy that ends TLS in front, and remove it";
