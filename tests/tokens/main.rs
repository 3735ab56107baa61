//! What JWTs are, compared with vectors and with the Go library.
#![allow(clippy::print_stderr, clippy::unwrap_used, unreachable_pub)]

#[path = "../support/verdicts.rs"]
mod verdicts;

mod jwt_differential;
mod jwt_tokens;
mod jwt_vectors;
