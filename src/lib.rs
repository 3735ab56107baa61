//! Hosts NATS account JWTs for nats-servers in operator mode.

#![forbid(unsafe_code)]

pub mod commands;
pub mod config;
pub mod jwt;
pub mod key;
pub mod logging;
