//! New hashes and tokens, for people who write settings.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, SaltString};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};

/// The cost of a new bcrypt hash.
const BCRYPT: u32 = 10;

/// How a password is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordKind {
    /// argon2id, with 19 MiB of memory and 2 iterations.
    Argon2id,
    /// bcrypt, with a cost of 10.
    Bcrypt,
}

/// The hash of a password, as settings take it. The error is a fault of this program, or says that bcrypt cannot hash so long
/// a password.
pub fn hash_password(password: &[u8], kind: PasswordKind) -> Result<String, String> {
    let salt: [u8; 16] = rand::random();
    match kind {
        PasswordKind::Argon2id => {
            let salt = SaltString::encode_b64(&salt).map_err(|error| format!("cannot make a salt: {error}"))?;
            let hash = Argon2::default().hash_password(password, &salt);
            Ok(hash.map_err(|error| format!("cannot hash the password: {error}"))?.to_string())
        }
        // It would ignore the rest.
        PasswordKind::Bcrypt => {
            bcrypt::non_truncating_hash_with_salt(password, BCRYPT, salt).map(|hash| hash.to_string()).map_err(|_| {
                "bcrypt takes at most 71 bytes and no zero byte: leave out --bcrypt, or take a shorter password"
                    .to_owned()
            })
        }
    }
}

/// A new token, and what settings know it by.
#[derive(Clone)]
pub struct Made {
    /// The token: 43 characters that a header and a URL can carry.
    pub token: String,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Made(***)")
    }
}

/// Makes a token of 256 random bits.
pub fn make_token() -> Made {
    let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
    let sha256 = HEXLOWER.encode(&Sha256::digest(token.as_bytes()));
    Made { token, sha256 }
}
