//! Secret settings.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret text. Debug output does not show it; [`super::Settings::dump`] covers it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The replacement of a secret where settings are shown.
    pub(super) fn covered() -> Self {
        Self("***".to_owned())
    }

    /// The secret itself.
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
