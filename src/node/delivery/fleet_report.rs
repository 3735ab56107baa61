//! The fleet of nats-servers, as clients are shown it.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::Serialize;
use utoipa::ToSchema;

use super::compared::Match;
use super::fleet::{Difference, ServerStanding};
use super::propagation::RunningJwt;
use super::receipts::Summary;
use super::servers::Server;
use crate::jwt::AccountJwt;
use crate::key::AccountKey;
use crate::node::{Ledger, Node};

/// Accounts of one kind that are listed for one nats-server at most. The others are counted.
const MAX_LISTED: usize = 1000;
/// What helps against an account that cannot be unloaded.
const WAY_OUT: &str = "push a JWT with \"conn\": 0, see that it is in force, then delete the account";

/// All nats-servers that are known.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetReport {
    /// Whether what they run is compared with the store.
    pub compared: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Those that are there, by name.
    pub servers: Vec<ServerReport>,
    /// Those that are gone without a word.
    pub silent: Vec<SilentReport>,
}

/// One nats-server.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerReport {
    /// The id that it made at its start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its release.
    pub version: String,
    /// Its cluster; empty if it has none.
    pub cluster: String,
    /// `in_sync`, `behind` or `unknown`.
    pub state: &'static str,
    /// The same: true, false, or null if that cannot be told.
    pub in_sync: Option<bool>,
    /// Why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// Accounts that it has loaded.
    pub accounts_loaded: Option<usize>,
    /// Accounts of which it runs another version than the stored one.
    pub accounts_behind: usize,
    /// Changed accounts that are still to be compared.
    pub accounts_pending: usize,
    /// When any account was last compared, unix milliseconds.
    pub last_compared: Option<i64>,
    /// When the latest sweep over all its accounts ended, unix milliseconds.
    pub last_sweep: Option<i64>,
    /// The operator JWT that it runs, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorReport>,
    /// Accounts of which it runs another version than the stored one, the first 1000 by key.
    pub behind: Vec<AccountReport>,
    /// Accounts that are not served here any more, and that it goes on with.
    pub cannot_unload: Vec<AccountReport>,
    /// Accounts whose imports are not all in effect there.
    pub incomplete: Vec<AccountReport>,
}

/// The operator JWT that a nats-server runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorReport {
    /// Its issue time, unix seconds.
    pub iat: i64,
    /// Whether it is the one in force here. A nats-server takes another one at its restart or reload.
    pub current: bool,
}

/// One account at one nats-server.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct AccountReport {
    /// The account.
    pub account: String,
    /// Its name, if a JWT of it is stored.
    pub name: String,
    /// What the nats-server runs.
    pub runs: Option<RunningJwt>,
    /// What it should run; null: nothing.
    pub should_run: Option<RunningJwt>,
    /// Since when, unix milliseconds.
    pub since: i64,
    /// When it was last compared, unix milliseconds.
    pub last_compared: i64,
    /// Why what it runs is rejected here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why the account is not served here: `deleted`, `removed`, `withheld` or `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<&'static str>,
    /// Imports that are not in effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_imports: Vec<String>,
    /// Connections that go on with what the change took from them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_left: Option<u64>,
    /// Claims that connected clients do not feel on this release.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_live: Vec<&'static str>,
}

/// A nats-server that is gone without a word.
#[derive(Debug, Serialize, ToSchema)]
pub struct SilentReport {
    /// The id that it made at its start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its release.
    pub version: String,
    /// For how many seconds it has been counted as gone.
    pub gone_for: u64,
}

impl Node {
    /// All nats-servers that are known. `None`: this is a replica. Blocks for queries.
    pub fn fleet_report(&self) -> Option<FleetReport> {
        let ledger = self.ledger()?;
        let note = if self.receipts.is_off() { Some("NATS is not configured".into()) } else { self.uncompared() };
        let servers = self.receipts.standings();
        let silent = self.receipts.gone().into_iter().map(|(server, since)| SilentReport {
            id: server.id.clone(),
            name: server.name.clone(),
            version: server.version.clone(),
            gone_for: since.as_secs(),
        });
        Some(FleetReport {
            compared: note.is_none(),
            note,
            servers: servers.iter().map(|(server, standing)| report(&**ledger, server, standing)).collect(),
            silent: silent.collect(),
        })
    }
}

impl Node {
    /// What is known of the nats-servers, in a line. `None`: this is a replica, or NATS is not configured.
    pub(in crate::node) fn nats_servers_detail(&self) -> Option<String> {
        if self.ledger().is_none() || self.receipts.is_off() {
            return None;
        }
        let Summary { in_sync, behind, unknown, silent, .. } = self.receipts.summary();
        let there = in_sync + behind + unknown;
        let mut detail = format!("{there} there: {in_sync} in sync, {behind} behind, {unknown} unknown");
        if silent > 0 {
            detail.push_str(&format!("; {silent} gone without a word"));
        }
        if let Some(why) = self.uncompared() {
            detail.push_str(&format!("; {why}"));
        }
        Some(detail)
    }
}

