//! A primary with an audit log, and what the log says.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::command::{Ran, run};
use crate::support::{Launch, Operator, Server, until};

pub(crate) struct World {
    pub(crate) operator: Operator,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { operator: Operator::new(), folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A primary with a folder and an audit log, to be started.
    pub(crate) fn launch(&self) -> Launch {
        Launch::primary(&self.operator).dir(&self.store()).path("NAS_AUDIT__PATH", &self.log())
    }

    pub(crate) async fn start(&self) -> Server {
        self.launch().start().await
    }

    /// The complete lines of the log.
    pub(crate) fn lines(&self) -> Vec<Value> {
        lines_of(&std::fs::read_to_string(self.log()).unwrap_or_default())
    }

    /// Waits until there are this many lines that fit, and returns them.
    pub(crate) async fn waits_for(&self, count: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let found = || self.lines().into_iter().filter(|line| fits(line)).collect::<Vec<_>>();
        until(&format!("{count} lines are in the log"), || async { found().len() >= count }).await;
        found()
    }

    /// Verifies the log, and files that were moved away.
    pub(crate) async fn verify(&self, more: &[&str]) -> Ran {
        let log = self.log();
        let mut args = vec!["audit", "verify", log.to_str().unwrap()];
        args.extend(more);
        run(args).await
    }
}

pub(crate) fn lines_of(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

pub(crate) fn is_committed(line: &Value) -> bool {
    line["outcome"] == "committed"
}

pub(crate) fn is_rejected(line: &Value) -> bool {
    line["outcome"] == "rejected"
}

pub(crate) fn is_note(note: &str) -> impl Fn(&Value) -> bool {
    move |line| line["note"] == note
}
