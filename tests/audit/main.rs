//! The audit log: what gets a line, whether the chain holds, and what happens if the log cannot be written.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod chain;
mod crash;
mod failures;
mod lines;
mod lookup;
mod requests;
mod world;
