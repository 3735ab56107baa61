//! Cursors: where the next page of a list begins. Clients pass them back as they are.

use data_encoding::BASE64URL_NOPAD;

/// What a list is of. A cursor of another list is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// Accounts, by their keys.
    Accounts,
    /// Versions, by their identities.
    Versions,
    /// Activations, by their hashes.
    Activations,
    /// Lines of the audit log, by their places in its file.
    Audit,
}

impl Cursor {
    const fn tag(self) -> u8 {
        match self {
            Self::Accounts => b'a',
            Self::Versions => b'v',
            Self::Activations => b't',
            Self::Audit => b'l',
        }
    }

    /// The cursor after an item.
    pub(crate) fn after(self, item: &[u8; 32]) -> String {
        let mut bytes = [self.tag(); 33];
        bytes[1..].copy_from_slice(item);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The item of a cursor. `None`: it is malformed.
    pub(crate) fn item(self, text: &str) -> Option<[u8; 32]> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (tag, item) = bytes.split_first()?;
        item.try_into().ok().filter(|_| *tag == self.tag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_what_it_was_made_of_and_nothing_else_does() {
        for item in [[0; 32], [0xff; 32], [7; 32]] {
            let text = Cursor::Accounts.after(&item);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{text}");
            assert_eq!(Cursor::Accounts.item(&text), Some(item));
            assert_eq!((Cursor::Versions.item(&text), Cursor::Activations.item(&text)), (None, None));
            for wrong in [&text[1..], &text[..text.len() - 1], &format!("{text}A"), &format!("{text}="), ""] {
                assert_eq!(Cursor::Accounts.item(wrong), None, "{wrong}");
            }
        }
    }
}
