//! Private keys that people put into a folder of tokens by mistake.

use std::path::Path;

use crate::jwt::given;
use crate::key::seed::{self, DISCLOSED};

/// The warning about a file without a name of ours, if its name or its content has a private key in it.
pub fn private_key(path: &Path) -> Option<String> {
    path.symlink_metadata().ok()?;
    if path.file_name().is_some_and(|name| seed::is_in(&name.to_string_lossy())) {
        return Some(format!("has a private key in its name: {DISCLOSED}"));
    }
    let (_, bytes) = super::read(path).ok()?;
    let found = given(&bytes).err().filter(|found| found.is_private())?;
    Some(format!("is rejected: {found}"))
}
