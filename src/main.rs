//! The `nats-account-server` program: see the library for what it is made of.

use std::process::ExitCode;

use nats_account_server::commands::{self, args};

fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        Ok(cli) => commands::run(cli),
        Err(exit) => exit.print(),
    }
}
