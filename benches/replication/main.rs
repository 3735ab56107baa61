//! `cargo bench --bench replication`: what replicas cost, and how fast they are complete.
//!
//! | part | measures |
//! |---|---|
//! | `mirror` | a new mirror until it has everything, and GETs at its primary in that time; its restart with the primary gone |
//! | `session` | a primary loses its session: bytes and time until a mirror and a cache have compared everything |
//! | `memory` | anonymous memory per account of each role, with caches too small for bodies |
//! | `warm` | a default cache until it has everything, and the CPU of its primary |
//! | `bound` | every account is requested at a cache with a bound of 64 MiB: its anonymous memory |
//!
//! The names of parts as arguments choose them (`-- mirror memory`); without any, all run. Each figure is a line of its own, so the
//! lines of two builds can be compared.
//!
//! | variable | default | |
//! |---|---|---|
//! | `SERVER` | the binary that was built with this | the binary to be measured |
//! | `ACCOUNTS` | 200 000 | the number of accounts; a million takes 3 GB of memory |
//! | `CACHES` | 1 | the number of caches in part `warm` |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::cast_precision_loss)]

mod bound;
mod memory;
mod mirror;
mod session;
#[path = "../support/mod.rs"]
mod support;
mod warm;
mod world;

use world::World;

#[tokio::main]
async fn main() {
    let accounts = std::env::var("ACCOUNTS").map_or(200_000, |count| count.parse().unwrap());
    // Cargo adds a flag.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let parts = ["mirror", "session", "memory", "warm", "bound"];
    for name in &chosen {
        assert!(parts.contains(&name.as_str()), "no part {name}; there are {parts:?}");
    }
    let world = World::open(accounts);
    world.import().await;
    for part in parts {
        if !chosen.is_empty() && !chosen.iter().any(|name| name == part) {
            continue;
        }
        match part {
            "mirror" => mirror::run(&world).await,
            "session" => session::run(&world).await,
            "memory" => memory::run(&world).await,
            "warm" => warm::run(&world).await,
            _ => bound::run(&world).await,
        }
    }
}
