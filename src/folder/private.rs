//! Files that are for this server's user alone: the state folder and what is in it.
//!
//! A user who can open the lock file can hold its lock, and one who can open the journal can hold a lock of SQLite's. Either
//! would keep this server from starting or writing. So both are closed to others from the moment they are made, whatever
//! the umask says. What an earlier version left open is closed at a start.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{FolderError, STATE_FOLDER, sync_folder};

/// The mode of files.
const FILE: u32 = 0o600;
/// The mode of folders.
const FOLDER: u32 = 0o700;
/// The mode bits of users other than the owner.
const OTHERS: u32 = 0o077;
/// The name of the journal in a state folder.
pub const JOURNAL: &str = "journal.sqlite";
/// The name of a replica's snapshot in a state folder.
pub const SNAPSHOT: &str = "snapshot.sqlite";
/// How the names of our files begin.
const OURS: [&str; 2] = [JOURNAL, SNAPSHOT];

/// Creates a file that is not there yet.
pub fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(FILE).open(path)
}

/// Creates a file, if it is not there yet.
pub fn create_if_missing(path: &Path) -> io::Result<()> {
    match create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Writes a whole file, and replaces what was there.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(FILE).open(path)?;
    io::Write::write_all(&mut file, content)
}

/// Opens a file for writing, and makes it if it is not there. A link in its place is not followed.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE)
        .custom_flags(flags.try_into().unwrap_or(0))
        .open(path)
}

/// Closes an open file of ours to others. Returns the mode that it had, if it was open to them.
pub(super) fn close_to_others(file: &File, meta: &Metadata) -> io::Result<Option<u32>> {
    let mode = meta.mode() & 0o7777;
    if mode & OTHERS == 0 || !is_ours(meta) {
        return Ok(None);
    }
    file.set_permissions(Permissions::from_mode(FILE))?;
    Ok(Some(mode))
}

/// Creates a folder and what is missing above it, so that they are there after a power failure, too.
pub fn folder(path: &Path) -> Result<(), FolderError> {
    make(path, FOLDER).map(|_| ())
}

/// Creates a folder of tokens, if it is missing. `mode` is that of its files: a user that may read those may list it.
pub fn token_folder(path: &Path, mode: u32) -> Result<(), FolderError> {
    if make(path, FOLDER)? {
        let mode = Permissions::from_mode(folder_mode(mode));
        fs::set_permissions(path, mode).map_err(FolderError::io("set the mode of", path))?;
    }
    Ok(())
}

/// Warns of a folder of tokens to which every user may write.
pub fn warn_if_open(path: &Path) {
    let Ok(meta) = fs::metadata(path) else { return };
    if meta.mode() & 0o002 != 0 {
        tracing::warn!(
            "every user of this machine may write to the token folder {} (mode {:04o}); close it with: chmod o-w {}",
            path.display(),
            meta.mode() & 0o7777,
            path.display()
        );
    }
}

/// The mode of a folder with files of this mode.
pub const fn folder_mode(mode: u32) -> u32 {
    mode | (mode & 0o444) >> 2
}

/// Creates a state folder if it is missing, checks whose it is, and closes it and our files in it to others.
///
/// A folder that was configured may be for other things as well, so only its owner can close that one.
pub fn state_folder(path: &Path) -> Result<(), FolderError> {
    let is_new = make(path, FOLDER)?;
    check_owner(path)?;
    let meta = fs::metadata(path).map_err(FolderError::io("look at", path))?;
    let mode = meta.mode() & 0o7777;
    if mode & OTHERS != 0 {
        let is_all_ours = is_new || path.file_name().is_some_and(|name| name == STATE_FOLDER);
        if is_all_ours && is_ours(&meta) {
            fs::set_permissions(path, Permissions::from_mode(FOLDER))
                .map_err(FolderError::io("set the mode of", path))?;
            tracing::warn!(
                "the state folder {} was open to other users (mode {mode:04o}); from now on it is not (0700)",
                path.display()
            );
        } else {
            tracing::warn!(
                "the state folder {} is open to other users (mode {mode:04o}); close it with: chmod 0700 {}",
                path.display(),
                path.display()
            );
        }
    }
    close_files(path)
}

