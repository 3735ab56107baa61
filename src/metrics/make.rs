//! How metrics are made and registered.
//!
//! Each metric says which servers have it. Elsewhere its handle works, and shows nothing. What counts by labels is declared
//! with the values of the labels.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    Error, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, Result,
};

use super::kinds::{Counters, Histograms, Moment, OptionalGauge, Values};
use super::profile::{Profile, Role, Scope};

const PREFIX: &str = "nats_account_server";

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";
const HISTOGRAM: &str = "histogram";

/// For what takes as long as memory and disks, in seconds.
pub(super) const FAST: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.0, 5.0];

/// For what takes as long as nats-servers take to be reached, in seconds.
pub(super) const SLOW: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// Declares the metrics of one subject, and how each of them is made. A later one may use an earlier one by its name.
macro_rules! metrics {
    ($(#[$about:meta])* $group:ident, $make:ident: $($vis:vis $name:ident: $type:ty = $made:expr;)*) => {
        $(#[$about])*
        #[derive(Debug)]
        #[allow(missing_docs)] // Each is described by its own help text.
        pub struct $group {
            $($vis $name: $type,)*
        }

        impl $group {
            pub(super) fn make($make: &$crate::metrics::make::Maker) -> prometheus::Result<Self> {
                $(let $name = $made;)*
                Ok(Self { $($name,)* })
            }
        }
    };
}

/// A metric that a server has, as it was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its whole name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// Combinations of label values that exist from the start. Empty: they appear as they come.
    pub values: Vec<Vec<&'static str>>,
}

/// Makes the metrics of one server.
#[derive(Debug)]
pub(super) struct Maker {
    registry: Registry,
    profile: Profile,
    declared: RefCell<Vec<Declared>>,
}

impl Maker {
    pub(super) fn new(profile: Profile) -> Self {
        Self { registry: Registry::new(), profile, declared: RefCell::default() }
    }

    /// What gathers everything that was registered, and what that is.
    pub(super) fn finish(self) -> (Registry, Vec<Declared>) {
        (self.registry, self.declared.into_inner())
    }

    /// Makes metrics that servers of this scope have.
    pub(super) fn on(&self, scope: Scope) -> Registrar<'_> {
        Registrar { maker: scope.covers(&self.profile).then_some(self) }
    }

    pub(super) const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// One of two values, by the role.
    pub(super) fn by_role<T>(&self, primary: T, replica: T) -> T {
        match self.profile.role() {
            Role::Primary => primary,
            Role::Replica => replica,
        }
    }

    /// Registers a metric. A name that is taken twice is a mistake in the list of metrics, which its test finds.
    fn register(
        &self,
        collector: Box<dyn Collector>,
        kind: &'static str,
        values: Vec<Vec<&'static str>>,
    ) -> Result<()> {
        for described in collector.desc() {
            self.declared.borrow_mut().push(Declared {
                name: described.fq_name.clone(),
                kind,
                labels: described
                    .variable_labels
                    .iter()
                    .cloned()
                    .chain(described.const_label_pairs.iter().map(|pair| pair.name().to_owned()))
                    .collect(),
                values: values.clone(),
            });
        }
        self.registry.register(collector)
    }

    /// Registers what has names of its own.
    pub(super) fn add(&self, collector: impl Collector + 'static) -> Result<()> {
        self.registry.register(Box::new(collector))
    }
}

/// Makes metrics, and registers them if this server has them.
#[derive(Debug)]
pub(super) struct Registrar<'m> {
    maker: Option<&'m Maker>,
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

fn histogram_opts(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace(PREFIX).buckets(buckets.to_vec())
}

impl Registrar<'_> {
    fn add<C: Collector + Clone + 'static>(
        &self,
        made: Result<C>,
        kind: &'static str,
        values: Vec<Vec<&'static str>>,
    ) -> Result<C> {
        let collector = made?;
        if let Some(maker) = self.maker {
            maker.register(Box::new(collector.clone()), kind, values)?;
        }
        Ok(collector)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.add(IntCounter::with_opts(opts(name, help)), COUNTER, Vec::new())
    }

    pub(super) fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl Into<Values<N>>,
    ) -> Result<Counters<N>> {
        let (vec, values) = (IntCounterVec::new(opts(name, help), &labels), values.into());
        is_declared(name, &values)?;
        Ok(Counters::new(self.add(vec, COUNTER, values.listed())?, &values))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.add(IntGauge::with_opts(opts(name, help)), GAUGE, Vec::new())
    }

    /// A gauge that is 1, with labels that say what runs.
    pub(super) fn info(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<()> {
        let opts = labels.iter().fold(opts(name, help), |opts, (label, value)| opts.const_label(*label, *value));
        self.add(IntGauge::with_opts(opts), GAUGE, Vec::new()).map(|gauge| gauge.set(1))
    }

    /// Gauges by a label whose values are states: all of them are set before each scrape.
    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(opts(name, help), labels), GAUGE, Vec::new())
    }

    pub(super) fn optional<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<OptionalGauge<N>> {
        Ok(OptionalGauge(self.add(GaugeVec::new(opts(name, help), &labels), GAUGE, Vec::new())?))
    }

    pub(super) fn moment<const N: usize>(&self, name: &str, help: &str, labels: [&str; N]) -> Result<Moment<N>> {
        self.optional(name, help, labels).map(Moment)
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        self.add(Histogram::with_opts(histogram_opts(name, help, buckets)), HISTOGRAM, Vec::new())
    }

    pub(super) fn histograms<const N: usize>(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: [&str; N],
        values: impl Into<Values<N>>,
    ) -> Result<Histograms<N>> {
        let (vec, values) = (HistogramVec::new(histogram_opts(name, help, buckets), &labels), values.into());
        is_declared(name, &values)?;
        Ok(Histograms::new(self.add(vec, HISTOGRAM, values.listed())?, &values))
    }
}

