//! Watching a folder: the first scan, then whatever happens to it, for as long as the process lives.
//!
//! The system reports which files are touched. A periodic look through the whole folder is the safety net, and finds what
//! happened while this server was stopped. A look is cheap: the system keeps the time at which anything about a file last
//! changed, and no program can set that time back. So only files that changed since the last look are read.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Primary;
use super::intake::{Intake, Scanned};
use super::place::STILL;
use super::progress::ScanStage;
use super::writer::WriterProgress;
use crate::folder::watch::Watch;
use crate::store::{self, StoreError};

/// The journal's name for the time when the last whole look began, in unix milliseconds.
const LOOKED: &str = "looked";
/// Its name for the operator JWT that was in force then: some bytes of the digest.
const OPERATOR: &str = "looked as";
/// Its name for the sub-folders that existed then: some bytes of a digest of them.
const FOLDERS: &str = "looked in";
/// The pause after a first scan or a look that failed. It doubles each time, up to the time between looks.
const AGAIN: Duration = Duration::from_secs(5);
/// The shortest pause between two looks.
const REST: Duration = Duration::from_secs(1);
/// Clocks of files tick coarsely, and one file system may be a little behind another.
const MARGIN: Duration = Duration::from_secs(2);
/// The pause after a look is at least this many times as long as the look took.
const SHARE: u32 = 20;
/// The interval at which touched files are checked for being still.
const TICK: Duration = Duration::from_millis(100);
/// The time between looks at a folder that cannot be watched, if that is not too much work.
const UNWATCHED: Duration = Duration::from_secs(5);
/// The longest wait for the writer to catch up before files are judged.
const CATCH_UP: Duration = Duration::from_secs(60);

/// When the last whole look began, and under which operator JWT and in which sub-folders.
#[derive(Debug, Clone, Copy)]
struct LastLook {
    since: SystemTime,
    operator: u64,
    folders: u64,
}

/// The loop.
pub(super) struct Watcher {
    primary: Arc<Primary>,
    look_every: Duration,
    stop: CancellationToken,
    watch: Option<Watch>,
    writer_progress: Option<Arc<WriterProgress>>,
    /// How many folders cannot be watched, as the log said last.
    unwatched: usize,
}

impl Watcher {
    pub(super) const fn new(primary: Arc<Primary>, look_every: Duration, stop: CancellationToken) -> Self {
        Self { primary, look_every, stop, watch: None, writer_progress: None, unwatched: 0 }
    }

    /// Judges files only when those that wait are written: such a file is not somebody's old copy.
    pub(super) fn after(self, writer: Arc<WriterProgress>) -> Self {
        Self { writer_progress: Some(writer), ..self }
    }

