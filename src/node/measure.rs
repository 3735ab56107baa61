//! Brings the gauges up to date: those that cost nothing before each scrape, the others in the background.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Node;
use crate::clock;
use crate::metrics::{WITHIN, gauge};
use crate::store::{StoreError, blocking};

/// The shortest pause between two looks at what takes longer.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A look takes at most this part of the time: one in 100.
const SHARE: u32 = 100;

impl Node {
    /// Brings the gauges up to date before a scrape. Reads memory only.
    pub fn measure(&self) {
        let metrics = self.metrics();
        metrics.expiry.operator.show(self.trust().map(|trust| trust.exp()));
        let links = self.gate.standing().chain().map(|chain| chain.len() as u64);
        metrics.gate.operator_chain_links.count(links);
        metrics.store.withheld_accounts.set(gauge(self.withheld().unwrap_or(0)));
        self.backend.measure(metrics);
        self.measure_replicas();
        metrics.nats.sign_requests_in_flight.set(i64::try_from(self.sign_requests()).unwrap_or(i64::MAX));
        self.measure_nats_servers();
        let connected = self.nats().filter(|nats| nats.is_connected());
        metrics.nats.connected.set(i64::from(connected.is_some()));
        metrics.nats.effective.set(i64::from(connected.is_some_and(|nats| nats.problem().is_none())));
    }

    fn measure_replicas(&self) {
        let followers = &self.metrics().followers;
        let counts = self.replicas.counts(clock::uptime_millis());
        for (state, count) in [("in_sync", counts.in_sync), ("behind", counts.behind), ("silent", counts.silent)] {
            followers.replicas.with_label_values(&[state]).set(gauge(count));
        }
        let (direct, below) = self.replicas.tiers();
        for (label, tier) in [("direct", direct), ("below", below)] {
            followers.by_tier.with_label_values(&[label]).set(gauge(tier.replicas));
            followers.lag.show_of([label], tier.lag.map(|lag| lag as f64));
        }
    }

    /// Keeps the gauges up to date that need a look at the disk or at an index, for as long as the process lives.
    pub async fn look_after_metrics(self: Arc<Self>) {
        tokio::join!(
            repeated(|| {
                let node = self.clone();
                async move { node.measure_disk().await }
            }),
            repeated(|| {
                let node = self.clone();
                async move { node.measure_counts().await }
            }),
            // By itself, because it takes longer than all others together.
            repeated(|| {
                let node = self.clone();
                async move { node.measure_heads().await }
            })
        );
    }

    async fn measure_disk(&self) {
        let backend = self.backend.clone();
        let figures = blocking(move || Ok(backend.disk_figures())).await.unwrap_or_default();
        let store = &self.metrics().store;
        store.journal_bytes.count(figures.journal);
        store.journal_log_bytes.count(figures.log);
        store.disk_free_bytes.count(figures.free);
        store.disk_size_bytes.count(figures.size);
        store.last_backup.show(figures.backed_up);
    }

    async fn measure_heads(&self) {
        let Some(ledger) = self.ledger() else { return };
        let journal = ledger.journal().clone();
        let heads = blocking(move || journal.count_heads()).await;
        self.metrics().store.heads.count(heads.ok());
    }

    /// What cannot be counted is absent until it can: an old figure would be taken for a new one.
    async fn measure_counts(self: Arc<Self>) {
        let Some(ledger) = self.ledger() else { return };
        let (journal, is_read_only) = (ledger.journal().clone(), ledger.is_read_only());
        let now = clock::unix_seconds();
        let periods = WITHIN.map(|(_, seconds)| seconds);
        let counted = blocking(move || {
            let tombstones = journal.count_tombstones();
            let activations = journal.count_activations();
            let expiring = journal.expiry_figures(now, &periods, is_read_only);
            Ok::<_, StoreError>((tombstones, activations, expiring, journal.earliest_expiry(now)))
        });
        let Ok((tombstones, activations, expiring, earliest)) = counted.await else { return };
        let metrics = self.metrics();
        metrics.store.tombstones.count(tombstones.ok());
        metrics.store.activations.count(activations.ok());
        let expiring = expiring.ok();
        for (place, (label, _)) in WITHIN.iter().enumerate() {
            let count = expiring.as_ref().and_then(|figures| figures.within.get(place));
            metrics.expiry.accounts_expiring.show_of([label], count.map(|count| *count as f64));
        }
        metrics.expiry.accounts_expired.count(expiring.map(|figures| figures.expired));
        metrics.expiry.earliest.show(earliest.ok().flatten());
    }
}

/// Looks again and again, at most for its share of the time.
async fn repeated<F: Future<Output = ()>>(look: impl Fn() -> F) {
    loop {
        let began = Instant::now();
        look().await;
        tokio::time::sleep((began.elapsed() * SHARE).clamp(PAUSE, LONGEST_PAUSE)).await;
    }
}
