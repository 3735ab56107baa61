//! What the program promises over HTTP, asked of the real program.
#![allow(clippy::unwrap_used)]
// The servers are ours.
#![allow(clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod deletes;
mod digests;
mod errors;
mod given;
mod history;
mod operators;
mod pushes;
mod reads;
mod routes;
mod scarce;