impl Node {
    /// Brings the gauges about nats-servers up to date.
    pub(in crate::node) fn measure_nats_servers(&self) {
        let Summary { in_sync, behind, unknown, silent, accounts_behind, oldest_sweep } = self.receipts.summary();
        let metrics = self.metrics();
        let servers_known = accounts_behind.len() + silent;
        metrics.delivery.servers.set(gauge(accounts_behind.len()));
        for (state, count) in [("in_sync", in_sync), ("behind", behind), ("unknown", unknown), ("silent", silent)] {
            metrics.delivery.servers_by_state.with_label_values(&[state]).set(gauge(count));
        }
        metrics.delivery.accounts_behind.reset();
        for (server, behind) in accounts_behind {
            // Servers may share a name.
            metrics.delivery.accounts_behind.with_label_values(&[&*server.name]).add(gauge(behind));
        }
        let is_known = servers_known > 0 || self.replicas().lowest().is_some();
        for (kind, count) in self.receipts.overdue() {
            let count = (is_known && self.comparer().is_some()).then_some(count as f64);
            metrics.delivery.overdue.show_of([kind.label()], count);
        }
        metrics.delivery.oldest_sweep.show(oldest_sweep.map(|at| at / 1000));
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The state of a nats-server, in a word.
fn state(standing: &ServerStanding) -> &'static str {
    match standing.is_in_sync() {
        Some(true) => "in_sync",
        Some(false) => "behind",
        None => "unknown",
    }
}

fn report(ledger: &dyn Ledger, server: &Server, standing: &ServerStanding) -> ServerReport {
    let (mut behind, mut cannot_unload, mut incomplete) = (Vec::new(), Vec::new(), Vec::new());
    for (key, difference) in &standing.differences {
        let list = match &difference.compared.found {
            _ if difference.is_behind() => &mut behind,
            Match::CannotUnload { .. } => &mut cannot_unload,
            _ => &mut incomplete,
        };
        if list.len() < MAX_LISTED {
            list.push(account(ledger, key, difference));
        }
    }
    ServerReport {
        id: server.id.clone(),
        name: server.name.clone(),
        version: server.version.clone(),
        cluster: server.cluster.clone(),
        state: state(standing),
        in_sync: standing.is_in_sync(),
        unknown: standing.unknown.clone(),
        accounts_loaded: standing.loaded,
        accounts_behind: standing.behind(),
        accounts_pending: standing.pending,
        last_compared: standing.compared_at,
        last_sweep: standing.swept_at,
        operator: standing.operator.as_ref().map(|there| OperatorReport { iat: there.iat, current: there.is_current }),
        behind,
        cannot_unload,
        incomplete,
    }
}

fn account(ledger: &dyn Ledger, key: &AccountKey, difference: &Difference) -> AccountReport {
    let compared = &difference.compared;
    let should_run =
        difference.should_run.map(|(iat, identity)| RunningJwt { iat, identity: HEXLOWER.encode(&identity) });
    let mut report = AccountReport {
        account: key.text(),
        name: name(ledger, key),
        should_run,
        since: difference.since,
        last_compared: compared.at,
        connections_left: compared.connections_left,
        not_live: compared.lagging.clone(),
        ..AccountReport::default()
    };
    match &compared.found {
        Match::Behind { runs } => report.runs = runs.map(Into::into),
        Match::Rejected { runs, error } => {
            (report.runs, report.error) = (runs.map(Into::into), Some(error.clone()));
        }
        Match::CannotUnload { runs, gone, lets_nobody_in } => {
            (report.runs, report.reason) = (runs.map(Into::into), Some(gone.label()));
            report.way_out = (!lets_nobody_in).then_some(WAY_OUT);
        }
        Match::Incomplete { missing, .. } => report.missing_imports.clone_from(missing),
        Match::Current | Match::NotLoaded | Match::Foreign => {}
    }
    report
}

/// The name of an account; empty if no JWT of it is served.
fn name(ledger: &dyn Ledger, key: &AccountKey) -> String {
    let entry = match ledger.cached(key) {
        Some(stored) => Some(Arc::clone(&stored.entry)),
        None => ledger.served(key).ok().flatten().map(|stored| stored.entry.clone()),
    };
    entry.and_then(|entry| AccountJwt::decode(entry.text()).ok()).map_or_else(String::new, |jwt| jwt.claims.name)
}
