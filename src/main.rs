//! The `nats-account-server` program.

fn main() {}
