//! How metrics are made and registered.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

pub(super) const PREFIX: &str = "nats_account_server";
pub(super) const FAST: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.0, 5.0];

/// For what takes as long as nats-servers take to be reached.
pub(super) const SLOW: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// Declares `Metrics`, and how each of them is made. A later one may use an earlier one by its name.
macro_rules! metrics {
    ($make:ident: $($vis:vis $name:ident: $type:ty = $made:expr;)*) => {
        /// All metrics of the process.
        #[derive(Debug)]
        #[allow(missing_docs)] // Each is described by its own help text.
        pub struct Metrics {
            registry: Registry,
            $($vis $name: $type,)*
        }

        impl Metrics {
            fn make($make: Maker) -> prometheus::Result<Self> {
                $(let $name = $made;)*
                Ok(Self { registry: $make.0, $($name,)* })
            }
        }
    };
}

/// Registers metrics; a name that is taken twice is a mistake in the list of metrics, which its test finds.
pub(super) struct Maker(pub(super) Registry);

impl Maker {
    pub(super) fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> prometheus::Result<C> {
        let collector = made?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::with_opts(Opts::new(name, help).namespace(PREFIX)))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help).namespace(PREFIX), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::with_opts(Opts::new(name, help).namespace(PREFIX)))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help).namespace(PREFIX), labels))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).namespace(PREFIX).buckets(buckets.to_vec())))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).namespace(PREFIX).buckets(FAST.to_vec()), labels))
    }
}
