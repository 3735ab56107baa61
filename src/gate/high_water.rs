//! The latest versions of an account's earlier signers.
//!
//! While the operator lists the head's signer, the head alone rejects older versions. When that signer is withdrawn,
//! replaced versions of other signers must still not come back. So every other key that ever signed for the account has
//! one mark. Nearly every account has none, because one key signed all its versions.

use super::Standing;
use crate::key::PublicKey;

/// The latest version of one key for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The key.
    pub issuer: PublicKey,
    /// The latest `iat` of its replaced versions. The key itself cannot go back before it.
    pub iat: i64,
    /// Up to which `iat` the mark rejects versions of other keys; earlier than `iat` if the key had been withdrawn by
    /// then.
    pub reach: i64,
}

/// One mark for each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    pub(super) const fn restore(marks: Vec<Mark>) -> Self {
        Self(marks)
    }

    pub(super) fn as_slice(&self) -> &[Mark] {
        &self.0
    }

    /// Notes that something of `issuer` was replaced.
    pub(super) fn note(&mut self, issuer: PublicKey, iat: i64, standing: &Standing) {
        let reach = standing.reach(&issuer, iat);
        match self.0.iter_mut().find(|mark| mark.issuer == issuer) {
            Some(mark) => (mark.iat, mark.reach) = (mark.iat.max(iat), mark.reach.max(reach)),
            None => self.0.push(Mark { issuer, iat, reach }),
        }
    }

    /// Makes the present limits permanent: a key that is listed again later does not reject what was signed while it
    /// was withdrawn.
    pub(super) fn settle(&mut self, standing: &Standing) {
        for mark in &mut self.0 {
            mark.reach = standing.reach(&mark.issuer, mark.reach);
        }
    }

    /// Up to which `iat`, that one included, nothing that `issuer` signed may come.
    pub(super) fn bar(&self, issuer: &PublicKey, standing: &Standing) -> Option<i64> {
        let reach = |mark: &Mark| {
            if mark.issuer == *issuer { mark.iat } else { standing.reach(&mark.issuer, mark.reach) }
        };
        self.0.iter().map(reach).max()
    }

    /// How far a key has come itself.
    pub(super) fn own(&self, issuer: &PublicKey) -> Option<i64> {
        self.0.iter().find(|mark| mark.issuer == *issuer).map(|mark| mark.iat)
    }
}
