//! The watched folders, and the names that the watcher's owner gave them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Links that are followed on the way to a folder, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// Device and inode of a folder.
type Identity = (u64, u64);

/// The watched folders by their absolute paths.
#[derive(Debug, Default)]
pub(super) struct Places {
    folders: HashMap<PathBuf, (PathBuf, Option<Identity>)>,
    anchors: HashSet<PathBuf>,
}

/// The subject of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The root, or a link that leads to it.
    Root,
    /// A file or folder in a watched folder, or such a folder itself, under the name that the caller gave.
    Within(PathBuf),
    /// Something else.
    Elsewhere,
}

impl Places {
    /// Whether another folder is at `path` now than when it was inserted.
    pub(super) fn is_replaced(&self, path: &Path) -> bool {
        self.folders.get(path).is_some_and(|(_, known)| *known != identity(path))
    }

    /// Remembers a folder: its absolute path, and the caller's name for it.
    pub(super) fn insert(&mut self, path: PathBuf, given: PathBuf) {
        let identity = identity(&path);
        self.folders.insert(path, (given, identity));
    }

    pub(super) fn forget(&mut self, path: &Path) {
        self.folders.remove(path);
    }

    pub(super) fn set_anchors(&mut self, anchors: &[PathBuf]) {
        self.anchors = anchors.iter().cloned().collect();
    }

    /// What an event at the absolute `path` is about.
    pub(super) fn of(&self, path: &Path) -> Place {
        if self.anchors.contains(path) {
            return Place::Root;
        }
        let within = || {
            let (given, _) = self.folders.get(path.parent()?)?;
            Some(given.join(path.file_name()?))
        };
        let itself = || self.folders.get(path).map(|(given, _)| given.clone());
        within().or_else(itself).map_or(Place::Elsewhere, Place::Within)
    }
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// The path from the root of the file system, as the watcher reports it.
pub(super) fn absolute(path: &Path) -> io::Result<PathBuf> {
    // Of `x/` and `./x`, too, the names in events are made of the components.
    std::path::absolute(path)
}

/// The places where another folder can take the place of `path`, which is absolute: each link on the way, and the folder
/// itself.
pub(super) fn anchors(path: &Path) -> Vec<PathBuf> {
    let mut ahead: Vec<PathBuf> = parts(path);
    let (mut real, mut links) = (PathBuf::from("/"), Vec::new());
    while let Some(part) = ahead.pop() {
        match part.components().next() {
            Some(Component::RootDir) => real = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                real.pop();
            }
            Some(Component::Normal(name)) => {
                let next = real.join(name);
                match std::fs::read_link(&next) {
                    Ok(target) if links.len() < MAX_LINKS => {
                        ahead.extend(parts(&target));
                        links.push(next);
                    }
                    _ => real = next,
                }
            }
            Some(Component::CurDir | Component::Prefix(_)) | None => {}
        }
    }
    links.push(real);
    links
}

/// The components of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_link_on_the_way_and_the_folder_itself_can_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("real/store/op")).unwrap();
        symlink("real", base.join("above")).unwrap();
        symlink("../above/store", base.join("real/via")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        for (path, expected) in [
            ("real/store/op", &["real/store/op"][..]),
            ("above/store/op", &["above", "real/store/op"]),
            ("real/via/op", &["real/via", "above", "real/store/op"]),
            ("real/via/../store/op", &["real/via", "above", "real/store/op"]),
            ("none/x", &["none/x"]),
        ] {
            let expected: Vec<PathBuf> = expected.iter().map(|name| base.join(name)).collect();
            assert_eq!(anchors(&base.join(path)), expected, "{path}");
        }
        assert_eq!(anchors(&base.join("loop")).len(), MAX_LINKS + 1, "a circle has an end");
    }

    #[test]
    fn events_are_told_under_the_name_that_was_given() {
        let mut places = Places::default();
        places.insert(PathBuf::from("/base/d"), PathBuf::from("d"));
        places.set_anchors(&[PathBuf::from("/base/d")]);
        for (path, expected) in [
            ("/base/d/x.jwt", Place::Within(PathBuf::from("d/x.jwt"))),
            ("/base/d", Place::Root),
            ("/base/e.jwt", Place::Elsewhere),
            ("/base/d/sub/x.jwt", Place::Elsewhere),
        ] {
            assert_eq!(places.of(Path::new(path)), expected, "{path}");
        }
    }
}