    pub(super) async fn run(mut self, mut intake: impl Intake) {
        let Some(mut last) = self.begin(&mut intake).await else { return };
        // Not earlier, because reading a million files makes as many events. The first look finds what happens until now.
        self.watch = match Watch::start() {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!("the token folder cannot be watched: {error}; it is looked through now and then");
                None
            }
        };
        if let Some(root) = self.primary.tokens.root() {
            self.add(&[root.to_owned()]);
        }
        let mut due = Instant::now();
        // Looks get a bounded share of the time, whatever asks for them.
        let mut rest = due;
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            if due <= Instant::now() {
                let began = Instant::now();
                let started = SystemTime::now();
                // A clock that was set back cannot tell what is new, and another operator JWT may accept other files.
                let operator = self.operator();
                let is_same = last.since <= started && operator == last.operator && last.since != UNIX_EPOCH;
                let from = if is_same { last.since - MARGIN } else { UNIX_EPOCH };
                let Some((returned, looked)) = blocking(intake, move |intake| intake.look(from)).await else { return };
                intake = returned;
                let mut is_whole = false;
                let mut is_seen_anew = false;
                match looked {
                    Ok(looked) => {
                        self.add(&looked.folders);
                        // If nothing is watched, only the next look can read those files again.
                        is_whole = looked.is_whole && (self.watch.is_some() || looked.again.is_empty());
                        self.touch(looked.again);
                        let is_imported = from == UNIX_EPOCH && is_whole;
                        self.primary.progress.set_closed(&looked.closed, is_imported);
                        let there = fingerprint(&looked.folders);
                        if there != last.folders && from != UNIX_EPOCH {
                            // A folder that was moved here can have files that changed long ago.
                            last = LastLook { since: UNIX_EPOCH, operator, folders: there };
                            is_seen_anew = true;
                        } else if is_whole {
                            last = LastLook { since: started, operator, folders: there };
                            self.remember(&last).await;
                        }
                    }
                    Err(error) => tracing::error!("the token folder cannot be looked through: {error}"),
                }
                let every = if self.watch.is_some() { self.look_every } else { self.look_every.min(UNWATCHED) };
                let every = intake.wants_look().map_or(every, |wanted| wanted.min(every));
                failures = if is_whole { 0 } else { failures + 1 };
                let pause = match failures {
                    _ if is_seen_anew => Duration::ZERO,
                    0 => every,
                    _ => every.min(again(failures)),
                };
                rest = Instant::now() + (began.elapsed() * SHARE).max(REST.min(every));
                due = rest.max(Instant::now() + pause);
            }
            let Some(returned) = self.attend(intake, &mut due).await else { return };
            intake = returned;
            due = due.max(rest);
        }
    }

    /// Waits for the next event, and has touched files imported.
    async fn attend<T: Intake>(&self, mut intake: T, due: &mut Instant) -> Option<T> {
        let Some(watch) = &self.watch else {
            tokio::select! {
                () = tokio::time::sleep_until(*due) => {}
                () = self.stop.cancelled() => {}
            }
            return Some(intake);
        };
        let tick = async { if watch.has_touched() { sleep(TICK).await } else { watch.wait().await } };
        tokio::select! {
            () = tokio::time::sleep_until(*due) => return Some(intake),
            () = self.stop.cancelled() => return Some(intake),
            () = tick => {}
        }
        let files = watch.take_still(STILL);
        if !files.is_empty() {
            let (returned, again) = blocking(intake, move |intake| Ok(intake.touched(files))).await?;
            intake = returned;
            self.touch(again.unwrap_or_default());
            if let Some(wanted) = intake.wants_look() {
                *due = (*due).min(Instant::now() + wanted);
            }
        }
        if watch.take_everything() {
            *due = (*due).min(Instant::now() + STILL);
        }
        Some(intake)
    }

    /// Imports what was there at the start, unless an earlier process did. Returns the last look; `None` if stopped.
    async fn begin(&self, intake: &mut impl Intake) -> Option<LastLook> {
        let primary = self.primary.clone();
        let cursors = move || {
            let journal = primary.journal();
            Ok(journal.cursor(LOOKED)?.zip(journal.cursor(OPERATOR)?).zip(journal.cursor(FOLDERS)?))
        };
        let looked = store::blocking(cursors).await.unwrap_or_else(|error| {
            tracing::error!("it is not known when the token folder was last looked through: {error}");
            None
        });
        if let Some(((looked, operator), folders)) = looked {
            self.primary.progress.reach(ScanStage::Complete);
            if let Some(writer_progress) = &self.writer_progress {
                // A file that waits to be written is not somebody's old copy.
                writer_progress.wait(self.primary.journal().head().serial, CATCH_UP).await;
            }
            return Some(LastLook { since: UNIX_EPOCH + Duration::from_millis(looked), operator, folders });
        }
        let stop = self.stop.clone();
        let mut failures = 0;
        loop {
            let (since, operator) = (SystemTime::now(), self.operator());
            match tokio::task::block_in_place(|| intake.scan(&stop)) {
                Ok(Scanned::Done { folders, closed }) => {
                    let last = LastLook { since, operator, folders: fingerprint(&folders) };
                    self.primary.progress.set_closed(&closed, true);
                    self.remember(&last).await;
                    self.primary.progress.reach(ScanStage::Complete);
                    return Some(last);
                }
                Ok(Scanned::Stopped) => return None,
                Err(error) => tracing::error!("cannot import the token folder: {error}; trying again"),
            }
            failures += 1;
            tokio::select! {
                () = sleep(again(failures).min(self.look_every.max(AGAIN))) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    /// Notes in the journal how far the folder is imported. While a shard cannot be read, nothing is noted: the next start
    /// then scans everything, so that no account with a file in that shard counts as absent.
    async fn remember(&self, last: &LastLook) {
        if self.primary.progress.closed() > 0 {
            return;
        }
        let millis = last.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let notes = self.primary.notes();
        notes.set_cursor(OPERATOR, last.operator).await;
        notes.set_cursor(FOLDERS, last.folders).await;
        notes.set_cursor(LOOKED, u64::try_from(millis).unwrap_or(0)).await;
    }

    /// Which operator JWT is in force.
    fn operator(&self) -> u64 {
        let digest = self.primary.gate.trust().map(|trust| Sha256::digest(trust.token()));
        let start = digest.and_then(|digest| digest.first_chunk::<8>().copied());
        // The journal keeps numbers of 63 bits.
        start.map_or(0, |bytes| u64::from_be_bytes(bytes) >> 1)
    }

    fn add(&mut self, folders: &[PathBuf]) {
        let Some(watch) = &self.watch else { return };
        if let Some(root) = self.primary.tokens.root() {
            watch.add_root(root);
        }
        let failed = folders.iter().filter_map(|folder| Some((folder, watch.add(folder).err()?)));
        let (count, first) = failed.fold((0, None), |(count, first), failed| (count + 1, first.or(Some(failed))));
        if let Some((folder, error)) = first.filter(|_| count != self.unwatched) {
            tracing::warn!(
                "{} cannot be watched: {error}; {count} folders like it are looked through now and then",
                folder.display()
            );
        }
        self.unwatched = count;
    }

    fn touch(&self, files: Vec<PathBuf>) {
        if let Some(watch) = &self.watch {
            files.into_iter().for_each(|file| watch.touch(file));
        }
    }
}

/// The pause after a number of failures in a row.
fn again(failures: u32) -> Duration {
    AGAIN.saturating_mul(1 << failures.saturating_sub(1).min(16))
}

/// A number for a set of folders: their names, and which ones they are on the disk.
fn fingerprint(folders: &[PathBuf]) -> u64 {
    let mut folders: Vec<_> = folders
        .iter()
        .map(|folder| (folder, std::fs::metadata(folder).map_or((0, 0), |meta| (meta.dev(), meta.ino()))))
        .collect();
    folders.sort();
    let mut hash = Sha256::new();
    for (folder, (device, inode)) in folders {
        hash.update(folder.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(device.to_be_bytes());
        hash.update(inode.to_be_bytes());
    }
    // The journal keeps numbers of 63 bits.
    hash.finalize().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes) >> 1)
}

/// Runs a method of the intake on a thread that may be blocked, and gives the intake back. `None`: the thread panicked.
async fn blocking<T: Intake, R: Send + 'static>(
    mut intake: T,
    act: impl FnOnce(&mut T) -> Result<R, StoreError> + Send + 'static,
) -> Option<(T, Result<R, StoreError>)> {
    let done = tokio::task::spawn_blocking(move || {
        let result = act(&mut intake);
        (intake, result)
    })
    .await;
    done.inspect_err(|error| {
        tracing::error!(
            "the token folder is no longer watched: {error}; pushed JWTs are still written to it. Restart this server"
        );
    })
    .ok()
}
