//! Hosts NATS account JWTs for nats-servers in operator mode.

#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod epoch;
pub mod feed;
pub mod gate;
pub mod http;
pub mod jwt;
pub mod key;
pub mod logging;
pub mod metrics;
pub mod nats;
pub mod node;
pub mod primary;
pub mod replica;
pub mod server;
pub mod store;
