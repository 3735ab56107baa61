//! A place in the tree below its root.

use crate::excerpt::excerpt;
use crate::feed::Subject;

/// The first byte or the first two bytes of raw keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// One byte, two hexadecimal digits: 256 buckets.
    Node(u8),
    /// Two bytes, four hexadecimal digits: one bucket.
    Bucket(u16),
}

/// The text is not a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is the first two or four hexadecimal digits of raw keys, not {:?}", excerpt(.0))]
pub struct PrefixError(String);

impl Prefix {
    /// Parses two or four hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        match data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).as_deref() {
            Ok([node]) => Ok(Self::Node(*node)),
            Ok([high, low]) => Ok(Self::Bucket(u16::from_be_bytes([*high, *low]))),
            // A long text is not repeated.
            _ => Err(PrefixError(text.chars().take(20).collect())),
        }
    }

    /// Whether a key is under it.
    pub const fn contains(&self, key: &Subject) -> bool {
        self.covers(key.bucket())
    }

    /// Whether the keys of a bucket are under it.
    pub(super) const fn covers(&self, bucket: u16) -> bool {
        match self {
            Self::Node(node) => *node == bucket.to_be_bytes()[0],
            Self::Bucket(own) => *own == bucket,
        }
    }

    /// The bytes with which the raw keys under it begin.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Node(node) => vec![*node],
            Self::Bucket(bucket) => bucket.to_be_bytes().to_vec(),
        }
    }
}
