//! Metric handles, made once at start.
//!
//! Names begin with `nats_account_server_`, units are base units, and no label carries an account: a label with a value
//! per account would cost more than the accounts do.
//!
//! A series exists where it means something: each metric says which servers have it ([`Profile`]). A counter exists from the
//! start with all its label values, so that an alert sees the first error. What never happened, or is unknown, is absent and
//! never 0 ([`Moment`], [`OptionalGauge`]).

#[macro_use]
mod make;
mod audit;
mod delivery;
mod expiry;
mod folder;
mod followers;
mod gate;
mod http;
mod kinds;
mod nats;
#[cfg(target_os = "linux")]
mod process;
mod profile;
mod replica;
mod store;
mod writes;

use prometheus::Registry;

pub use audit::AuditMetrics;
pub use delivery::DeliveryMetrics;
pub use expiry::{ExpiryMetrics, WITHIN};
pub use folder::FolderMetrics;
pub use followers::FollowerMetrics;
pub use gate::GateMetrics;
pub use http::{GetOutcome, HttpMetrics, ROUTES};
pub use kinds::{Counters, Histograms, Moment, OptionalGauge};
pub use nats::NatsMetrics;
pub use profile::{Part, Profile, Role};
pub use replica::ReplicaMetrics;
pub use store::StoreMetrics;
pub use writes::{CommitMetrics, WriteMetrics};

pub use make::Declared;

use make::Maker;
use profile::BOTH;

/// All metrics of the process, by subject.
#[derive(Debug)]
#[allow(missing_docs)] // Each is described where it is declared.
pub struct Metrics {
    registry: Registry,
    declared: Vec<Declared>,
    pub http: HttpMetrics,
    pub gate: GateMetrics,
    pub writes: WriteMetrics,
    pub store: StoreMetrics,
    pub expiry: ExpiryMetrics,
    pub folder: FolderMetrics,
    pub followers: FollowerMetrics,
    pub nats: NatsMetrics,
    pub delivery: DeliveryMetrics,
    pub replica: ReplicaMetrics,
    pub audit: AuditMetrics,
}

impl Metrics {
    /// Makes everything, and registers what a server of this profile has.
    pub fn new(profile: Profile) -> prometheus::Result<Self> {
        let make = Maker::new(profile);
        #[cfg(target_os = "linux")]
        make.add(process::ProcessMetrics::new()?)?;
        let runs = [("version", env!("CARGO_PKG_VERSION")), ("role", make.by_role("primary", "replica"))];
        make.on(BOTH).info("build_info", "1; the labels say what runs", &runs)?;
        let made = Self {
            http: HttpMetrics::make(&make)?,
            gate: GateMetrics::make(&make)?,
            writes: WriteMetrics::make(&make)?,
            store: StoreMetrics::make(&make)?,
            expiry: ExpiryMetrics::make(&make)?,
            folder: FolderMetrics::make(&make)?,
            followers: FollowerMetrics::make(&make)?,
            nats: NatsMetrics::make(&make)?,
            delivery: DeliveryMetrics::make(&make)?,
            replica: ReplicaMetrics::make(&make)?,
            audit: AuditMetrics::make(&make)?,
            registry: Registry::new(),
            declared: Vec::new(),
        };
        let (registry, declared) = make.finish();
        Ok(Self { registry, declared, ..made })
    }

    /// What this server has, whether or not there is something to show now. The resources of the process are not among them.
    pub fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// Counts a reload. `what`: `settings`, `operator`, `nats.creds`, or a section with TLS files.
    pub fn reloaded(&self, what: &str, ok: bool) {
        self.store.reloads.inc([what, if ok { "ok" } else { "failed" }]);
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> prometheus::Result<String> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// What a gauge shows of a count.
pub fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_can_be_registered_and_rendered() {
        for profile in [Profile::primary(), Profile::replica()] {
            let metrics = Metrics::new(profile).expect("no name is taken twice");
            metrics.gate.refused.inc(["config", "no_operator"]);
            let text = metrics.render().expect("renders");
            let line = "nats_account_server_refused_total{path=\"config\",reason=\"no_operator\"} 1";
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_server_without_nats_folder_and_audit_log_has_no_metrics_of_them() {
        let metrics = Metrics::new(Profile::new(Role::Primary, Vec::new())).expect("made");
        let text = metrics.render().expect("renders");
        for absent in ["nats_connected", "announced", "folder_", "audit_", "sign_requests", "replica_", "in_force"] {
            assert!(!text.contains(&format!("nats_account_server_{absent}")), "{absent}: {text}");
        }
        assert!(text.contains("nats_account_server_pushes_total{kind=\"account\",result=\"error\"} 0"), "{text}");
    }
}
