//! Watching folders for changes.
//!
//! What the system reports is only taken as a hint of where to look: which file it was, and when it was last touched.
//! If it reports too much at once, or more than can be kept, that is said too, and everything is looked at.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, Flag, ModifyKind, RemoveKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::key::seed;
use tokio::sync::Notify;

use super::STATE_FOLDER;

/// Touched files that are remembered; when there are more, everything is looked at instead.
const MAX_TOUCHED: usize = 100_000;

/// Watches some folders, each without its sub-folders.
#[derive(Debug)]
pub struct Watch {
    touched: Arc<Touched>,
    watcher: Mutex<RecommendedWatcher>,
}

/// What was touched, and not looked at yet.
#[derive(Debug, Default)]
struct Touched {
    files: Mutex<HashMap<PathBuf, Instant>>,
    everything: AtomicBool,
    woken: Notify,
}

impl Watch {
    /// Starts watching nothing.
    pub fn start() -> Result<Self, notify::Error> {
        let touched = Arc::new(Touched::default());
        let told = touched.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| told.take(event))?;
        Ok(Self { touched, watcher: Mutex::new(watcher) })
    }

    /// Watches one more folder. To watch one twice does no harm.
    pub fn add(&self, folder: &Path) -> Result<(), notify::Error> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).watch(folder, RecursiveMode::NonRecursive)
    }

    /// Marks a file as touched now: it is to be looked at again.
    pub fn touch(&self, path: PathBuf) {
        self.touched.file(path);
    }

    /// Files that have not been touched for `still`, or longer.
    pub fn take_still(&self, still: Duration) -> Vec<PathBuf> {
        let mut files = self.touched.files.lock().unwrap_or_else(PoisonError::into_inner);
        let due: Vec<PathBuf> =
            files.iter().filter(|(_, at)| at.elapsed() >= still).map(|(path, _)| path.clone()).collect();
        for path in &due {
            files.remove(path);
        }
        due
    }

    /// Whether there are files that were touched and not taken yet.
    pub fn has_touched(&self) -> bool {
        !self.touched.files.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether everything must be looked at. Asking resets it.
    pub fn take_everything(&self) -> bool {
        self.touched.everything.swap(false, Ordering::AcqRel)
    }

    /// Waits until something was touched.
    pub async fn wait(&self) {
        self.touched.woken.notified().await;
    }
}

impl Touched {
    fn take(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.attrs.flag() == Some(Flag::Rescan) => self.all("it was too much at once"),
            Ok(event) => {
                // Reading is no change, and we read a lot.
                let is_read = match event.kind {
                    EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
                    EventKind::Access(_) => true,
                    _ => false,
                };
                if is_read {
                    return;
                }
                for path in event.paths {
                    self.path(event.kind, path);
                }
            }
            Err(error) => self.all(&error.to_string()),
        }
    }

    fn path(&self, kind: EventKind, path: PathBuf) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
        if name.ends_with(".jwt") || seed::is_in(name) {
            return self.file(path);
        }
        let is_folder = match kind {
            EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => true,
            // A folder of two characters may hold tokens, and it may be gone already.
            EventKind::Modify(ModifyKind::Name(_)) => name.len() == 2 || path.is_dir(),
            // One that could not be read may be readable now.
            EventKind::Modify(ModifyKind::Metadata(_)) => path.is_dir(),
            _ => false,
        };
        // A mounted volume changes all its files with one link.
        if (is_folder && name != STATE_FOLDER) || name == "..data" {
            self.all("a folder in it has changed");
        }
    }

    fn file(&self, path: PathBuf) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= MAX_TOUCHED {
            files.clear();
            drop(files);
            return self.all("more files changed than can be remembered");
        }
        files.insert(path, Instant::now());
        drop(files);
        self.woken.notify_one();
    }

    fn all(&self, why: &str) {
        tracing::debug!("the watched folder is looked through: {why}");
        self.everything.store(true, Ordering::Release);
        self.woken.notify_one();
    }
}
