//! Reads one token file, whatever it turns out to be.

use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

/// Largest file that is read, in bytes: the largest token and some white space after it.
const MAX_FILE: u64 = (1 << 20) + 4096;

/// The state of a file that this server wrote. It shows whether someone else has touched the file since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// When anything about the file was last changed. A program can set back `modified`, but not this.
    changed: (i64, i64),
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Which content it is.
    pub stamp: Stamp,
    /// When anything about the file was last changed, by the system's clock. Programs cannot set it. A move counts as a
    /// change, however old the content is.
    changed: SystemTime,
}

impl Look {
    pub(super) fn of(meta: &Metadata) -> Self {
        let stamp = Stamp {
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        };
        let since = Duration::new(meta.ctime().try_into().unwrap_or(0), meta.ctime_nsec().try_into().unwrap_or(0));
        Self { stamp, changed: UNIX_EPOCH + since }
    }

    /// Whether the file was not written to since another look at it. That it was moved does not count.
    pub(super) fn is_unwritten_since(&self, earlier: &Self) -> bool {
        self.stamp == Stamp { changed: self.stamp.changed, ..earlier.stamp }
    }

    /// Whether the file was not touched for a while. A time in the future counts as long ago.
    pub fn is_still(&self, for_this_long: Duration) -> bool {
        self.changed.elapsed().map_or(true, |age| age >= for_this_long)
    }
}

/// Why a token file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// There is none.
    #[error("does not exist")]
    Missing,
    /// A link that leads nowhere.
    #[error("is a link to nothing")]
    Dangling,
    /// Not a plain file: a folder, a pipe, a socket.
    #[error("is not a regular file")]
    NotAFile,
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// It changed while it was read.
    #[error("is being written")]
    Changing,
    /// More than any token.
    #[error("is {0} bytes long, which is more than any JWT")]
    TooLarge(u64),
    /// The system reported an error.
    #[error("cannot be read: {0}")]
    Io(std::io::Error),
}

/// Reads the state of a file without opening it. Links are followed.
pub fn look(path: &Path) -> Result<Look, Unread> {
    let meta = fs::metadata(path).map_err(|error| unread(path, error))?;
    if meta.is_file() { Ok(Look::of(&meta)) } else { Err(Unread::NotAFile) }
}

/// When something last happened to a file, or to a link in its place; `None` if there is nothing.
pub fn changed(path: &Path) -> Option<SystemTime> {
    let own = fs::symlink_metadata(path).ok()?;
    let target = if own.is_symlink() { fs::metadata(path).ok() } else { None };
    let own = Look::of(&own).changed;
    Some(target.map_or(own, |target| own.max(Look::of(&target).changed)))
}

/// Whether the file at `path` was not touched for a while. A missing file was touched just now.
pub fn is_still(path: &Path, for_this_long: Duration) -> bool {
    changed(path).is_some_and(|at| at.elapsed().map_or(true, |age| age >= for_this_long))
}

/// Reads one token file. It never waits for a pipe, and never reads more than the largest token.
pub fn read(path: &Path) -> Result<(Look, Vec<u8>), Unread> {
    // It may be a pipe or a terminal.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = match File::options().read(true).custom_flags(flags.try_into().unwrap_or(0)).open(path) {
        Ok(file) => file,
        // A socket, or a folder that may not be read, fails in a way that does not say what it is.
        Err(error) => return Err(look(path).err().unwrap_or_else(|| unread(path, error))),
    };
    let meta = file.metadata().map_err(Unread::Io)?;
    let look = Look::of(&meta);
    if !meta.is_file() {
        return Err(Unread::NotAFile);
    }
    if meta.len() > MAX_FILE {
        return Err(Unread::TooLarge(meta.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    // If more was added, the second look shows it. Some file systems do not know the size before.
    let most = if meta.len() == 0 { MAX_FILE + 1 } else { meta.len() };
    (&file).take(most).read_to_end(&mut bytes).map_err(Unread::Io)?;
    if file.metadata().map(|meta| Look::of(&meta)).map_err(Unread::Io)? != look {
        return Err(Unread::Changing);
    }
    if bytes.is_empty() {
        return Err(Unread::Empty);
    }
    Ok((look, bytes))
}

fn unread(path: &Path, error: std::io::Error) -> Unread {
    match error.kind() {
        std::io::ErrorKind::NotFound if path.is_symlink() => Unread::Dangling,
        std::io::ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Io(error),
    }
}
