//! What a file is that `restore` was given, and that `backup` did not write.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// Bytes from the beginning of a file that tell what it is.
const LOOK: u64 = 1024;

/// Says what `file` is, and what to do with it. `None`: it may be a backup.
pub(super) fn what_it_is(file: &Path) -> Option<String> {
    let shown = file.display();
    let meta = match std::fs::metadata(file) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Some(format!("there is no file {shown}")),
        Err(error) => return Some(format!("cannot look at {shown}: {error}")),
    };
    if meta.is_dir() {
        return Some(format!(
            "{shown} is a folder: give the file that `backup` wrote. `import` reads a folder of JWTs, and a server that is \
             started with -dir {shown} serves one"
        ));
    }
    let mut start = Vec::new();
    if let Err(error) = File::open(file).and_then(|file| file.take(LOOK).read_to_end(&mut start)) {
        return Some(format!("cannot read {shown}: {error}"));
    }
    let what = match &*start {
        [] => "is empty: the disk was full, or `backup` did not write it",
        [0x1f, 0x8b, ..] => "is compressed with gzip: unpack it first",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "is compressed with zstd: unpack it first",
        [b'P', b'K', 3, 4, ..] => "is a zip archive: unpack it first",
        bytes if bytes.starts_with(b"SQLite format 3\0") => return None,
        bytes if bytes.get(257..262) == Some(b"ustar") => "is a tar archive: unpack it first",
        bytes if bytes.starts_with(b"eyJ") => "is a JWT: push it to a running server, or give it to `import`",
        bytes if is_pack(bytes) => "is a pack: `import` reads packs",
        _ => "is no backup: give the file that `backup` wrote",
    };
    Some(format!("{shown} {what}"))
}

/// Whether the first line begins as `ACCOUNT|JWT`.
fn is_pack(bytes: &[u8]) -> bool {
    let key = bytes.split(|byte| *byte == b'|').next().unwrap_or_default();
    key.len() == 56 && key.first() == Some(&b'A') && bytes.get(57..60) == Some(b"eyJ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_called_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let pack = format!("A{}|eyJ0", "B".repeat(55));
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let table: [(&[u8], Option<&str>); 8] = [
            (b"", Some("is empty")),
            (&[0x1f, 0x8b, 8], Some("gzip")),
            (b"eyJ0eXAi.x.y", Some("is a JWT")),
            (pack.as_bytes(), Some("is a pack")),
            (&tar, Some("tar archive")),
            (b"{}", Some("is no backup")),
            (b"SQLite format 3\0 and pages", None),
            (b"SQLite format 3", Some("is no backup")),
        ];
        let file = folder.path().join("file");
        for (bytes, wanted) in table {
            std::fs::write(&file, bytes).unwrap();
            let said = what_it_is(&file);
            match wanted {
                Some(wanted) => assert!(said.as_ref().is_some_and(|said| said.contains(wanted)), "{bytes:?}: {said:?}"),
                None => assert_eq!(said, None),
            }
        }
        assert!(what_it_is(folder.path()).unwrap().contains("is a folder"));
        assert!(what_it_is(&folder.path().join("nope")).unwrap().contains("there is no file"));
    }
}
