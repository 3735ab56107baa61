//! The name under which an activation token is found.

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

/// The claims lack what a hash id is made of. The text is the library's, slip included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not enough data in the activaion claims to create a hash")]
pub struct NoHashId;

/// The hash id of an activation: 56 characters that end in `====`.
///
/// `iss` is the key that signed, also if it is a signing key; `sub` the importing account; `subject` what is imported.
/// Subjects that agree up to their first wildcard have the same id.
pub fn activation_hash_id(iss: &str, sub: &str, subject: &str) -> Result<String, NoHashId> {
    if iss.is_empty() || sub.is_empty() || subject.is_empty() {
        return Err(NoHashId);
    }
    let mut digest = Sha256::new();
    for part in [iss, ".", sub, ".", literal_part(subject)] {
        digest.update(part);
    }
    Ok(BASE32.encode(&digest.finalize()))
}

/// The 32 bytes of a hash id, if `text` is one as [`activation_hash_id`] writes it.
pub fn parse_hash_id(text: &str) -> Option<[u8; 32]> {
    BASE32.decode(text.as_bytes()).ok()?.try_into().ok()
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
