//! Settings, starting, stopping, and loading the settings again.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod config_faults;
mod config_files;
mod house;
mod reload;
mod running;
