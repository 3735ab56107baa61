//! The `nats-account-server` program: see the library for what it is made of.

use std::process::ExitCode;

use nats_account_server::commands::{self, args};

fn main() -> ExitCode {
    match args::parse(std::env::args_os()).and_then(commands::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.print(),
    }
}
