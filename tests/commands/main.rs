//! The commands that work on files and folders: judging, deleting, moving in and out, promotion, the demo.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod check_command;
mod delete_request_command;
mod demo;
mod moving;
mod promotion;
