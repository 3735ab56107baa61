//! The account-resolver protocol on NATS, alone and beside full resolvers.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod peers;
mod resolver;
