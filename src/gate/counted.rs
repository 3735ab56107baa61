//! Counters of the gate's decisions.

use super::{Refusal, Via};
use crate::metrics::Metrics;

impl Metrics {
    /// Counts an accepted token.
    pub fn accepted(&self, via: Via) {
        self.accepted.with_label_values(&[via.label()]).inc();
    }

    /// Counts something that the gate rejected.
    pub fn refused(&self, via: Via, refusal: &Refusal) {
        self.refused.with_label_values(&[via.label(), refusal.reason()]).inc();
    }
}
