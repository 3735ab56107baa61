//! HTTPS, certificates and what they are wrong about.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod tls;
mod tls_peers;
