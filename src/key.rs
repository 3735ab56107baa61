//! Public nkeys: the signers and the subjects of tokens.
//!
//! A public nkey is a prefix byte (its [`Kind`]), a 32-byte Ed25519 key and a checksum, written as 56 characters of
//! base32. This program accepts only that one spelling. The Go library also accepts line breaks, trailing characters
//! and short keys in places. Such a text would be a second name for the same account.
//!
//! ```
//! use nats_account_server::key::{AccountKey, Kind, PublicKey};
//!
//! let text = nkeys::KeyPair::new_account().public_key();
//! let key = AccountKey::parse(&text).expect("a public account key");
//! assert_eq!(key.to_string(), text);
//! assert_eq!(PublicKey::parse(&text).expect("a public key").kind(), Kind::Account);
//! assert!(AccountKey::parse(&text.to_lowercase()).is_err(), "there is one spelling");
//! ```

pub mod seed;
mod signers;

use std::fmt;
use std::hash::{Hash, Hasher};

pub use signers::Signers;

/// Length of every public nkey, in characters.
pub const TEXT_LEN: usize = 56;

/// The kind of a key's owner. The letter is the first character of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `A`: an account.
    Account,
    /// `C`: a cluster.
    Cluster,
    /// `N`: a nats-server.
    Server,
    /// `O`: an operator, its identity or a signing key of it.
    Operator,
    /// `U`: a user.
    User,
    /// `X`: a curve key, for encryption only.
    Curve,
}

impl Kind {
    const fn from_prefix(byte: u8) -> Option<Self> {
        match byte {
            0x00 => Some(Self::Account),
            0x10 => Some(Self::Cluster),
            0x68 => Some(Self::Server),
            0x70 => Some(Self::Operator),
            0xA0 => Some(Self::User),
            0xB8 => Some(Self::Curve),
            _ => None,
        }
    }

    const fn prefix(self) -> u8 {
        match self {
            Self::Account => 0x00,
            Self::Cluster => 0x10,
            Self::Server => 0x68,
            Self::Operator => 0x70,
            Self::User => 0xA0,
            Self::Curve => 0xB8,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Cluster => "cluster",
            Self::Server => "server",
            Self::Operator => "operator",
            Self::User => "user",
            Self::Curve => "curve",
        })
    }
}

/// Why a text is not a public nkey of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the one 56-character spelling with a correct checksum.
    #[error("not a public nkey: 56 upper-case base32 characters with a valid checksum are expected")]
    Malformed,
    /// A well-formed key, but of another kind.
    #[error("a public {found} key where a public {wanted} key is expected")]
    WrongKind {
        /// The kind that the caller needs.
        wanted: Kind,
        /// The kind that the text is.
        found: Kind,
    },
}

/// A public nkey of any kind, parsed from its canonical text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    kind: Kind,
    raw: [u8; 32],
}

impl PublicKey {
    /// Parses the canonical 56-character text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        // Every request for an account comes through here, so nothing is allocated: nkeys' own parser, which a test
        // compares this with, takes more than twice the time.
        let mut bytes = [0u8; 35];
        if text.len() != TEXT_LEN {
            return Err(KeyError::Malformed);
        }
        data_encoding::BASE32_NOPAD.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| KeyError::Malformed)?;
        let [prefix, raw @ .., low, high] = bytes;
        if crc16_xmodem(&bytes[..33]) != u16::from_le_bytes([low, high]) {
            return Err(KeyError::Malformed);
        }
        let kind = Kind::from_prefix(prefix).ok_or(KeyError::Malformed)?;
        Ok(Self { kind, raw })
    }

    /// Parses a text that must be a key of one kind.
    pub fn parse_kind(text: &str, wanted: Kind) -> Result<Self, KeyError> {
        let key = Self::parse(text)?;
        if key.kind == wanted { Ok(key) } else { Err(KeyError::WrongKind { wanted, found: key.kind }) }
    }

    /// A key from its kind and 32 raw bytes.
    pub const fn from_raw(kind: Kind, raw: [u8; 32]) -> Self {
        Self { kind, raw }
    }

    /// The kind of the key's owner.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The 32 bytes without prefix and checksum.
    pub const fn raw(&self) -> &[u8; 32] {
        &self.raw
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        let mut bytes = [0u8; 35];
        bytes[0] = self.kind.prefix();
        bytes[1..33].copy_from_slice(&self.raw);
        let crc = crc16_xmodem(&bytes[..33]);
        bytes[33..].copy_from_slice(&crc.to_le_bytes());
        data_encoding::BASE32_NOPAD.encode(&bytes)
    }

    /// Whether this key signed `message`.
    ///
    /// Cofactorless Ed25519 with `S < L` enforced, as Go's `crypto/ed25519` decides. Costs about 50 µs.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        nkeys::KeyPair::from_public_key(&self.text()).is_ok_and(|pair| pair.verify(message, signature).is_ok())
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The raw bytes are uniformly random; the kind adds nothing to the spread.
        self.raw.hash(state);
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A public account key: the name of everything that this server hosts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey([u8; 32]);

