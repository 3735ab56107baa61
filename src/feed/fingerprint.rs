//! A few bytes for each key that exists, by which a follower tells whether a key may exist.
//!
//! Specified in `docs/replication.md`. It is part of a SHA-256, so no client can invent a key with the
//! fingerprint of another.

use sha2::{Digest as _, Sha256};

use super::Subject;

/// The first 8 bytes of the SHA-256 of a kind's byte and the 32 bytes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Bytes that one has on the wire.
    pub const BYTES: usize = 8;
    /// Keys that a list of them has at most: 32 MiB.
    pub const MOST: usize = 4 << 20;

    /// That of a key.
    pub fn of(key: &Subject) -> Self {
        let [a, b, c, d, e, f, g, h, ..] =
            <[u8; 32]>::from(Sha256::new().chain_update([key.kind().code()]).chain_update(key.raw()).finalize());
        Self::read([a, b, c, d, e, f, g, h])
    }

    /// As it is sent, big endian.
    pub const fn bytes(self) -> [u8; Self::BYTES] {
        self.0.to_be_bytes()
    }

    /// One that was sent.
    pub const fn read(bytes: [u8; Self::BYTES]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::HashId;
    use crate::key::AccountKey;

    #[test]
    fn it_is_what_the_specification_says() {
        let raw = [7; 32];
        let account = Fingerprint::of(&Subject::Account(AccountKey::from_raw(raw)));
        // printf '\001' and 32 times '\007' through sha256sum.
        assert_eq!(data_encoding::HEXLOWER.encode(&account.bytes()), EXPECTED);
        assert_eq!(Fingerprint::read(account.bytes()), account);
        assert_ne!(Fingerprint::of(&Subject::Activation(HashId::from_raw(raw))), account);
    }

    const EXPECTED: &str = "d3907c0247e7e98b";
}
