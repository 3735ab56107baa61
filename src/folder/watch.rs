//! Watches folders for changes.
//!
//! A report of the system is only a hint: which file was touched, and when. After too many reports the caller scans
//! everything.
//!
//! The system reports absolute paths. A caller gets each file under the name that it gave for the folder, so a relative
//! path, a link or `a/../b` compares equal to what the caller has.

mod places;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, Flag, ModifyKind, RemoveKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use tokio::sync::Notify;

use super::{STATE_FOLDER, is_misnamed};
use places::{Place, Places};

/// Touched files that are remembered. If there are more, the caller scans everything.
const MAX_TOUCHED: usize = 100_000;

/// Watches some folders, each without its sub-folders.
#[derive(Debug)]
pub struct Watch {
    touched: Arc<Touched>,
    watcher: Mutex<RecommendedWatcher>,
}

/// What was touched and not read yet.
#[derive(Debug, Default)]
struct Touched {
    places: Mutex<Places>,
    files: Mutex<HashMap<PathBuf, Instant>>,
    everything: AtomicBool,
    woken: Notify,
}

impl Watch {
    /// A watch without folders.
    pub fn start() -> Result<Self, notify::Error> {
        let touched = Arc::new(Touched::default());
        let told = touched.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| told.take(event))?;
        Ok(Self { touched, watcher: Mutex::new(watcher) })
    }

    /// Watches one more folder. Does nothing if that very folder is watched already; a folder that took the place of
    /// another one is watched instead of it.
    pub fn add(&self, folder: &Path) -> Result<(), notify::Error> {
        let mut watcher = self.watcher.lock();
        let path = places::absolute(folder)?;
        // The watcher's thread may wait for the places, and the watcher for its thread. So both are never locked together.
        if self.touched.places.lock().is_replaced(&path) {
            // The system may have dropped it with its folder.
            let _ = watcher.unwatch(&path);
        }
        self.touched.places.lock().insert(path.clone(), folder.to_owned());
        watcher.watch(&path, RecursiveMode::NonRecursive).inspect_err(|_| self.touched.places.lock().forget(&path))
    }

    /// Watches for another folder, or another link, in the place of `root`, or of a link that leads to it.
    pub fn add_root(&self, root: &Path) {
        let Ok(path) = places::absolute(root) else { return };
        let anchors = places::anchors(&path);
        self.touched.places.lock().set_anchors(&anchors);
        let mut watcher = self.watcher.lock();
        for above in anchors.iter().filter_map(|anchor| anchor.parent()) {
            if let Err(error) = watcher.watch(above, RecursiveMode::NonRecursive) {
                tracing::debug!("cannot watch {} for another folder there: {error}", above.display());
            }
        }
    }

    /// Marks a file as touched now, so that it is read again.
    pub fn touch(&self, path: PathBuf) {
        self.touched.file(path);
    }

    /// Files that have not been touched for `still`, or longer.
    pub fn take_still(&self, still: Duration) -> Vec<PathBuf> {
        let mut files = self.touched.files.lock();
        let due: Vec<PathBuf> =
            files.iter().filter(|(_, at)| at.elapsed() >= still).map(|(path, _)| path.clone()).collect();
        for path in &due {
            files.remove(path);
        }
        due
    }

    /// Whether there are files that were touched and not taken yet.
    pub fn has_touched(&self) -> bool {
        !self.touched.files.lock().is_empty()
    }

    /// Whether the caller must scan everything. The call resets it.
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
                    let place = self.places.lock().of(&path);
                    match place {
                        Place::Root => self.all("the folder, or a link to it, has changed"),
                        Place::Within(path) => self.path(event.kind, path),
                        Place::Elsewhere => {}
                    }
                }
            }
            Err(error) => self.all(&error.to_string()),
        }
    }

    fn path(&self, kind: EventKind, path: PathBuf) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
        if name.ends_with(".jwt") || is_misnamed(name) {
            return self.file(path);
        }
        let is_folder = match kind {
            EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => true,
            // A link to a folder is made as a file is.
            EventKind::Create(_) => path.is_dir(),
            // A folder of two characters may hold tokens, and it may be gone already.
            EventKind::Modify(ModifyKind::Name(_)) => name.len() == 2 || path.is_dir(),
            // A folder that could not be read may be readable now.
            EventKind::Modify(ModifyKind::Metadata(_)) => path.is_dir(),
            _ => false,
        };
        // A mounted volume changes all its files with one link.
        if (is_folder && name != STATE_FOLDER) || name == "..data" {
            self.all("a folder in it has changed");
        }
    }

    fn file(&self, path: PathBuf) {
        let mut files = self.files.lock();
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
