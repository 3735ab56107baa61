//! The writer's thread: it alone writes to the log.
//!
//! It takes what waits, writes it, and waits for the disk: meanwhile more lines wait, which are the next group. If no
//! acknowledgement waits for a line, a group begins a moment after its first line came: a group costs much more than a line.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::AuditError;
use super::event::Source;
use super::head::Head;
use super::line::{Lines, Link, Note};
use super::resume::{Resumed, resume};
use super::shared::Shared;
use crate::calendar::utc_time;
use crate::clock;
use crate::folder::sync_folder;
use crate::throttle::Throttle;

/// Committed changes in one group, and rejected attempts.
const GROUP: u64 = 512;
/// How long the first line of a group waits for others.
const GATHER: Duration = Duration::from_millis(200);
/// How often the writer looks whether the file was moved away, or whether it can be written again.
const LOOK: Duration = Duration::from_secs(1);
/// The time between two lines that say that the log cannot be written.
const COMPLAINTS: Duration = Duration::from_secs(60);
/// Only its owner may read the log.
const MODE: u32 = 0o600;

/// The open log.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    head: PathBuf,
    shared: Arc<Shared>,
    file: File,
    size: u64,
    /// The inode of the file that has the last line.
    inode: u64,
    last: Link,
    position: Option<([u8; 16], u64)>,
    /// Lines about the log itself that are not written yet.
    notes: VecDeque<Note>,
    /// Whether what precedes has no line end.
    is_torn: bool,
    /// Whether the stored head is older than the log.
    head_is_due: bool,
    /// An earlier process committed the changes up to this serial.
    late: u64,
    /// Since when the log cannot be written, unix milliseconds, and why.
    failing: Option<(i64, String)>,
    complaints: Throttle,
}

