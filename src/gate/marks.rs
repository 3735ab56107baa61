//! What an account's earlier signers reached.
//!
//! The head alone says how far an account has come as long as its signer is vouched for. When that signer is withdrawn,
//! what others had signed before must still not come back; so of every other key that ever signed something for the
//! account one mark is kept. Nearly every account has none: it was always signed by the same key.

use super::Standing;
use crate::key::PublicKey;

/// How far one key has come with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The key.
    pub issuer: PublicKey,
    /// The latest `iat` of what it signed and was replaced. It does not get back behind that itself.
    pub iat: i64,
    /// How far that stands in the way of other keys; earlier than `iat` if the key had been withdrawn by then.
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

    /// Makes lasting what holds now: a key that is listed again later does not stand in the way of what was signed while
    /// it was not.
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
