//! Overload, floods, and what stands between clients and servers.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod floods;
mod load_balancer;
mod overload;