impl Writer {
    pub(super) fn open(path: PathBuf, head: PathBuf, shared: Arc<Shared>) -> Result<Self, AuditError> {
        let is_new = !path.exists();
        let file = open(&path).map_err(AuditError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::InUse(path)),
            Err(TryLockError::Error(error)) => return Err(AuditError::io("lock", &path)(error)),
        }
        let known = Head::read(&head);
        let inode = known.as_ref().ok().and_then(|head| head.map(|head| head.inode));
        if is_new && inode.is_some() {
            tracing::warn!("the audit log {} is missing; a new file goes on where it ended", path.display());
        }
        let resumed = resume(&path, &file, known)?;
        let notes: VecDeque<_> = resumed.note().into_iter().collect();
        let Resumed { last, position, size, is_torn, broken } = resumed;
        let mut writer = Self {
            inode: inode.unwrap_or_default(),
            path,
            head,
            shared,
            file,
            size,
            last,
            position,
            notes,
            is_torn,
            head_is_due: false,
            late: 0,
            failing: None,
            complaints: Throttle::every(COMPLAINTS),
        };
        if let Some(why) = broken {
            writer.tell_broken(&why);
        }
        // So that a log without a head is never the beginning of this one. An error here is one at the start.
        writer.write_head().map_err(AuditError::io("write the head of", &writer.path))?;
        Ok(writer)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the lines of a journal, until it is told to end.
    pub(super) fn spawn(mut self, source: Box<dyn Source>) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("audit-writer".into()).spawn(move || {
            loop {
                while self.turn(source.as_ref()) {}
                let asked = self.shared.wait(LOOK, self.failing.is_some());
                if asked.close {
                    while self.turn(source.as_ref()) {}
                    return;
                }
                if asked.lines {
                    self.shared.gather(GATHER);
                }
            }
        })
    }

    /// Finds out where in the journal the lines go on.
    pub(super) fn begin(&mut self, source: &dyn Source) {
        let (session, serial) = source.position();
        self.late = serial;
        let (note, detail) = match self.position {
            Some((known, reached)) if known == session && reached <= serial => {
                return self.shared.reached(reached, self.last);
            }
            Some((known, reached)) if known == session => {
                ("journal", format!("the journal was set back from serial {reached} to {serial}"))
            }
            Some(_) => ("journal", "another journal, or one that was restored or promoted".to_owned()),
            None => ("began", "the lines of earlier changes are not in this log".to_owned()),
        };
        self.position = Some((session, serial));
        self.shared.reached(serial, self.last);
        match self.notes.front_mut() {
            Some(broken) => broken.position = self.position,
            None => self.notes.push_back(Note { note, detail, position: self.position, is_first: false }),
        }
    }

    /// Writes a group. Returns whether there is more to write.
    fn turn(&mut self, source: &dyn Source) -> bool {
        match self.group(source) {
            Ok(more) => more,
            Err(why) => {
                self.fail(&why);
                false
            }
        }
    }

    /// The error says why there are no lines.
    fn group(&mut self, source: &dyn Source) -> Result<bool, String> {
        let io = |error: io::Error| error.to_string();
        self.follow_file().map_err(io)?;
        if self.head_is_due {
            self.write_head().map_err(io)?;
        }
        let (session, reached) = self.position.unwrap_or_default();
        let newest = source.position().1;
        let changes = if newest > reached { source.after(reached, GROUP)? } else { Vec::new() };
        let (rejected, lost) = self.shared.queue.lock().first(usize::try_from(GROUP).unwrap_or(usize::MAX));
        if let Some((since, why)) = &self.failing {
            let detail = format!("the log could not be written since {}: {why}", utc_time(since / 1000));
            self.notes.push_back(Note { note: "resumed", detail, position: None, is_first: false });
        }
        if changes.is_empty() && rejected.is_empty() && self.notes.is_empty() {
            return Ok(false);
        }
        let mut lines = Lines::after(self.last, lost);
        if self.is_torn {
            lines.bytes.push(b'\n');
        }
        for note in &self.notes {
            lines.note(note, clock::unix_millis());
        }
        for change in &changes {
            let sender = self.shared.sender(change.serial);
            let is_late = change.serial <= self.late && sender.is_none();
            lines.committed(change, sender.as_deref(), is_late);
        }
        rejected.iter().for_each(|rejected| lines.rejected(rejected));
        if let Err(error) = self.file.write_all(&lines.bytes).and_then(|()| self.file.sync_data()) {
            // Of a group there is all or nothing. If this fails, too, the next look finds another size.
            let _ = self.file.set_len(self.size);
            self.notes.retain(|note| note.note != "resumed");
            return Err(error.to_string());
        }
        self.wrote(&lines, [self.notes.len(), changes.len(), rejected.len()], lost);
        let reached = changes.last().map_or(reached, |change| change.serial);
        self.position = Some((session, reached));
        self.notes.clear();
        self.shared.reached(reached, self.last);
        self.shared.forget(reached);
        self.write_head().map_err(io)?;
        Ok((!changes.is_empty() && reached < newest) || rejected.len() as u64 == GROUP)
    }

    /// Notes a group that is on disk: notes, committed changes, rejected attempts, and how many attempts it counted.
    fn wrote(&mut self, lines: &Lines, counts: [usize; 3], lost: u64) {
        let metrics = &self.shared.metrics;
        for (outcome, count) in ["note", "committed", "rejected"].into_iter().zip(counts) {
            metrics.audit.lines.of([outcome]).inc_by(count as u64);
        }
        metrics.audit.head_seq.count(Some(lines.last.seq));
        metrics.audit.last_write.show(Some(clock::unix_seconds()));
        metrics.audit.failing.set(0);
        self.shared.queue.lock().written(counts[2], lost);
        if self.failing.take().is_some() {
            tracing::info!("the audit log {} can be written again", self.path.display());
        }
        self.size += lines.bytes.len() as u64;
        (self.last, self.is_torn, self.head_is_due) = (lines.last, false, true);
        self.inode = self.file.metadata().map_or(0, |meta| meta.ino());
    }

    fn write_head(&mut self) -> io::Result<()> {
        let position = self.position.unwrap_or_default();
        Head { last: self.last, position, inode: self.inode }.write(&self.head)?;
        self.head_is_due = false;
        Ok(())
    }

    /// Goes on in the file that is in the place of the log now: after a rotation it is another one.
    fn follow_file(&mut self) -> io::Result<()> {
        let meta = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (meta.dev(), meta.ino()) => {
                if meta.len() != self.size {
                    let why = format!("it had {} bytes, and has {} now", self.size, meta.len());
                    self.size = meta.len();
                    self.break_chain(&why)?;
                }
                return Ok(());
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = open(&self.path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process uses the file"),
            TryLockError::Error(error) => error,
        })?;
        self.size = file.metadata()?.len();
        self.file = file;
        if self.size > 0 {
            self.break_chain("a file with content took its place")?;
        }
        tracing::info!("the audit log {} goes on in a new file after line {}", self.path.display(), self.last.seq);
        Ok(())
    }

    fn break_chain(&mut self, why: &str) -> io::Result<()> {
        let mut end = [b'\n'];
        if self.size > 0 {
            self.file.read_exact_at(&mut end, self.size - 1)?;
        }
        self.is_torn = end != [b'\n'];
        self.notes.push_back(Note { note: "broken", detail: why.to_owned(), position: self.position, is_first: true });
        self.tell_broken(why);
        Ok(())
    }

    fn tell_broken(&self, why: &str) {
        self.shared.metrics.audit.broken.inc();
        tracing::error!(
            "the audit log {} is not as this server wrote it: {why}. A new chain begins after line {}; find out who changed \
             the file",
            self.path.display(),
            self.last.seq
        );
    }

    fn fail(&mut self, why: &str) {
        self.failing.get_or_insert_with(|| (clock::unix_millis(), why.to_owned()));
        self.shared.metrics.audit.failures.inc();
        self.shared.metrics.audit.failing.set(1);
        self.shared.failed(&why.into());
        if let Some(held_back) = self.complaints.turn(Instant::now()) {
            tracing::error!("cannot write the audit log {}: {why}{held_back}", self.path.display());
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let is_new = !path.exists();
    let file = File::options().read(true).append(true).create(true).mode(MODE).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if is_new {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(folder).map_err(io::Error::other)?;
    }
    Ok(file)
}
