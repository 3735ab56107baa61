//! Kinds of metrics beyond those of the library: what has labels has declared values, and what is unknown is absent.

use std::collections::HashSet;
use std::sync::Arc;

use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec};

/// The combinations of label values that exist from the start.
#[derive(Clone, Debug)]
pub(super) enum Values<const N: usize> {
    /// Only these.
    Only(Vec<[&'static str; N]>),
    /// These, and others as they come.
    AtLeast(Vec<[&'static str; N]>),
}

impl<const N: usize> Values<N> {
    pub(super) fn declared(&self) -> &[[&'static str; N]] {
        match self {
            Self::Only(values) | Self::AtLeast(values) => values,
        }
    }

    /// The same, for lists of metrics with any number of labels.
    pub(super) fn listed(&self) -> Vec<Vec<&'static str>> {
        self.declared().iter().map(|values| values.to_vec()).collect()
    }

    fn closed(&self) -> Option<Arc<HashSet<[&'static str; N]>>> {
        match self {
            Self::Only(values) => Some(Arc::new(values.iter().copied().collect())),
            Self::AtLeast(_) => None,
        }
    }
}

impl<const N: usize> From<Vec<[&'static str; N]>> for Values<N> {
    fn from(values: Vec<[&'static str; N]>) -> Self {
        Self::Only(values)
    }
}

impl From<&[&'static str]> for Values<1> {
    fn from(values: &[&'static str]) -> Self {
        Self::Only(values.iter().map(|value| [*value]).collect())
    }
}

impl<const M: usize> From<[&'static str; M]> for Values<1> {
    fn from(values: [&'static str; M]) -> Self {
        values.as_slice().into()
    }
}

/// Every pair of a first and a second value.
pub(super) fn pairs(first: &[&'static str], second: &[&'static str]) -> Vec<[&'static str; 2]> {
    first.iter().flat_map(|one| second.iter().map(move |other| [*one, *other])).collect()
}

/// Counters that differ in their labels.
#[derive(Clone, Debug)]
pub struct Counters<const N: usize> {
    vec: IntCounterVec,
    closed: Option<Arc<HashSet<[&'static str; N]>>>,
}

impl<const N: usize> Counters<N> {
    pub(super) fn new(vec: IntCounterVec, values: &Values<N>) -> Self {
        for values in values.declared() {
            vec.with_label_values(values);
        }
        Self { vec, closed: values.closed() }
    }

    /// The counter with these values, which are among the declared ones: an alert would miss the first count of others.
    pub fn of(&self, values: [&str; N]) -> IntCounter {
        debug_assert!(is_among(self.closed.as_deref(), values), "undeclared label values: {values:?}");
        self.vec.with_label_values(&values)
    }

    /// Counts one more.
    pub fn inc(&self, values: [&str; N]) {
        self.of(values).inc();
    }
}

/// Histograms that differ in their labels.
#[derive(Clone, Debug)]
pub struct Histograms<const N: usize> {
    vec: HistogramVec,
    closed: Option<Arc<HashSet<[&'static str; N]>>>,
}

impl<const N: usize> Histograms<N> {
    pub(super) fn new(vec: HistogramVec, values: &Values<N>) -> Self {
        for values in values.declared() {
            vec.with_label_values(values);
        }
        Self { vec, closed: values.closed() }
    }

    /// The histogram with these values, which are among the declared ones.
    pub fn of(&self, values: [&str; N]) -> Histogram {
        debug_assert!(is_among(self.closed.as_deref(), values), "undeclared label values: {values:?}");
        self.vec.with_label_values(&values)
    }
}

fn is_among<const N: usize>(closed: Option<&HashSet<[&'static str; N]>>, values: [&str; N]) -> bool {
    closed.is_none_or(|closed| closed.iter().any(|declared| declared.iter().eq(values.iter())))
}

/// A gauge that is absent while its value is unknown or means nothing. With labels, that holds for each combination.
#[derive(Clone, Debug)]
pub struct OptionalGauge<const N: usize = 0>(pub(super) GaugeVec);

impl OptionalGauge {
    /// Shows a value; `None`: there is none.
    pub fn show(&self, value: Option<f64>) {
        self.show_of([], value);
    }

    /// Shows a count; `None`: it is unknown.
    pub fn count(&self, value: Option<u64>) {
        self.show(value.map(|value| value as f64));
    }
}

impl<const N: usize> OptionalGauge<N> {
    /// Shows a value under these label values; `None`: there is none.
    pub fn show_of(&self, labels: [&str; N], value: Option<f64>) {
        match value {
            Some(value) => self.0.with_label_values(&labels).set(value),
            // It fails if there was none.
            None => drop(self.0.remove_label_values(&labels)),
        }
    }

    /// Shows nothing any more.
    pub fn clear(&self) {
        self.0.reset();
    }
}

/// A moment, in unix seconds, that is absent until there is one.
#[derive(Clone, Debug)]
pub struct Moment<const N: usize = 0>(pub(super) OptionalGauge<N>);

impl Moment {
    /// Shows a moment; `None`, or one that is not after 1970, is never.
    pub fn show(&self, at: Option<i64>) {
        self.show_of([], at);
    }
}

impl<const N: usize> Moment<N> {
    /// Shows a moment under these label values, as [`Moment::show`].
    pub fn show_of(&self, labels: [&str; N], at: Option<i64>) {
        self.0.show_of(labels, at.filter(|at| *at > 0).map(|at| at as f64));
    }
}
