//! The stored form of [`Mark`]s: what other keys reached.

use crate::gate::Mark;
use crate::key::{Kind, PublicKey};

/// Bytes of a mark: the key, its `iat`, its reach.
const MARK: usize = 48;

/// Writes marks one after another.
pub(super) fn write(marks: &[Mark]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(marks.len() * MARK);
    for mark in marks {
        bytes.extend_from_slice(mark.issuer.raw());
        bytes.extend_from_slice(&mark.iat.to_be_bytes());
        bytes.extend_from_slice(&mark.reach.to_be_bytes());
    }
    bytes
}

/// Reads what [`write()`] wrote.
pub(crate) fn read(bytes: &[u8]) -> Vec<Mark> {
    bytes.as_chunks::<MARK>().0.iter().map(read_mark).collect()
}

fn read_mark(bytes: &[u8; MARK]) -> Mark {
    let (key, times) = bytes.split_at(32);
    let mut raw = [0; 32];
    raw.copy_from_slice(key);
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte)).cast_signed();
    Mark { issuer: PublicKey::from_raw(Kind::Operator, raw), iat: number(&times[..8]), reach: number(&times[8..]) }
}
