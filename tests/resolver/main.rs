//! The account-resolver protocol on NATS, spoken by the real program among real nats-servers of several releases and with
//! every kind of resolver.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;
use support::fleet;

mod junk;
mod manners;
mod requests;
