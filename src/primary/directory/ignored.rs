//! What is said of files that are ignored because of their names: once for each, and once for a folder full of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::folder::{self, Others};
use crate::jwt;

/// The ignored files of a folder, as the log knows them.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    named: HashSet<PathBuf>,
    private: HashSet<PathBuf>,
    counted: usize,
}

impl Ignored {
    /// Says which files are ignored, as a look through the folder found them. Many are counted, and said again when there
    /// are twice as many.
    pub(super) fn are(&mut self, others: &Others) {
        if others.count > Others::NAMED {
            for path in &others.first {
                self.is_private(path);
            }
        }
        if others.count <= Others::NAMED {
            others.first.iter().for_each(|path| self.one(path));
        } else if others.count / 2 >= self.counted {
            self.counted = others.count;
            let example = others.first.first().map_or(Path::new(""), |path| path);
            tracing::warn!(
                "{} files are ignored because of their names, such as {}. The file of an account is named after its public \
                 key, ACCOUNT_KEY.jwt",
                others.count,
                example.display()
            );
        }
    }

    /// Says of each touched file that is ignored because of its name, that it is. Gives the other ones.
    pub(super) fn sort_out(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let is_misnamed = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(folder::is_misnamed) && !path.is_dir()
        };
        let (misnamed, others): (Vec<_>, Vec<_>) = files.into_iter().partition(is_misnamed);
        misnamed.iter().filter(|path| path.symlink_metadata().is_ok()).for_each(|path| self.one(path));
        others
    }

    /// Whether a file has a private key in it, or in its name. Says so once.
    fn is_private(&mut self, path: &Path) -> bool {
        if self.private.contains(path) {
            return true;
        }
        let Some(reason) = folder::private_key(path) else { return false };
        if self.private.len() < Others::KEPT {
            tracing::warn!("{} {reason}", path.display());
            self.private.insert(path.to_owned());
        }
        true
    }

    fn one(&mut self, path: &Path) {
        if self.is_private(path) {
            return;
        }
        if self.named.len() >= Others::NAMED || !self.named.insert(path.to_owned()) {
            return;
        }
        match folder::read(path).ok().and_then(|(_, bytes)| jwt::called(&bytes)) {
            Some(account) => tracing::warn!(
                account = %account.key(),
                "{} is ignored because of its name, but holds the JWT of {account}: rename it to {}.jwt",
                path.display(),
                account.key()
            ),
            None => tracing::warn!(
                "{} is ignored because of its name. The file of an account is named after its public key, ACCOUNT_KEY.jwt",
                path.display()
            ),
        }
    }
}
