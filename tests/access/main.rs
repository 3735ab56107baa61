//! Who may do what: every route for every client, credentials good and bad, reloads, replicas and nats-servers.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]
// Says which tests were skipped.
#![allow(clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod bad_input;
mod commands;
mod nats_servers;
mod passwords;
mod reloads;
mod replicas;
mod routes;
mod world;
