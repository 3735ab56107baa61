//! Metrics of what is stored, and where.

use prometheus::IntGauge;

use super::kinds::{Counters, Moment, OptionalGauge, pairs};
use super::make::Maker;
use super::profile::{BOTH, PRIMARY, Part, Role};

metrics! {
    /// Metrics of what is stored, and where.
    StoreMetrics, make:
    pub serial: IntGauge = make.on(BOTH).gauge(
        "serial",
        "Serial of the last change: committed on a primary, followed on a replica",
    )?;
    pub accounts: IntGauge = make.on(PRIMARY).gauge("accounts", "Accounts with a JWT that is not deleted, on a primary")?;
    pub withheld_accounts: IntGauge = make.on(PRIMARY).gauge(
        "withheld_accounts",
        "Accounts that a primary withholds, because the operator's JWT does not list the key that signed them",
    )?;
    pub heads: OptionalGauge = make.on(PRIMARY).optional(
        "heads",
        "Keys of which something is remembered, also of what is deleted or has left; absent until they are counted",
        [],
    )?;
    pub tombstones: OptionalGauge = make.on(PRIMARY).optional(
        "tombstones",
        "Accounts that are deleted, and whose deletion is remembered; absent until they are counted",
        [],
    )?;
    pub activations: OptionalGauge = make.on(PRIMARY).optional(
        "activations",
        "Activations that are stored; absent until they are counted",
        [],
    )?;
    pub journal_bytes: OptionalGauge = make.on(BOTH).optional(
        "journal_bytes",
        "Size of the journal's file; absent without a folder",
        [],
    )?;
    pub journal_log_bytes: OptionalGauge = make.on(BOTH).optional(
        "journal_log_bytes",
        "Size of the journal's write-ahead log; absent without a folder",
        [],
    )?;
    pub disk_free_bytes: OptionalGauge = make.on(BOTH).optional(
        "disk_free_bytes",
        "Bytes that the file system of the journal has free for this server; absent without a folder",
        [],
    )?;
    pub disk_size_bytes: OptionalGauge = make.on(BOTH).optional(
        "disk_size_bytes",
        "Size of the file system of the journal; absent without a folder",
        [],
    )?;
    pub last_backup: Moment = make.on(BOTH).moment(
        "last_backup_timestamp_seconds",
        "When the command backup last copied this server's journal, unix time; absent: never",
        [],
    )?;
    pub cache_entries: IntGauge = make.on(PRIMARY).gauge("primary_cache_entries", "JWTs in a primary's read cache")?;
    pub cache_bytes: IntGauge = make.on(PRIMARY).gauge("primary_cache_bytes", "Bytes that a primary's read cache counts")?;
    pub reloads: Counters<2> = make.on(BOTH).counters(
        "reloads_total",
        "Reloads without a restart, by what was reloaded and by result: ok or failed",
        ["what", "result"],
        pairs(&reloadable(make), &["ok", "failed"]),
    )?;
}

/// What a server reloads.
fn reloadable(make: &Maker) -> Vec<&'static str> {
    let mut what = vec!["settings", "operator", "http.tls", "admin.tls", "access"];
    if make.profile().has(Part::Nats) {
        what.push("nats.creds");
    }
    if make.profile().role() == Role::Replica {
        what.push("replica.tls");
    }
    what
}
