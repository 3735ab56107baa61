//! The commands: judging JWTs and users, looking accounts up, deleting, moving in and out, promotion, health, status, the demo.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod check_command;
mod check_online;
mod delete_request_command;
mod demo;
mod explain;
mod healthcheck;
mod init;
mod lookup;
mod moving;
mod promotion;
mod status;
