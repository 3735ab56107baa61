//! Counters of the gate's decisions.

use super::{Refusal, Via};
use crate::metrics::Metrics;

impl Metrics {
    /// Counts an accepted token.
    pub fn accepted(&self, via: Via) {
        self.gate.accepted.inc([via.label()]);
    }

    /// Counts something that the gate rejected.
    pub fn refused(&self, via: Via, refusal: &Refusal) {
        self.gate.refused.inc([via.label(), refusal.reason()]);
    }
}
