//! Backups with the time in their names, of which the newest are kept.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::calendar::rfc3339_millis;

const PREFIX: &str = "accounts-";
const SUFFIX: &str = ".backup";

/// The name of a backup that is made at this time, unix seconds. Names sort by time.
pub(super) fn file_name(at: i64) -> String {
    let time = rfc3339_millis(at.saturating_mul(1000));
    let digits: String =
        time.chars().filter(|character| character.is_ascii_digit() || *character == 'T').take(15).collect();
    format!("{PREFIX}{digits}Z{SUFFIX}")
}

/// Removes all files with such names in the folder of `made` but the newest ones, and never `made` itself, whatever the clock was
/// before. Returns what was removed.
pub(super) fn remove_older(made: &Path, keep: NonZeroUsize) -> io::Result<Vec<PathBuf>> {
    let Some(folder) = made.parent() else { return Ok(Vec::new()) };
    let mut others = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path != made && is_name(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_file() {
            others.push(path);
        }
    }
    others.sort_unstable();
    others.truncate((others.len() + 1).saturating_sub(keep.get()));
    others.iter().try_for_each(fs::remove_file)?;
    Ok(others)
}

fn is_name(name: &str) -> bool {
    let Some(time) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) else { return false };
    time.len() == "20261128T031500Z".len()
        && time.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn a_name_has_the_time_and_is_recognised() {
        assert_eq!(file_name(NOW), "accounts-20260921T141320Z.backup");
        assert!(is_name(&file_name(NOW)) && is_name(&file_name(0)));
        for other in
            ["accounts.backup", "accounts-2026-09-21T14.backup", "accounts-20260921T141320Z.backup.part-7", "x"]
        {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn the_newest_stay_and_so_does_what_is_no_backup_of_this_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let names: Vec<String> = (0..5).map(|day| file_name(NOW + day * 86_400)).collect();
        for name in names.iter().map(String::as_str).chain(["accounts.backup", "precious"]) {
            fs::write(path(name), "").expect("a file");
        }
        let keep = NonZeroUsize::new(2).expect("not 0");
        assert_eq!(remove_older(&path(&names[4]), keep).expect("removed"), [0, 1, 2].map(|at| path(&names[at])));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 4);
        // The clock was set back: what was made now is the oldest by its name.
        fs::write(path(&names[0]), "").expect("a file");
        let keep = NonZeroUsize::MIN;
        assert_eq!(remove_older(&path(&names[0]), keep).expect("removed"), [3, 4].map(|at| path(&names[at])));
    }
}
