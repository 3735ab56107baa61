//! Which keys the operator lists now, and since when it no longer lists others.
//!
//! A JWT whose signer is not listed is *withheld*: stored, but not served. It must not reject what is signed after the
//! withdrawal, whatever `iat` it claims. Otherwise a thief with a signing key could block an account forever with one
//! JWT from the future.

use std::collections::HashMap;
use std::sync::Arc;

use super::{OperatorChain, Trust};
use crate::key::{PublicKey, Signers};

/// The operator JWTs in force, and when each key that the last of them no longer lists was withdrawn.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    chain: Option<Arc<OperatorChain>>,
    /// The keys that are vouched for, sorted. `None`: without an operator every key is as good as another.
    keys: Option<Vec<PublicKey>>,
    /// The same keys, with what makes it fast to check their signatures.
    signers: Arc<Signers>,
    /// `iat` of the operator JWT in force.
    iat: i64,
    /// `iat` of the operator JWT that left a key out.
    withdrawn: HashMap<PublicKey, i64>,
}

impl Standing {
    /// The standing under this chain of operator JWTs. These keys were withdrawn before, each with the `iat` of the
    /// operator JWT that omitted it.
    pub fn restore(chain: Option<Arc<OperatorChain>>, withdrawn: HashMap<PublicKey, i64>) -> Self {
        let keys = chain.as_ref().map(|chain| chain.in_force().keys().to_vec());
        let signers = Arc::new(Signers::new(keys.as_deref().unwrap_or_default()));
        let iat = chain.as_ref().map_or(0, |chain| chain.in_force().iat());
        Self { chain, keys, signers, iat, withdrawn }
    }

    /// The standing after another chain replaces this one.
    pub fn after(&self, chain: Arc<OperatorChain>) -> Self {
        let (keys, iat) = (chain.in_force().keys().to_vec(), chain.in_force().iat());
        Self { chain: Some(chain), ..self.with_keys(keys, iat) }
    }

    /// The standing after an operator JWT of this `iat` lists these keys.
    pub(super) fn with_keys(&self, mut keys: Vec<PublicKey>, iat: i64) -> Self {
        keys.sort_unstable();
        let mut withdrawn = self.withdrawn.clone();
        for key in self.keys.iter().flatten() {
            withdrawn.entry(*key).or_insert(iat);
        }
        withdrawn.retain(|key, _| keys.binary_search(key).is_err());
        let signers = Arc::new(Signers::new(&keys));
        Self { chain: self.chain.clone(), keys: Some(keys), signers, iat, withdrawn }
    }

    /// The operator JWT in force.
    pub fn trust(&self) -> Option<&Arc<Trust>> {
        self.chain.as_ref().map(|chain| chain.in_force())
    }

    /// The operator JWTs in force.
    pub const fn chain(&self) -> Option<&Arc<OperatorChain>> {
        self.chain.as_ref()
    }

    /// Whether what this key signed may be served.
    pub fn vouches(&self, issuer: &PublicKey) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.binary_search(issuer).is_ok())
    }

    /// The keys that are vouched for, to check what they signed. None without an operator.
    pub(super) fn signers(&self) -> &Signers {
        &self.signers
    }

    /// The last `iat` of other versions that a version of `issuer` with this `iat` rejects.
    ///
    /// For a listed key, this is its own `iat`. For a withdrawn key, it is at most the `iat` of the operator JWT that
    /// withdrew it, or of the one in force if that is unknown.
    pub fn reach(&self, issuer: &PublicKey, iat: i64) -> i64 {
        if self.vouches(issuer) {
            return iat;
        }
        let withdrawn = self.withdrawn.get(issuer).copied().unwrap_or(self.iat);
        if iat > withdrawn { withdrawn.saturating_sub(1) } else { iat }
    }

    /// When the operator JWT in force was issued, unix seconds.
    #[cfg(test)]
    pub(super) const fn issued(&self) -> i64 {
        self.iat
    }

    /// The keys that were withdrawn, each with the `iat` of the operator JWT that left it out.
    pub fn withdrawn(&self) -> impl Iterator<Item = (&PublicKey, i64)> {
        self.withdrawn.iter().map(|(key, at)| (key, *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Kind;

    fn key(n: u8) -> PublicKey {
        PublicKey::from_raw(Kind::Operator, [n; 32])
    }

    #[test]
    fn a_withdrawn_key_reaches_to_the_first_operator_jwt_that_left_it_out() {
        let first = Standing::default().with_keys(vec![key(2), key(1)], 100);
        assert!(first.vouches(&key(1)) && first.vouches(&key(2)) && !first.vouches(&key(3)));
        assert_eq!(first.reach(&key(1), 900), 900);
        assert_eq!(first.reach(&key(3), 900), 99, "never seen: as if withdrawn by the operator JWT in force");
        let second = first.with_keys(vec![key(1)], 200).with_keys(vec![key(1)], 300);
        assert!(!second.vouches(&key(2)));
        for (iat, reach) in [(150, 150), (200, 200), (201, 199), (i64::MAX, 199)] {
            assert_eq!(second.reach(&key(2), iat), reach, "{iat}");
        }
        let third = second.with_keys(vec![key(2)], 400);
        assert_eq!(third.reach(&key(2), 900), 900, "listed again");
        assert_eq!(third.withdrawn().collect::<Vec<_>>(), [(&key(1), 400)]);
    }

    #[test]
    fn without_an_operator_every_key_counts() {
        assert!(Standing::default().vouches(&key(1)));
        assert_eq!(Standing::default().reach(&key(1), 900), 900);
    }
}
