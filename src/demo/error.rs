//! Why the demo stopped.

use std::fmt;
use std::path::{Path, PathBuf};

/// What went wrong, and the log that may say why.
#[derive(Debug)]
pub(super) struct DemoError {
    text: String,
    log: Option<PathBuf>,
}

impl DemoError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), log: None }
    }

    /// A failure whose reason stands in the log of a child process.
    pub(super) fn with_log(text: impl Into<String>, log: &Path) -> Self {
        Self { text: text.into(), log: Some(log.to_owned()) }
    }

    /// An operation on a file that failed.
    pub(super) fn file(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {what} {}: {error}", path.display()))
    }

    /// The log that may say why.
    pub(super) fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
