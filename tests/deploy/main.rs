//! What is shipped in `deploy/` and `docker-compose.yml`: it does what it says, with the real programs.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stdout, clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod compose;
mod dashboard;
mod image;
mod monitoring;
mod names;
mod process;
mod systemd;
mod yaml;

use std::path::{Path, PathBuf};

/// A file of the project.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Its text.
fn text_of(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A program that Debian has, in `.tools/`, or a note that the test is skipped. In CI it is never skipped.
fn tool_or_skip(path: &str, script: &str) -> Option<PathBuf> {
    let program = shipped(".tools").join(path);
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing: run {script}", program.display());
    println!("skipped: {} is missing: run {script}", program.display());
    None
}
