//! The rule for operator JWTs: a table for each part of it, and what a thief of signing keys cannot do.

mod fleet;
mod rules;

use std::sync::Arc;

use nkeys::KeyPair;
use serde_json::json;

use super::{OperatorChain, Trust};
use crate::testkit;

/// The time at which tests happen, unix seconds.
const NOW: i64 = 1_800_000_000;
/// How far `iat` may be ahead of that, in seconds.
const AHEAD: i64 = 3_600;

/// An operator: its identity key, and keys that can be its signing keys.
struct OperatorCast {
    identity: KeyPair,
    keys: Vec<KeyPair>,
}

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignedBy {
    Identity,
    Key(usize),
}

impl OperatorCast {
    fn new(keys: usize) -> Self {
        let keys = std::iter::repeat_with(KeyPair::new_operator).take(keys).collect();
        Self { identity: KeyPair::new_operator(), keys }
    }

    /// The operator's JWT with these signing keys. `name` tells apart what is signed in the same second.
    fn jwt(&self, listed: &[usize], iat: i64, by: SignedBy, name: &str) -> Arc<Trust> {
        let listed: Vec<_> = listed.iter().map(|key| &self.keys[*key]).collect();
        let claims = testkit::operator(&self.identity, iat, &listed);
        let claims = testkit::with(claims, json!({ "name": name, "nats": { "strict_signing_key_usage": true } }));
        let signer = match by {
            SignedBy::Identity => &self.identity,
            SignedBy::Key(key) => &self.keys[key],
        };
        let jwt = testkit::sign(&claims, signer);
        Arc::new(Trust::from_operator_jwt(&jwt, NOW).expect("an operator"))
    }
}

/// A chain of links that are right.
fn chain(links: impl IntoIterator<Item = Arc<Trust>>) -> OperatorChain {
    let mut links = links.into_iter();
    let first = OperatorChain::begin(links.next().expect("a link"));
    links.fold(first, |chain, link| chain.with(link))
}
