//! The parts that background work uses.

use std::sync::Arc;

use super::activations::Activations;
use super::held::Held;
use super::hint::Hints;
use super::operator::Operators;
use super::pull::Pull;
use super::setup::Env;
use crate::upstream::Upstream;

/// What is served, and how upstream is asked for it.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) env: Env,
    pub(super) upstream: Arc<Upstream>,
    pub(super) held: Arc<Held>,
    pub(super) pull: Arc<Pull>,
    pub(super) hints: Arc<Hints>,
    pub(super) activations: Arc<Activations>,
    pub(super) operators: Arc<Operators>,
}