/// A counter that appears with its first count hides that count from alerts.
fn is_declared<const N: usize>(name: &str, values: &Values<N>) -> Result<()> {
    if values.declared().is_empty() && matches!(values, Values::Only(_)) {
        return Err(Error::Msg(format!("{name} is declared without the values of its labels")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::profile::{BOTH, PRIMARY, Part, REPLICA};
    use prometheus::TextEncoder;

    fn text(maker: &Maker) -> String {
        TextEncoder::new().encode_to_string(&maker.registry.gather()).expect("text")
    }

    #[test]
    fn a_metric_is_on_the_servers_of_its_scope_only() {
        let scopes = [
            ("both", BOTH),
            ("primary", PRIMARY),
            ("replica", REPLICA),
            ("nats", BOTH.with(Part::Nats)),
            ("primary_nats", PRIMARY.with(Part::Nats)),
        ];
        for (role, parts, there) in [
            (Role::Primary, vec![], &["both", "primary"][..]),
            (Role::Primary, vec![Part::Nats], &["both", "primary", "nats", "primary_nats"]),
            (Role::Replica, vec![], &["both", "replica"]),
            (Role::Replica, vec![Part::Nats], &["both", "replica", "nats"]),
        ] {
            let maker = Maker::new(Profile::new(role, parts));
            for (name, scope) in scopes {
                // The handle works everywhere.
                maker.on(scope).counter(&format!("{name}_total"), "help").expect("made").inc();
            }
            let text = text(&maker);
            for (name, _) in scopes {
                let line = format!("nats_account_server_{name}_total 1\n");
                assert_eq!(text.contains(&line), there.contains(&name), "{name} on {:?}:\n{text}", maker.profile);
            }
        }
    }

    #[test]
    fn counters_by_labels_are_there_from_the_start_or_are_not_made() {
        let maker = Maker::new(Profile::primary());
        let made = maker.on(BOTH).counters("one_total", "help", ["a"], ["x", "y"]).expect("made");
        for line in ["one_total{a=\"x\"} 0", "one_total{a=\"y\"} 0"] {
            assert!(text(&maker).contains(line), "{line}");
        }
        made.inc(["x"]);
        assert!(text(&maker).contains("one_total{a=\"x\"} 1"));
        assert!(maker.on(BOTH).counters("two_total", "help", ["a"], [""; 0]).is_err());
        assert!(maker.on(BOTH).histograms("three", "help", FAST, ["a"], [""; 0]).is_err());
    }

    #[test]
    #[should_panic(expected = "undeclared label values")]
    fn values_that_were_not_declared_are_a_mistake() {
        let maker = Maker::new(Profile::primary());
        maker.on(BOTH).counters("one_total", "help", ["a"], ["x"]).expect("made").inc(["y"]);
    }

    #[test]
    fn what_is_unknown_is_absent_and_never_is_no_moment() {
        let maker = Maker::new(Profile::primary());
        let moment = maker.on(BOTH).moment("at_timestamp_seconds", "help", []).expect("made");
        let gauge = maker.on(BOTH).optional("some", "help", ["of"]).expect("made");
        let shows = |line: &str| text(&maker).lines().any(|found| found == format!("nats_account_server_{line}"));
        assert!(!text(&maker).contains("nats_account_server_"));
        moment.show(Some(1_795_503_912));
        gauge.show_of(["a"], Some(1.5));
        assert!(shows("at_timestamp_seconds 1795503912") && shows("some{of=\"a\"} 1.5"));
        for never in [None, Some(0), Some(-1)] {
            moment.show(Some(7));
            moment.show(never);
            assert!(!text(&maker).contains("at_timestamp_seconds"), "{never:?}");
        }
        gauge.show_of(["a"], None);
        assert!(!text(&maker).contains("nats_account_server_"));
    }
}
