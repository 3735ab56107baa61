//! The audit log: one JSON line for each committed change, and for each rejected attempt that carried a valid signature.
//!
//! The lines are chained: each carries the SHA-256 of the line before it, so nobody can change, remove or insert one
//! without breaking the chain ([`verify`](verify::verify)). The hash of the last line is also stored in a file of its own
//! ([`head`]), so a log that lost its end is found at the next start ([`resume`]).
//!
//! The journal is the queue of committed changes. The [`writer`] remembers the serial of the last change that has a line,
//! and asks its [`Source`] for those after it. So a crash, a full disk or another process that wrote to the journal delays
//! lines, and loses none. Only rejected attempts wait in memory ([`queue`]).
//!
//! What is in the file can be looked up from its end ([`tail`]).
//!
//! `docs/audit.md` specifies the format.

mod event;
mod failure;
mod head;
mod line;
mod queue;
mod resume;
mod shared;
mod tail;
pub mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use event::{Committed, Rejected, Source, What};
pub use failure::{AuditError, Unaudited};
pub use tail::{Tail, TailAsk, TailError, TailPlace};

use crate::config::{Audit as Settings, AuditFailure};
use crate::gate::Client;
use crate::metrics::Metrics;
use line::Link;
use shared::Shared;
use writer::Writer;

/// Name of the file with the head, in the state folder.
const HEAD: &str = "audit.head";
/// How long an acknowledgement waits for its line.
const PATIENCE: Duration = Duration::from_secs(5);

/// The audit log of this server.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    shared: Arc<Shared>,
    /// The opened log, until something follows.
    opened: Mutex<Option<Writer>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// The state of the log.
#[derive(Debug, Clone)]
pub struct AuditState {
    /// The number of the last line that is known to be on disk; 0: there is none.
    pub seq: u64,
    /// SHA-256 of that line.
    pub hash: [u8; 32],
    /// Whether this process found that the log was not as a server wrote it.
    pub is_broken: bool,
    /// Why it cannot be written now.
    pub failing: Option<Arc<str>>,
}

impl AuditLog {
    /// Opens the log that the settings name; `Ok(None)`: they name none. `state`: the folder of the journal, if it has one.
    ///
    /// It compares the end of the log with the stored head. What does not fit begins another chain, whose first line says why.
    pub fn open(settings: &Settings, state: Option<&Path>, metrics: Arc<Metrics>) -> Result<Option<Self>, AuditError> {
        let Some(path) = &settings.path else { return Ok(None) };
        let head = state.map_or_else(|| beside(path), |state| state.join(HEAD));
        let shared = Arc::new(Shared::new(metrics, settings.on_failure == AuditFailure::Refuse));
        let writer = Writer::open(path.clone(), head, shared.clone())?;
        tracing::info!("writing the audit log {}", path.display());
        Ok(Some(Self { path: path.clone(), shared, opened: Mutex::new(Some(writer)), thread: Mutex::default() }))
    }

    /// Writes a line for each change of a journal from now on. Only the first call has an effect.
    pub fn follow(&self, source: Box<dyn Source>) -> Result<(), AuditError> {
        let Some(mut writer) = self.opened.lock().take() else { return Ok(()) };
        // Here and now, so that every change after this gets its line.
        writer.begin(source.as_ref());
        let path = writer.path().to_owned();
        let thread = writer.spawn(source).map_err(AuditError::io("start the writer of", &path))?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Says that a change is committed. Its line follows within a second. `sender`: who sent it, if that is known.
    pub fn committed(&self, serial: u64, sender: Option<&Arc<Client>>) {
        if let Some(sender) = sender {
            self.shared.remember(serial, sender);
        }
    }

    /// Says that all committed changes were named.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// Notes an attempt that was rejected.
    pub fn rejected(&self, rejected: Rejected) {
        self.shared.rejected(rejected);
    }

    /// Whether a change may be committed now. Always, unless `audit.on_failure` is `refuse` and the log cannot be written.
    pub fn may_commit(&self) -> Result<(), Unaudited> {
        match self.shared.failure() {
            Some(why) if self.shared.refuses() => Err(Unaudited::Before(why)),
            _ => Ok(()),
        }
    }

    /// What happens to changes while the log cannot be written, from now on.
    pub fn set_on_failure(&self, on_failure: AuditFailure) {
        self.shared.set_refuses(on_failure == AuditFailure::Refuse);
    }

    /// Waits until the line of a committed change is on disk, if `audit.on_failure` is `refuse`.
    pub async fn durable(&self, serial: u64) -> Result<(), Unaudited> {
        if !self.shared.refuses() {
            return Ok(());
        }
        let waited = tokio::time::timeout(PATIENCE, self.shared.reaches(serial)).await;
        waited.unwrap_or_else(|_| Err("the disk does not answer".into())).map_err(Unaudited::After)
    }

    /// The lines of the current file that are wanted, newest first, and the state of the log. Blocks for the disk.
    pub fn tail(&self, ask: &TailAsk) -> Result<(Tail, AuditState), TailError> {
        let tail = tail::tail(&self.path, ask)?;
        let progress = self.shared.progress();
        let last = progress.last.unwrap_or(Link::BEGINNING);
        let state = AuditState {
            seq: last.seq,
            hash: last.hash,
            is_broken: self.shared.metrics.audit.broken.get() > 0,
            failing: progress.failure,
        };
        Ok((tail, state))
    }

    /// Opens the file again, as after a rotation.
    pub fn reopen(&self) {
        self.shared.reopen();
    }

    /// Writes the last lines, and ends. The journal is closed before this. Blocks.
    pub fn close(&self) {
        self.shared.close();
        if let Some(thread) = self.thread.lock().take() {
            // A writer that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// The file with the head of a log without a state folder.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".head");
    PathBuf::from(name)
}
