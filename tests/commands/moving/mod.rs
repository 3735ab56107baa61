//! Moving in and out: `import`, `export`, `backup` and `restore`, as people call them, with what other programs wrote and
//! read.
mod at_start;
mod backups;
mod exports;
mod imports;
mod mirrors;
mod sources;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::command::{Ran, copy, run};
use crate::support::{Account, Server};

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
