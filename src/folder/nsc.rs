//! The operator folder of nsc: `accounts/<name>/<name>.jwt`, named by people, not by keys.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{Access, access};

use super::FolderError;

/// Levels above a path, and below it, on which an operator's folder is looked for: from `…/accounts/A/A.jwt` up, and from
/// `~/.local/share/nats` down.
const LEVELS: usize = 3;
/// Folders that this search reads.
const LOOKED_AT: usize = 1000;
/// Operators' folders that an error names.
const NAMED: usize = 5;

/// Whether `root` is an operator's folder of nsc; the error says what is missing, and which folder is probably meant.
pub fn check(root: &Path) -> Result<(), FolderError> {
    match described(root) {
        Err(FolderError::Io { source, .. }) if source.kind() != io::ErrorKind::PermissionDenied => {
            Err(wrong_level(root).unwrap_or_else(|| {
                let reason = if root.is_dir() {
                    "it is not an operator's folder of nsc, which holds .nsc and accounts"
                } else {
                    "there is no such folder; an operator's folder of nsc holds .nsc and accounts"
                };
                FolderError::unusable(root, reason)
            }))
        }
        result => result,
    }
}

/// The operators' folders near `path`, if it is not one itself.
pub fn wrong_level(path: &Path) -> Option<FolderError> {
    let near = near(path);
    let named: Vec<_> = near.iter().take(NAMED).map(|folder| folder.display().to_string()).collect();
    let more = if near.len() > NAMED { format!(" or one of {} more", near.len() - NAMED) } else { String::new() };
    (!near.is_empty()).then(|| {
        FolderError::unusable(
            path,
            format!(
                "it is not an operator's folder of nsc, but near one; name that, which holds .nsc: {}{more}",
                named.join(" or ")
            ),
        )
    })
}

fn described(root: &Path) -> Result<(), FolderError> {
    let marker = root.join(".nsc");
    let text = fs::read(&marker).map_err(FolderError::io("read", &marker))?;
    if serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_ok() {
        return Ok(());
    }
    Err(FolderError::unusable(
        &marker,
        "it is not nsc's description of a store; give the operator's folder of nsc, which holds .nsc and accounts",
    ))
}

/// Operators' folders of nsc that `path` is in, or that are in it.
fn near(path: &Path) -> Vec<PathBuf> {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let is_one = |folder: &Path| described(folder).is_ok();
    if is_one(&full) {
        return Vec::new();
    }
    if let Some(above) = full.ancestors().skip(1).take(LEVELS).find(|folder| is_one(folder)) {
        return vec![above.to_owned()];
    }
    let (mut found, mut level, mut room) = (Vec::new(), vec![full], LOOKED_AT);
    for _ in 0..LEVELS {
        let entries = level.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).take(room).collect();
        room -= folders.len();
        let (operators, others): (Vec<_>, Vec<_>) = folders.into_iter().partition(|folder| is_one(folder));
        found.extend(operators);
        level = others;
    }
    found.sort();
    found
}

/// Whether `path` is where nsc keeps an account: `accounts/<name>/<name>.jwt`.
pub fn is_account_file(root: &Path, path: &Path) -> bool {
    let Some(folder) = path.parent() else { return false };
    folder.parent() == Some(&root.join("accounts"))
        && path.extension().is_some_and(|ending| ending == "jwt")
        && folder.file_name() == path.file_stem()
}

/// The folders to watch, and the account files that are there.
pub fn list(root: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), FolderError> {
    let accounts = root.join("accounts");
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    let entries = match fs::read_dir(&accounts) {
        Ok(entries) => entries,
        // An operator without an account has no such folder yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound && root.is_dir() => return Ok((folders, files)),
        Err(error) => return Err(FolderError::io("read folder", &accounts)(error)),
    };
    // A folder may list names without the right to open them. Then its content is unknown.
    access(&accounts, Access::EXEC_OK).map_err(|error| FolderError::io("open folders in", &accounts)(error.into()))?;
    folders.push(accounts.clone());
    for entry in entries {
        let entry = entry.map_err(FolderError::io("read folder", &accounts))?;
        let folder = entry.path();
        if !folder.is_dir() {
            continue;
        }
        let mut name = entry.file_name();
        name.push(".jwt");
        let file = folder.join(name);
        // A file whose state is unknown counts as present.
        let is_absent = file.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if !is_absent {
            files.push(file);
        }
        folders.push(folder);
    }
    Ok((folders, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_that_is_meant_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for operator in ["one", "two"] {
            let folder = base.join("nats/nsc/stores").join(operator);
            fs::create_dir_all(folder.join("accounts/A/users")).unwrap();
            fs::write(folder.join("accounts/A/A.jwt"), "").unwrap();
            fs::write(folder.join(".nsc"), "{}").unwrap();
        }
        fs::create_dir_all(base.join("elsewhere")).unwrap();
        let (one, two) = (base.join("nats/nsc/stores/one"), base.join("nats/nsc/stores/two"));
        let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
        let both = format!("name that, which holds .nsc: {one} or {two}");
        let first = format!("name that, which holds .nsc: {one}");
        for (path, expected) in [
            ("nats", &*both),
            ("nats/nsc", &both),
            ("nats/nsc/stores", &both),
            ("nats/nsc/stores/one/accounts", &first),
            ("nats/nsc/stores/one/accounts/A", &first),
            ("nats/nsc/stores/one/accounts/A/A.jwt", &first),
            ("nats/nsc/stores/one/accounts/A/users", &first),
            ("elsewhere", "it is not an operator's folder of nsc, which holds .nsc and accounts"),
            ("missing", "there is no such folder"),
        ] {
            let text = check(&base.join(path)).expect_err(path).to_string();
            assert!(text.contains(expected) && text.starts_with(base.join(path).to_str().unwrap()), "{path}: {text}");
            assert!(!expected.contains(one) || expected.contains(two) || !text.contains(two), "{path}: {text}");
        }
        assert!(check(Path::new(one)).is_ok());
        assert!(wrong_level(Path::new(one)).is_none());
    }

    #[test]
    fn an_account_has_one_place() {
        let root = Path::new("x/O");
        for (path, expected) in [
            ("x/O/accounts/A/A.jwt", true),
            ("x/O/accounts/a.b c/a.b c.jwt", true),
            ("x/O/O.jwt", false),
            ("x/O/accounts/A/B.jwt", false),
            ("x/O/accounts/A/A.jwt.bak", false),
            ("x/O/accounts/A/users/A.jwt", false),
            ("y/O/accounts/A/A.jwt", false),
        ] {
            assert_eq!(is_account_file(root, Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn many_operators_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..NAMED + 3 {
            let folder = dir.path().join(format!("O{n}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(".nsc"), "{}").unwrap();
        }
        let text = check(dir.path()).expect_err("a wrong level").to_string();
        assert!(text.ends_with("O4 or one of 3 more"), "{text}");
    }
}
