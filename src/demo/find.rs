//! Finding a nats-server on this machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::DemoError;

/// A nats-server that runs here.
#[derive(Debug)]
pub(super) struct NatsServer {
    pub(super) path: PathBuf,
    /// Its version, as `2.12.8`.
    pub(super) version: String,
}

/// The nats-server to use: `named` on the command line, else `NATS_SERVER`, else the newest in `.tools`, else the one on
/// the `PATH`. `Ok(None)`: there is none. One that was asked for and does not run is an error.
pub(super) fn nats_server(named: Option<&Path>) -> Result<Option<NatsServer>, DemoError> {
    let from_environment = std::env::var_os("NATS_SERVER").filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = named.map(Path::to_owned).or(from_environment) {
        return ask(&path).map(Some);
    }
    for path in in_tools(Path::new(".tools")).into_iter().chain(on_path()) {
        if let Ok(found) = ask(&path) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Runs `PATH --version`, which prints `nats-server: v2.12.8`.
fn ask(path: &Path) -> Result<NatsServer, DemoError> {
    let failed =
        |reason: &str| DemoError::new(format!("{} is not a nats-server that runs here: {reason}", path.display()));
    // A path without a slash would be looked for on PATH, and our child processes may run elsewhere.
    let path = std::path::absolute(path).map_err(|error| failed(&error.to_string()))?;
    let output = Command::new(&path).arg("--version").output().map_err(|error| failed(&error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().strip_prefix("nats-server: v") {
        Some(version) => Ok(NatsServer { version: version.to_owned(), path }),
        None => Err(failed("--version prints something else")),
    }
}

/// `nats-server*/nats-server` in a folder, the newest first.
fn in_tools(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("nats-server"))
        .collect();
    names.sort_by_key(|name| std::cmp::Reverse(numbers(name)));
    names.into_iter().map(|name| folder.join(name).join("nats-server")).filter(|path| path.is_file()).collect()
}

/// The numbers in a name, so that 2.9 comes before 2.12.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|symbol: char| !symbol.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|folder| folder.as_os_str() != OsStr::new(""))
        .map(|folder| folder.join("nats-server"))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_in_tools_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for version in ["2.9.25", "2.12.8", "2.10.26"] {
            let place = folder.path().join(format!("nats-server-{version}"));
            std::fs::create_dir(&place).expect("a folder");
            std::fs::write(place.join("nats-server"), "").expect("a file");
        }
        std::fs::create_dir(folder.path().join("nats-server-3.0.0")).expect("a folder");
        let found = in_tools(folder.path());
        let found: Vec<&str> = found.iter().filter_map(|path| path.parent()?.file_name()?.to_str()).collect();
        assert_eq!(found, ["nats-server-2.12.8", "nats-server-2.10.26", "nats-server-2.9.25"]);
    }

    #[test]
    fn one_that_was_asked_for_must_run() {
        let error = nats_server(Some(Path::new("/nonexistent/nats-server"))).expect_err("no such file");
        assert!(error.to_string().starts_with("/nonexistent/nats-server is not a nats-server that runs here"));
    }
}
