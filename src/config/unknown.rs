//! Unknown keys: a warning, unless the slip would change what the server is.
//!
//! Files of the Go servers must keep working, so most unknown keys are ignored. A misspelt `operator`,
//! `system_account`, `primary`, `access` or `tls` is an error: without it the server would run, but not as intended.

use config::{Map, Value, ValueKind};
use strsim::damerau_levenshtein;

use super::environment;
use super::error::ConfigError;
use super::given::GivenText;
use super::schema::{self, KEYS, Meaning};
use super::suggest::suggest;

/// Keys without which a server would be another one, and what begins a longer name for the same thing.
const GRAVE: &[&str] = &["operator", "system_account", "systemaccount", "primary", "access", "tls"];

/// The warning about an unknown key, or the error.
pub(super) fn judge(given: &GivenText) -> Result<String, ConfigError> {
    let text = unknown(given);
    if is_grave(given) { Err(ConfigError::Conflict(text)) } else { Ok(text) }
}

fn unknown(given: &GivenText) -> String {
    let suggestion = suggest(&given.path);
    if let Some(variable) = given.origin().strip_prefix(environment::ORIGIN) {
        // A section has no variable.
        let suggestion = suggestion.filter(|name| !matches!(schema::meaning(name), Meaning::Section));
        let hint = suggestion.map(|name| format!("; did you mean {}?", environment::variable(name)));
        return format!("unknown environment variable {variable}{}", hint.unwrap_or_default());
    }
    let what = if matches!(given.value.kind, ValueKind::Table(_)) { "section" } else { "key" };
    let hint = tls_hint(&given.path).or_else(|| suggestion.map(|name| format!("; did you mean {name}?")));
    let hint = hint.unwrap_or_default();
    format!("{}: unknown {what} {}{hint}", given.origin(), given.name)
}

/// The keys of a TLS section, or the sections.
fn tls_hint(path: &str) -> Option<String> {
    let Some((section, _)) = path.rsplit_once('.').filter(|(section, _)| section.ends_with("tls")) else {
        let is_tls = near(path.rsplit('.').next().unwrap_or(path), "tls");
        return is_tls.then(|| {
            "; http.tls is for HTTPS, admin.tls for that of admin.listen, nats.tls for the connections to NATS, replica.tls for those to the primary".into()
        });
    };
    let keys = KEYS.iter().filter(|key| key.path.rsplit_once('.').is_some_and(|(found, _)| found == section));
    let names: Vec<_> = keys
        .map(|key| {
            let leaf = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
            let old = key.old.iter().map(|(old, _)| format!(" (or {})", leaf(old))).collect::<String>();
            format!("{}{old}", leaf(key.path))
        })
        .collect();
    (!names.is_empty()).then(|| format!("; {section} has {}", names.join(", ")))
}

fn is_grave(given: &GivenText) -> bool {
    let parts: Vec<&str> = given.path.split('.').collect();
    let Some((leaf, sections)) = parts.split_last() else { return false };
    if sections.iter().any(|section| near(section, "tls") || near(section, "access")) {
        return true;
    }
    // A cluster manager makes variables of its own, such as NAS_PRIMARY_SERVICE_HOST for a service called nas-primary.
    let may_be_longer = !given.origin().starts_with(environment::ORIGIN);
    let is_meant = |wanted: &str| near(leaf, wanted) || (may_be_longer && leaf.starts_with(wanted));
    if sections.is_empty() && GRAVE.iter().any(|wanted| is_meant(wanted)) {
        return true;
    }
    if !sections.is_empty() && (GRAVE.contains(leaf) || near(leaf, "tls")) {
        return true;
    }
    // A section whose name is misspelt, with TLS in it.
    match &given.value.kind {
        ValueKind::Table(inner) => {
            suggest(&given.path).is_some() && inner.keys().any(|key| near(&key.to_lowercase(), "tls"))
        }
        _ => false,
    }
}

/// Whether one is a slip of the other.
fn near(text: &str, wanted: &str) -> bool {
    damerau_levenshtein(text, wanted) <= (wanted.len() / 4).max(1)
}

/// The sections about TLS that a file has, be they empty, and where.
pub(super) fn tls_sections(prefix: &str, map: &Map<String, Value>, found: &mut Vec<(String, String)>) {
    for (key, value) in map {
        let ValueKind::Table(inner) = &value.kind else { continue };
        let path = if prefix.is_empty() { key.to_lowercase() } else { format!("{prefix}.{}", key.to_lowercase()) };
        if path.ends_with(".tls") {
            let origin = value.origin().or_else(|| inner.values().find_map(Value::origin));
            found.push((path, origin.unwrap_or("configuration").to_owned()));
        } else {
            tls_sections(&path, inner, found);
        }
    }
}
