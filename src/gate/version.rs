//! What the order of things depends on.

use super::Identity;
use crate::key::PublicKey;

/// Where in a primary's order of changes a version was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The session of the primary's journal.
    pub session: [u8; 16],
    /// The serial of the change.
    pub serial: u64,
}

/// What the order of a version depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// When it was issued, unix seconds.
    pub iat: i64,
    /// Which version it is.
    pub identity: Identity,
    /// Who signed it.
    pub issuer: PublicKey,
}

/// What the order of a deletion depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When the request was issued, unix seconds.
    pub iat: i64,
    /// Who signed it.
    pub issuer: PublicKey,
}
