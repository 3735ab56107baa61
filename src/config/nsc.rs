//! The operator of an operator's folder of nsc.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The part of `.nsc` that counts here.
#[derive(Deserialize)]
struct Description {
    name: Option<String>,
}

/// The file with the operator's JWT in the folder `root`: `<name>.jwt`, with the operator's name in `.nsc`, or else the
/// folder's name, as in the first Go server. `None`: there is no such file.
pub(super) fn operator(root: &Path) -> Option<PathBuf> {
    let described = || serde_json::from_slice::<Description>(&fs::read(root.join(".nsc")).ok()?).ok()?.name;
    let own = || Some(root.canonicalize().ok()?.file_name()?.to_str()?.to_owned());
    // A name leads to no other folder.
    let names = described().filter(|name| !name.contains('/')).into_iter().chain(own());
    names.map(|name| root.join(format!("{name}.jwt"))).find(|file| file.is_file())
}
