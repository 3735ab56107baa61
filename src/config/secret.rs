//! Settings that nobody may read.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret text. Debug output does not show it; [`super::Settings::dump`] covers it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What stands in a secret's place where settings are shown.
    pub(super) fn covered() -> Self {
        Self("***".to_owned())
    }

    /// The secret itself, for whoever it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
