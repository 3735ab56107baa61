//! Noticing that nsc wrote an operator's JWT.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::place::STILL;
use crate::folder::{self, Look, Stamp};

/// Files that are looked at. nsc writes one.
const MOST: usize = 100;

/// The JWT files directly in an nsc folder, as they were when they were last seen whole.
///
/// They are compared by what they are, not by the paths of events: an event can be lost, and a link in a path can lead to
/// another file from one moment to the next.
#[derive(Debug, Default)]
pub(super) struct OperatorFiles {
    seen: Option<BTreeMap<OsString, Stamp>>,
    is_awaited: bool,
}

/// What happened to the files since they were last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OperatorEdit {
    /// Nothing.
    None,
    /// This is the first look. A file may have been written since this process read it.
    First,
    /// Something, and perhaps not the last of it.
    BeingWritten,
    /// They were written, and are still.
    Written,
}

impl OperatorFiles {
    /// Looks at the files in `root`. A file that is gone is no edit: the folder may not be mounted.
    pub(super) fn look(&mut self, root: &Path) -> OperatorEdit {
        let looks = read(root);
        let is_new =
            |(name, look): &(OsString, Look)| self.seen.as_ref().is_none_or(|seen| seen.get(name) != Some(&look.stamp));
        let new: Vec<_> = looks.iter().filter(|found| is_new(found)).collect();
        let edit = if self.seen.is_none() {
            OperatorEdit::First
        } else if new.is_empty() {
            OperatorEdit::None
        } else if new.iter().all(|(_, look)| look.is_still(STILL)) {
            OperatorEdit::Written
        } else {
            OperatorEdit::BeingWritten
        };
        if edit != OperatorEdit::BeingWritten {
            self.seen = Some(looks.into_iter().map(|(name, look)| (name, look.stamp)).collect());
        }
        self.is_awaited = matches!(edit, OperatorEdit::BeingWritten | OperatorEdit::Written);
        edit
    }

    /// Whether something was found at the last look, so that another one has to follow soon.
    pub(super) const fn is_awaited(&self) -> bool {
        self.is_awaited
    }
}

fn read(root: &Path) -> Vec<(OsString, Look)> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name()).filter(|name| name.as_encoded_bytes().ends_with(b".jwt"));
    names.filter_map(|name| Some((name.clone(), folder::look(&root.join(&name)).ok()?))).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, FileTimes};
    use std::os::unix::fs::symlink;

    use super::*;

    /// Looks until the files are still.
    fn settled(files: &mut OperatorFiles, root: &Path) -> usize {
        let (mut written, began) = (0, std::time::Instant::now());
        loop {
            match files.look(root) {
                OperatorEdit::Written => written += 1,
                OperatorEdit::None => return written,
                OperatorEdit::First => {}
                OperatorEdit::BeingWritten => assert!(began.elapsed() < STILL * 10, "never still"),
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn each_edit_is_told_once_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let mut files = OperatorFiles::default();
        assert_eq!(files.look(root), OperatorEdit::First);
        fs::write(root.join("O.jwt"), "a").unwrap();
        assert_eq!(files.look(root), OperatorEdit::BeingWritten);
        assert!(files.is_awaited());
        assert_eq!(settled(&mut files, root), 1, "made");
        assert!(!files.is_awaited());
        // The same length and time: the system's own time of the change tells.
        let times = fs::metadata(root.join("O.jwt")).unwrap().modified().unwrap();
        fs::write(root.join("O.jwt"), "b").unwrap();
        File::options()
            .write(true)
            .open(root.join("O.jwt"))
            .unwrap()
            .set_times(FileTimes::new().set_modified(times))
            .unwrap();
        assert_eq!(settled(&mut files, root), 1, "edited");
        fs::write(root.join("notes.txt"), "c").unwrap();
        assert_eq!(settled(&mut files, root), 0, "another file");
        fs::create_dir(root.join("other")).unwrap();
        fs::rename(root.join("O.jwt"), root.join("other/O.jwt")).unwrap();
        symlink("other/O.jwt", root.join("O.jwt")).unwrap();
        assert_eq!(settled(&mut files, root), 1, "through a link");
        fs::remove_file(root.join("O.jwt")).unwrap();
        assert_eq!(settled(&mut files, root), 0, "gone");
    }
}
