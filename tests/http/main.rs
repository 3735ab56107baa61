//! What HTTP answers.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod activations;
mod api;
mod connections;
mod http_contract;
mod letter;
