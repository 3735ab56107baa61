//! Moving in and out: `import`, `export`, `backup` and `restore`, as people call them, with what other programs wrote and
//! read.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod at_start;
mod backups;
mod exports;
mod imports;
mod sources;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Account, Server};

/// What came of running a command.
#[derive(Debug)]
struct Ran {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// Fails the test unless the status is this one.
    #[track_caller]
    fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}{}", self.stdout, self.stderr);
        self
    }

    /// The number before a text in the summary; 0 if it is not there.
    fn count(&self, what: &str) -> u64 {
        let line = self.stdout.lines().find_map(|line| line.trim_start().split_once(&format!("  {what}")));
        line.map_or(0, |(number, _)| number.trim().parse().unwrap())
    }
}

/// Runs the program to its end, on a thread that may wait for it.
async fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nats-account-server"));
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Every file under a folder, and what is in it.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        // SQLite's shared memory comes and goes with who reads.
        if path.is_dir() {
            all.extend(tree(&path));
        } else if !path.to_string_lossy().ends_with("-shm") && !path.to_string_lossy().ends_with("-wal") {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Stops a server gently.
async fn stop(mut server: Server) {
    server.signal("TERM");
    assert!(server.exit().await.success());
}

/// Where an account's file is in a flat folder.
fn file(dir: &Path, account: &Account) -> PathBuf {
    dir.join(format!("{}.jwt", account.key()))
}

/// The arguments of a command on the folder of a primary.
fn on<'a>(dir: &'a Path, operator: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["-dir", dir.to_str().unwrap(), "-operator", operator], rest].concat()
}
