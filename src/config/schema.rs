//! Every key there is, with what it takes and what else it is called.
//!
//! To add a setting: a field in [`super::Settings`], a line here, a line in `docs/configuration.md` (a test compares).

use Reading::{Level, Millis, Pack, Same, Verify};
use SettingKind::{
    AccessList, Bool, Choice, Duration, FileMode, Host, Int, ListenAddress, ListenAddresses, Name, NatsServers,
    Networks, Origins, PrimaryUrl, PrimaryUrls, Scopes, Secret, Size, Subject, Text,
};

use super::access_lists::{AccessForm, CERTIFICATES, NETWORKS, TOKENS, USERS};

/// The type of a key's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum SettingKind {
    /// Any text; an empty one is the same as none.
    Text,
    /// A short text on one line, for people; an empty one is the same as none.
    Name,
    /// A secret text that fits into an HTTP header. An empty one counts as not set.
    Secret,
    /// A name or address to listen on; an empty one is every IPv4 interface.
    Host,
    /// TCP addresses with their ports to listen on.
    ListenAddresses,
    /// An address with its port to listen on, or a Unix socket.
    ListenAddress,
    Bool,
    /// A whole number in these bounds.
    Int {
        min: u64,
        max: u64,
    },
    /// A time of at least this many milliseconds.
    Duration {
        min: u64,
    },
    /// A number of bytes.
    Size,
    /// A mode of files, in octal.
    FileMode,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A NATS subject that one can publish to; an empty one is the same as none.
    Subject,
    /// Addresses of nats-servers.
    NatsServers,
    /// Base URL of a primary; an empty one is the same as none.
    PrimaryUrl,
    /// Base URLs of a primary.
    PrimaryUrls,
    /// Origins of web pages, or `*`.
    Origins,
    /// Addresses, and networks with the length of their prefix.
    Networks,
    /// Scopes of access, perhaps none.
    Scopes,
    /// Entries of access, each with a name, what it is known by, and its scopes.
    AccessList(&'static AccessForm),
}

/// How an old key's value is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    /// As the key's new name.
    Same,
    /// A bare number is milliseconds.
    Millis,
    /// A boolean that, when true, chooses this log level.
    Level(&'static str),
    /// A boolean that, when true, requires client certificates.
    Verify,
    /// How many JWTs a replica took over at its start: with none it is a cache, with any number it has everything.
    Pack,
}

/// A setting that can be given.
#[derive(Debug)]
pub(super) struct SettingKey {
    /// Its name with its section, as in `http.port`.
    pub(super) path: &'static str,
    pub(super) kind: SettingKind,
    /// Former names, and those that nats-server has for it.
    pub(super) old: &'static [(&'static str, Reading)],
}

