//! The `nats-account-server` program: see the library for what it is made of.

use std::process::ExitCode;

use nats_account_server::{cli, commands};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(cli) => commands::run(cli),
        Err(exit) => exit.print(),
    }
}