/// Closes our files in a state folder to others.
fn close_files(folder: &Path) -> Result<(), FolderError> {
    let entries = fs::read_dir(folder).map_err(FolderError::io("read folder", folder))?;
    let mut closed: Vec<(PathBuf, u32)> = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let has_our_name = name.to_str().is_some_and(|name| OURS.iter().any(|ours| name.starts_with(ours)));
        // That of the name itself, not of what a link leads to.
        let Some(meta) = entry.metadata().ok().filter(|meta| has_our_name && meta.is_file()) else { continue };
        let (path, mode) = (entry.path(), meta.mode() & 0o7777);
        if mode & OTHERS == 0 {
            continue;
        }
        if !is_ours(&meta) {
            tracing::warn!(
                "{} is open to other users (mode {mode:04o}), and belongs to user {}; close it with: chmod 0600 {}",
                path.display(),
                meta.uid(),
                path.display()
            );
            continue;
        }
        fs::set_permissions(&path, Permissions::from_mode(FILE)).map_err(FolderError::io("set the mode of", &path))?;
        closed.push((path, mode));
    }
    if let Some((path, mode)) = closed.first() {
        tracing::warn!(
            "{} files of this server were open to other users, such as {} (mode {mode:04o}); from now on they are not \
             (0600)",
            closed.len(),
            path.display()
        );
    }
    Ok(())
}

/// Rejects a folder that another user made and may write to: that user could lock and change what is in it.
fn check_owner(path: &Path) -> Result<(), FolderError> {
    let real = path.canonicalize().map_err(FolderError::io("look at", path))?;
    for place in [path, &real] {
        let Some(above) = place.parent() else { continue };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let meta = fs::symlink_metadata(place).map_err(FolderError::io("look at", place))?;
        let above = fs::metadata(above).map_err(FolderError::io("look at", above))?;
        trusted(place, &meta, &above)?;
    }
    Ok(())
}

/// Whether what is in a folder may be used: it belongs to this server's user, to root, or to the folder's owner.
pub(super) fn trusted(path: &Path, meta: &Metadata, folder: &Metadata) -> Result<(), FolderError> {
    let owner = meta.uid();
    if is_ours(meta) || owner == 0 || owner == folder.uid() {
        return Ok(());
    }
    Err(FolderError::unusable(
        path,
        format!(
            "it belongs to user {owner}, who owns neither the folder that it is in nor this server's process; if it is \
             genuine, give it to user {}, else remove it",
            rustix::process::geteuid().as_raw()
        ),
    ))
}

fn is_ours(meta: &Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw()
}

/// Creates a folder with a mode, and what is missing above it. Returns whether it was missing.
fn make(path: &Path, mode: u32) -> Result<bool, FolderError> {
    let failed = FolderError::io("create folder", path);
    if path.is_dir() {
        return Ok(false);
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let made = above.map_or(Ok(()), fs::create_dir_all).and_then(|()| DirBuilder::new().mode(mode).create(path));
    match made {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(failed(error)),
    }
    for folder in path.ancestors().take(3).filter(|folder| !folder.as_os_str().is_empty()) {
        sync_folder(folder)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o7777
    }

    #[test]
    fn who_may_read_files_may_list_their_folder() {
        for (file, folder) in [(0o640, 0o750), (0o644, 0o755), (0o600, 0o700), (0o660, 0o770), (0o440, 0o550)] {
            assert_eq!(folder_mode(file), folder, "{file:04o}");
        }
    }

    #[test]
    fn what_an_earlier_version_left_open_is_closed_and_what_is_not_ours_is_left() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = dir.path().join(STATE_FOLDER);
        state_folder(&state).expect("made");
        assert_eq!(mode(&state), 0o700);
        let ours = ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite.replaced-1", "snapshot.sqlite"];
        let others = ["notes.txt"];
        for name in ours.iter().chain(&others) {
            fs::write(state.join(name), "x").expect("written");
            fs::set_permissions(state.join(name), Permissions::from_mode(0o644)).expect("opened");
        }
        fs::set_permissions(&state, Permissions::from_mode(0o755)).expect("opened");
        state_folder(&state).expect("closed");
        assert_eq!(mode(&state), 0o700);
        for name in ours {
            assert_eq!(mode(&state.join(name)), 0o600, "{name}");
        }
        assert_eq!(mode(&state.join(others[0])), 0o644);
        // A configured folder may hold other things.
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("made");
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o755)).expect("opened");
        state_folder(&elsewhere).expect("used");
        assert_eq!(mode(&elsewhere), 0o755);
    }
}
