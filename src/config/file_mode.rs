//! Who may read the files of tokens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The expected value, for people.
pub(super) const EXPECTED: &str = "a file mode such as \"0640\" in quotes: octal, at least 0600, not executable, not \
     writable by all users,";

/// A file mode: the owner can read and write, no user can execute, and not all users can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u32);

impl FileMode {
    /// The owner can write, the group can read.
    pub const DEFAULT: Self = Self(0o640);

    /// Reads three or four octal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal)?;
        (mode & 0o600 == 0o600 && mode & !0o664 == 0).then_some(Self(mode))
    }

    /// The bits, as the system takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl TryFrom<String> for FileMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not {EXPECTED}"))
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> Self {
        mode.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_leaves_its_owner_the_file_and_others_no_more_than_to_read() {
        for (text, bits) in [("0640", 0o640), ("640", 0o640), (" 0600 ", 0o600), ("0644", 0o644), ("664", 0o664)] {
            assert_eq!(FileMode::parse(text).map(FileMode::bits), Some(bits), "{text:?}");
        }
        for text in [
            "",
            "0",
            "40",
            "0400",
            "0440",
            "0755",
            "0666",
            "1640",
            "00640",
            "0o640",
            "rw-r-----",
            "416",
            "0648",
            "-640",
        ] {
            assert_eq!(FileMode::parse(text), None, "{text:?}");
        }
        assert_eq!(FileMode::DEFAULT.to_string(), "0640");
    }
}