impl AccountKey {
    /// Parses the canonical 56-character text of an account key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        PublicKey::parse_kind(text, Kind::Account).map(|key| Self(key.raw))
    }

    /// An account key from its 32 raw bytes.
    pub const fn from_raw(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The 32 bytes without prefix and checksum.
    pub const fn raw(&self) -> &[u8; 32] {
        &self.0
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        PublicKey::from_raw(Kind::Account, self.0).text()
    }
}

impl From<AccountKey> for PublicKey {
    fn from(key: AccountKey) -> Self {
        Self::from_raw(Kind::Account, key.0)
    }
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// CRC-16/XMODEM, the checksum inside every nkey. The nkeys crate keeps its own private.
///
/// Eight bytes at a time: their contributions are looked up independently of each other.
fn crc16_xmodem(bytes: &[u8]) -> u16 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let crc = chunks.iter().fold(0u16, |crc, chunk| {
        let [high, low] = crc.to_be_bytes();
        let [b0, b1, tail @ ..] = *chunk;
        let head = CRC[7][usize::from(high ^ b0)] ^ CRC[6][usize::from(low ^ b1)];
        tail.iter().zip(CRC[..6].iter().rev()).fold(head, |crc, (&byte, table)| crc ^ table[usize::from(byte)])
    });
    rest.iter().fold(crc, |crc, &byte| (crc << 8) ^ CRC[0][usize::from((crc >> 8) as u8 ^ byte)])
}

/// The checksum of each byte, polynomial 0x1021, followed by this number of zero bytes.
const CRC: [[u16; 256]; 8] = {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut zeros = 0;
        while zeros < 8 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
                bit += 1;
            }
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_it_was_read() {
        for pair in [nkeys::KeyPair::new_account(), nkeys::KeyPair::new_operator(), nkeys::KeyPair::new_user()] {
            let text = pair.public_key();
            assert_eq!(PublicKey::parse(&text).expect("own key").text(), text);
        }
    }

    #[test]
    fn only_the_canonical_spelling_is_a_key() {
        let text = nkeys::KeyPair::new_account().public_key();
        let mut flipped = text.clone().into_bytes();
        flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).expect("ascii");
        for bad in [
            String::new(),
            "AAAAAAA".to_owned(),
            text.to_lowercase(),
            format!("{text}\n"),
            format!("{text}A"),
            text[..55].to_owned(),
            flipped,
            "é".repeat(28),
        ] {
            assert_eq!(AccountKey::parse(&bad), Err(KeyError::Malformed), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn texts_are_keys_where_the_nkeys_crate_says_so(raw: [u8; 32], prefix: u8, at in 0usize..60, with in "[A-Z2-7a\n=]?") {
            let mut bytes = [&[prefix][..], &raw].concat();
            let crc = crc16_xmodem(&bytes);
            bytes.extend(crc.to_le_bytes());
            let mut text = data_encoding::BASE32_NOPAD.encode(&bytes);
            if at < text.len() {
                text.replace_range(at..=at, &with);
            }
            let expected = nkeys::from_public_key(&text).ok().and_then(|(prefix, raw)| Some((Kind::from_prefix(prefix)?, raw)));
            let found = PublicKey::parse(&text).ok().map(|key| (key.kind, key.raw));
            proptest::prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_key_of_another_kind_is_named() {
        let text = nkeys::KeyPair::new_user().public_key();
        let error = AccountKey::parse(&text).expect_err("a user key");
        assert_eq!(error.to_string(), "a public user key where a public account key is expected");
    }

    #[test]
    fn a_signature_is_checked() {
        let pair = nkeys::KeyPair::new_operator();
        let key = PublicKey::parse(&pair.public_key()).expect("own key");
        let signature = pair.sign(b"text").expect("has a seed");
        assert!(key.verify(b"text", &signature));
        assert!(!key.verify(b"other", &signature));
        assert!(!key.verify(b"text", &signature[..63]));
    }
}
