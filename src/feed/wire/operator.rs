//! The JSON form of the operator JWTs in force, as `GET /jwt/v1/operator?chain=true` answers.

use serde::{Deserialize, Serialize};

use crate::gate::OperatorChain;

/// The version of the form.
const FORMAT: u32 = 2;

/// The operator JWTs in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperatorPage {
    /// The version of this form: 2.
    pub format: u32,
    /// The operator's identity key.
    pub key: String,
    /// Why the first link is trusted: `identity`, `configured` or `trusted`. A follower ignores it.
    pub origin: String,
    /// The operator JWTs, oldest first; the last one is in force.
    pub links: Vec<String>,
}

impl OperatorPage {
    /// The JSON form of a chain.
    pub fn of(chain: &OperatorChain) -> Self {
        Self {
            format: FORMAT,
            key: chain.anchor().identity().text(),
            origin: chain.origin().label().to_owned(),
            links: texts(chain),
        }
    }
}

pub(super) fn texts(chain: &OperatorChain) -> Vec<String> {
    chain.links().map(|link| link.text().to_owned()).collect()
}
