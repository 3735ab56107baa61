//! Processes that are killed, disks that are full, files that are damaged.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod folder_crash;
mod journal_damage;
mod store_crash;
