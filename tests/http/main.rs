//! What HTTP answers.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod activations;
mod api;
mod check;
mod connections;
mod document;
mod http_contract;
mod letter;
mod listeners;
mod metrics;
