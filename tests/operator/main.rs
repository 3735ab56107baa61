//! The operator's JWT and keys, and the signing service.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod operator_chain;
mod operator_keys;
mod signing;
