//! Whether the nats-servers have a change: receipts, who is there, and what is owed to them after an outage. With the
//! real program and real nats-servers of several releases.
#![allow(clippy::unwrap_used)]
// The servers are ours.
#![allow(clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod away;
mod cluster;
mod deleted;
mod down;
mod fleet_page;
mod imports;
mod in_force;
mod newer;
mod owed;
mod pages;
mod races;
mod receipts;
mod require;
mod resolvers;
mod stale;
mod topology;
