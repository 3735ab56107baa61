//! Programs that are not ours, as processes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A running program, ended when it is dropped. Its output is shown if the test fails.
pub(crate) struct Process {
    name: String,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts it. What it prints goes to a file in this folder.
    pub(crate) fn start<S: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        args: &[S],
        env: &[(String, String)],
        logs: &Path,
    ) -> Self {
        let log = logs.join(format!("{name}.log"));
        let out = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(program);
        command.args(args).envs(env.iter().map(|(name, value)| (name, value))).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self { name: name.to_owned(), child: Mutex::new(child), log }
    }

    /// How it has ended; `None`: it runs.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().unwrap()
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // HAProxy's master passes it on to its workers, and our own servers stop at once when they are told again.
        let told = Instant::now();
        while self.status().is_none() && told.elapsed() < Duration::from_secs(5) {
            let _ = Command::new("kill").arg(self.child.lock().id().to_string()).stderr(Stdio::null()).status();
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            println!("--- log of {}:\n{}", self.name, self.log());
        }
    }
}
