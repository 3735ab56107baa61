//! Behind a load balancer: nothing is lost while servers come and go, and clients that take nothing are cut off.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod drain;
mod slow_clients;
