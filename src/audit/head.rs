//! The head: the last line that is known to be on disk, in a file of its own.
//!
//! It is written after the lines, and replaced as a whole. So it may be a few lines behind the log, and never ahead of it
//! unless the log was cut off.

use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::line::Link;
use crate::folder::private;

/// The version of the format.
const VERSION: u32 = 1;

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The last line.
    pub(super) last: Link,
    /// The session of the journal, and the serial of the last change that has a line.
    pub(super) position: ([u8; 16], u64),
    /// The inode of the file with that line: another one takes its place in a rotation.
    pub(super) inode: u64,
}

#[derive(Serialize, Deserialize)]
struct Form {
    version: u32,
    seq: u64,
    hash: String,
    session: String,
    serial: u64,
    inode: u64,
}

impl Head {
    /// Reads it. `Ok(None)`: there is none. The error says what is wrong with it.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let form: Form = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if form.version != VERSION {
            return Err(format!("it has the version {}, and this server knows {VERSION}", form.version));
        }
        let hash = HEXLOWER.decode(form.hash.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
        let session = HEXLOWER.decode(form.session.as_bytes()).ok().and_then(|session| session.try_into().ok());
        match (hash, session) {
            (Some(hash), Some(session)) => Ok(Some(Self {
                last: Link { seq: form.seq, hash },
                position: (session, form.serial),
                inode: form.inode,
            })),
            _ => Err("a hash in it is none".to_owned()),
        }
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let form = Form {
            version: VERSION,
            seq: self.last.seq,
            hash: HEXLOWER.encode(&self.last.hash),
            session: HEXLOWER.encode(&self.position.0),
            serial: self.position.1,
            inode: self.inode,
        };
        let making = path.with_extension("head.new");
        private::write(&making, &serde_json::to_vec(&form)?)?;
        std::fs::rename(&making, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.head");
        assert_eq!(Head::read(&path), Ok(None));
        let head = Head { last: Link { seq: 9, hash: [7; 32] }, position: ([3; 16], 12), inode: 5 };
        head.write(&path).unwrap();
        assert_eq!(Head::read(&path), Ok(Some(head)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        for text in ["", "{}", "[]", &std::fs::read_to_string(&path).unwrap().replace("\"version\":1", "\"version\":2")]
        {
            std::fs::write(&path, text).unwrap();
            assert!(Head::read(&path).is_err(), "{text}");
        }
    }
}
