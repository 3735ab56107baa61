//! The facts that order versions and deletions.

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

/// The facts that order a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// When it was issued, unix seconds.
    pub iat: i64,
    /// Which version it is.
    pub identity: Identity,
    /// Its signer.
    pub issuer: PublicKey,
}

/// The facts that order a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When the request was issued, unix seconds.
    pub iat: i64,
    /// Its signer.
    pub issuer: PublicKey,
}
