//! Reading a text file of unknown content.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _};
use std::path::Path;

/// The longest text of a configuration, in bytes, with what it includes: far above any that people write.
pub(super) const MAX_TEXT: u64 = 16 * 1024 * 1024;

/// Reads a text of at most `longest` bytes. What is not UTF-8 is named by its line.
///
/// It may be a pipe, as of `-c <(...)`, so its length is not known beforehand.
pub(super) fn read(path: &Path, longest: u64) -> Result<String, Error> {
    let mut bytes = Vec::new();
    File::open(path)?.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        let problem = format!("a configuration has at most {MAX_TEXT} bytes, includes counted: is it the right file?");
        return Err(Error::new(ErrorKind::FileTooLarge, problem));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        let problem = format!("line {line} is not UTF-8 text: save it as UTF-8, or is it the right file?");
        Error::new(ErrorKind::InvalidData, problem)
    })
}