const fn key(path: &'static str, kind: SettingKind, old: &'static [(&'static str, Reading)]) -> SettingKey {
    SettingKey { path, kind, old }
}

/// All keys, in the order of the documentation.
pub(super) const KEYS: &[SettingKey] = &[
    key("operator", Text, &[("operatorjwtpath", Same)]),
    key("change_operator", Text, &[]),
    key("system_account", Text, &[("systemaccountjwtpath", Same)]),
    key("primary", PrimaryUrls, &[]),
    key("token", Secret, &[]),
    key("strict", Bool, &[]),
    key("http.host", Host, &[]),
    key("http.port", Int { min: 0, max: 65535 }, &[]),
    key("http.listen", ListenAddresses, &[]),
    key("http.read_timeout", Duration { min: 0 }, &[("http.readtimeout", Millis)]),
    key("http.write_timeout", Duration { min: 0 }, &[("http.writetimeout", Millis)]),
    key("http.workers", Int { min: 1, max: 512 }, &[]),
    key("http.drain_delay", Duration { min: 0 }, &[]),
    key("http.shutdown_grace", Duration { min: 0 }, &[]),
    key("http.max_connections", Int { min: 1, max: 10_000_000 }, &[]),
    key("http.trusted_proxies", Networks, &[]),
    key("http.cors_origins", Origins, &[]),
    key("http.limits.pushes", Int { min: 0, max: 1_000_000 }, &[]),
    key("http.limits.unknown_keys", Int { min: 0, max: 1_000_000 }, &[]),
    key("http.limits.listings", Int { min: 0, max: 1_000_000 }, &[]),
    key("http.tls.cert", Text, &[("http.tls.cert_file", Same)]),
    key("http.tls.key", Text, &[("http.tls.key_file", Same)]),
    key("http.tls.root", Text, &[("http.tls.ca_file", Same)]),
    key("http.tls.client_auth", Choice(&["off", "optional", "required"]), &[("http.tls.verify", Verify)]),
    key("access.anonymous", Scopes, &[]),
    key("access.users", AccessList(&USERS), &[]),
    key("access.tokens", AccessList(&TOKENS), &[]),
    key("access.certificates", AccessList(&CERTIFICATES), &[]),
    key("access.networks", AccessList(&NETWORKS), &[]),
    key("admin.listen", ListenAddress, &[]),
    key("admin.tls.cert", Text, &[("admin.tls.cert_file", Same)]),
    key("admin.tls.key", Text, &[("admin.tls.key_file", Same)]),
    key("admin.tls.root", Text, &[("admin.tls.ca_file", Same)]),
    key("admin.tls.client_auth", Choice(&["off", "optional", "required"]), &[("admin.tls.verify", Verify)]),
    key("store.dir", Text, &[]),
    key("store.shard", Bool, &[]),
    key("store.state_dir", Text, &[]),
    key("store.require_existing", Bool, &[]),
    key("store.history", Int { min: 1, max: 1000 }, &[]),
    key("store.history_age", Duration { min: 0 }, &[]),
    key("store.file_mode", FileMode, &[]),
    key("store.look_interval", Duration { min: 100 }, &[]),
    key("store.cache_bytes", Size, &[]),
    key("store.max_iat_ahead", Duration { min: 0 }, &[]),
    key("store.activations_per_account", Int { min: 0, max: 10_000_000 }, &[]),
    key("store.activation_files", Bool, &[]),
    key("store.readonly", Bool, &[]),
    key("store.nsc", Text, &[]),
    key("store.import_from", PrimaryUrl, &[]),
    key("nats.servers", NatsServers, &[]),
    key("nats.creds", Text, &[("nats.usercredentials", Same)]),
    key("nats.connect_timeout", Duration { min: 1 }, &[("nats.connecttimeout", Millis)]),
    key("nats.reconnect_wait", Duration { min: 1 }, &[("nats.reconnectwait", Millis)]),
    key("nats.receipts_timeout", Duration { min: 1 }, &[]),
    key("nats.sync_interval", Duration { min: 1000 }, &[]),
    key("nats.resolver", Choice(&["auto", "participant", "silent", "off"]), &[]),
    key("nats.pack_responder", Choice(&["auto", "on", "off"]), &[]),
    key("nats.reconcile", Bool, &[]),
    key("nats.reconcile_rate", Int { min: 1, max: 10_000 }, &[]),
    key("nats.kick", Bool, &[]),
    key("nats.sign_request_subject", Subject, &[("signrequestsubject", Same)]),
    key("nats.sign_request_timeout", Duration { min: 1 }, &[("signrequesttimeout", Millis)]),
    key("nats.replica_forget", Duration { min: 1000 }, &[]),
    key("nats.tls.root", Text, &[("nats.tls.ca_file", Same)]),
    key("nats.tls.cert", Text, &[("nats.tls.cert_file", Same)]),
    key("nats.tls.key", Text, &[("nats.tls.key_file", Same)]),
    key("replica.name", Name, &[]),
    key("replica.mode", Choice(&["cache", "mirror"]), &[("maxreplicationpack", Pack)]),
    key("replica.ttl", Duration { min: 1 }, &[]),
    key("replica.timeout", Duration { min: 1 }, &[("replicationtimeout", Millis)]),
    key("replica.cache_bytes", Size, &[]),
    key("replica.warm", Bool, &[]),
    key("replica.negative_ttl", Duration { min: 0 }, &[]),
    key("replica.writes", Choice(&["refuse", "redirect", "forward"]), &[]),
    key("replica.token", Secret, &[]),
    key("replica.tls.root", Text, &[("replica.tls.ca_file", Same)]),
    key("replica.tls.cert", Text, &[("replica.tls.cert_file", Same)]),
    key("replica.tls.key", Text, &[("replica.tls.key_file", Same)]),
    key(
        "log.level",
        Choice(&["error", "warn", "info", "debug", "trace"]),
        &[("logging.trace", Level("trace")), ("logging.debug", Level("debug"))],
    ),
    key("log.format", Choice(&["human", "json"]), &[]),
    key("log.time", Bool, &[("logging.time", Same)]),
    key("log.colors", Bool, &[("logging.colors", Same)]),
    key("log.pid", Bool, &[("logging.pid", Same)]),
    key("audit.path", Text, &[]),
    key("audit.on_failure", Choice(&["continue", "refuse"]), &[]),
];

/// Keys that are known and do nothing, with the reason.
pub(super) const IGNORED: &[(&str, &str)] = &[
    ("nats.max_reconnects", FOR_EVER),
    ("nats.maxreconnects", FOR_EVER),
    ("cleanupinterval", NO_CLEANUP),
    ("store.cleanupinterval", NO_CLEANUP),
];

const FOR_EVER: &str = "has no effect: the server reconnects to NATS without limit";
const NO_CLEANUP: &str = "has no effect in this version: expired tokens are not deleted";

/// The meaning of a path in lower case.
#[derive(Debug)]
pub(super) enum Meaning {
    /// A setting, and how its value is read.
    Setting(&'static SettingKey, Reading, IsOld),
    /// Known, but without effect; the reason.
    Ignored(&'static str),
    /// The path of a section.
    Section,
    Unknown,
}

/// Whether a former name was used.
pub(super) type IsOld = bool;

/// Looks up a path in lower case.
pub(super) fn meaning(path: &str) -> Meaning {
    for key in KEYS {
        if key.path == path {
            return Meaning::Setting(key, Same, false);
        }
        if let Some((_, reading)) = key.old.iter().find(|(old, _)| *old == path) {
            return Meaning::Setting(key, *reading, true);
        }
    }
    if let Some((_, reason)) = IGNORED.iter().find(|(ignored, _)| *ignored == path) {
        return Meaning::Ignored(reason);
    }
    if names().any(|name| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))) {
        return Meaning::Section;
    }
    Meaning::Unknown
}

/// All names, new and old.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let settings = KEYS.iter().flat_map(|key| std::iter::once(key.path).chain(key.old.iter().map(|(old, _)| *old)));
    settings.chain(IGNORED.iter().map(|(name, _)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_used_twice() {
        let mut seen = std::collections::HashSet::new();
        for name in names() {
            assert!(seen.insert(name), "{name}");
            assert_eq!(name, name.to_lowercase());
        }
    }

    #[test]
    fn the_documentation_names_every_key() {
        let page = include_str!("../../docs/configuration.md");
        for name in names() {
            assert!(page.contains(&format!("`{name}`")), "docs/configuration.md does not mention `{name}`");
        }
        for key in KEYS {
            let variable = super::super::environment::variable(key.path);
            assert!(page.contains(&format!("`{variable}`")), "docs/configuration.md does not mention {variable}");
        }
    }
}
