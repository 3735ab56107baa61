//! Child processes that do not outlive the demo.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::select_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::error::DemoError;

/// How long a child may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Lines of a log that are shown when its process fails.
const TAIL: usize = 20;

/// A child process with its log. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program that writes to `log` and reads nothing.
    ///
    /// The child has a process group of its own: Ctrl-C reaches only the demo, which then stops its children in order.
    pub(super) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[OsString],
        log: PathBuf,
    ) -> Result<Self, DemoError> {
        let out = File::create(&log).map_err(|error| DemoError::file("write", &log, &error))?;
        let err = out.try_clone().map_err(|error| DemoError::file("write", &log, &error))?;
        let mut command = tied(program);
        // What the environment configures is another server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"NAS_")) {
            command.env_remove(name);
        }
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| DemoError::new(format!("cannot start {}: {error}", program.display())))?;
        Ok(Self { name, child, log })
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// An error if the process has ended.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(self.ended(status)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn ended(&self, status: ExitStatus) -> DemoError {
        DemoError::with_log(format!("the {} has ended ({status})", self.name), &self.log)
    }

    async fn end(&mut self) -> DemoError {
        match self.child.wait().await {
            Ok(status) => self.ended(status),
            Err(error) => DemoError::with_log(format!("the {} cannot be watched: {error}", self.name), &self.log),
        }
    }

    /// Asks the process to stop, and kills it if it does not.
    async fn stop(&mut self) {
        // No id: it has ended and was waited for, so the number may be another's by now.
        let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) else { return };
        let asked = kill_process(pid, Signal::TERM).is_ok();
        if !asked || timeout(GRACE, self.child.wait()).await.is_err() {
            // It may have ended in between.
            let _ = self.child.kill().await;
        }
    }
}

/// A command for a program that gets SIGTERM when the demo dies without stopping it, as after `kill -9`: `setpriv` of
/// util-linux arranges that. Where it is missing, the program itself.
fn tied(program: &Path) -> Command {
    for setpriv in ["/usr/bin/setpriv", "/bin/setpriv"] {
        if Path::new(setpriv).is_file() {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            return command;
        }
    }
    Command::new(program)
}

/// The processes of the demo, in the order in which they were started.
#[derive(Debug, Default)]
pub(super) struct Processes(Vec<Process>);

impl Processes {
    pub(super) fn add(&mut self, process: Process) -> &mut Process {
        self.0.push(process);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// The process that was started first.
    pub(super) fn first(&mut self) -> Option<&mut Process> {
        self.0.first_mut()
    }

    /// Waits until one of them ends.
    pub(super) async fn any_end(&mut self) -> DemoError {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.iter_mut().map(|process| Box::pin(process.end()))).await.0
    }

    /// Stops them all, the last one first.
    pub(super) async fn stop(&mut self) {
        for process in self.0.iter_mut().rev() {
            process.stop().await;
        }
        self.0.clear();
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Process {
        Process::start("shell", Path::new("/bin/sh"), &["-c".into(), script.into()], log.to_owned()).expect("a shell")
    }

    #[tokio::test]
    async fn a_process_that_ends_is_an_error_that_names_its_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut processes = Processes::default();
        processes.add(shell("echo first; echo why >&2; exit 3", &log));
        let error = processes.any_end().await;
        assert_eq!(error.to_string(), "the shell has ended (exit status: 3)");
        assert_eq!(error.log().map(tail).as_deref(), Some("first\nwhy"));
    }

    #[tokio::test]
    async fn stopping_ends_a_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::default();
        processes.add(shell("exec sleep 60", &folder.path().join("log")));
        processes.first().expect("a process").check().expect("it runs");
        timeout(GRACE, processes.stop()).await.expect("sleep heeds SIGTERM");
    }
}
