//! The name under which an activation token is found.

use std::fmt;

use data_encoding::{BASE32, BASE32_NOPAD};
use sha2::{Digest, Sha256};

/// The claims lack what a hash id is made of. The text is the library's, slip included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not enough data in the activaion claims to create a hash")]
pub struct NoHashId;

/// The padding of a hash id.
const PADDING: &str = "====";

/// The hash id of an activation: which one it is, in URLs, files and the feed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashId([u8; 32]);

impl HashId {
    /// The hash id of an activation with these claims.
    ///
    /// `iss` is the key that signed, even if it is a signing key; `sub` is the importing account; `subject` is the
    /// imported subject. Subjects that are equal up to their first wildcard have the same id.
    pub fn of(iss: &str, sub: &str, subject: &str) -> Result<Self, NoHashId> {
        if iss.is_empty() || sub.is_empty() || subject.is_empty() {
            return Err(NoHashId);
        }
        let mut digest = Sha256::new();
        for part in [iss, ".", sub, ".", literal_part(subject)] {
            digest.update(part);
        }
        Ok(Self(digest.finalize().into()))
    }

    /// Parses the text, with its padding or without it: some clients drop or escape the equals signs.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix(PADDING).unwrap_or(text);
        BASE32_NOPAD.decode(digits.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// A hash id from its 32 bytes.
    pub const fn from_raw(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The 32 bytes.
    pub const fn raw(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text: 56 characters that end in `====`.
    pub fn text(&self) -> String {
        BASE32.encode(&self.0)
    }
}

impl fmt::Display for HashId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for HashId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The hash id of an activation as text. See [`HashId::of`].
pub fn activation_hash_id(iss: &str, sub: &str, subject: &str) -> Result<String, NoHashId> {
    HashId::of(iss, sub, subject).map(|id| id.text())
}

/// The subject up to its first wildcard token; `_` if that is the first one.
fn literal_part(subject: &str) -> &str {
    let mut end = 0;
    for token in subject.split('.') {
        if matches!(token, "*" | ">") {
            return match end {
                0 => "_",
                // An empty first token before the wildcard leaves nothing, and then all of it counts.
                1 => subject,
                _ => &subject[..end - 1],
            };
        }
        end += token.len() + 1;
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_with_its_padding_or_without_and_in_one_spelling() {
        let id = HashId::of("I", "S", "foo").expect("enough");
        let text = "D3BU7BVWHVTDDA4RFUOPRZIVYH3XQVQM53XIRY77J3GDCSPI77MQ====";
        assert_eq!(id.text(), text);
        assert_eq!(HashId::parse(text), Some(id));
        assert_eq!(HashId::parse(&text[..52]), Some(id));
        let stray = format!("{}R", &text[..51]);
        for bad in ["", "====", &text[..51], &text[..54], &text.to_lowercase(), &stray, &format!("{text}="), "../x"] {
            assert_eq!(HashId::parse(bad), None, "{bad}");
        }
    }
}
