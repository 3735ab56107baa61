//! The JSON form of what a replica has newer than its primary.

use serde::{Deserialize, Serialize};

/// A piece of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AheadPage {
    /// The primary's URL, as the replica knows it, without credentials.
    pub primary: String,
    /// In the order of their raw keys.
    pub accounts: Vec<Ahead>,
    /// The next `after`; absent in the last piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An account that is newer there. With neither of the texts, what makes it newer is not there any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ahead {
    /// The account.
    pub key: String,
    /// Its JWT, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// The operator-signed request that deleted it, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}
