//! The connection to NATS, and what goes over it.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod loaded;
mod nats_activations;
mod nats_fleet;
mod nats_login;
