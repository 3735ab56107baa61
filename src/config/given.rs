//! A setting as it was given, before anything is made of it.

use config::{Value, ValueKind};

use super::error::ConfigError;
use super::schema::SettingKind;
use super::value::shown;
use crate::key::seed;

/// A value as somebody gave it.
#[derive(Clone, Debug)]
pub(super) struct GivenText {
    /// Its path in lower case, as in `http.port`.
    pub(super) path: String,
    /// Its name as it was written, for messages.
    pub(super) name: String,
    pub(super) value: Value,
}

impl GivenText {
    /// A text from a flag or the environment; `origin` says which.
    pub(super) fn text(path: &str, text: &str, origin: &str) -> Self {
        let value = Value::new(Some(&origin.to_owned()), text);
        Self { path: path.to_owned(), name: path.to_owned(), value }
    }

    /// Where it was given.
    pub(super) fn origin(&self) -> String {
        self.value.origin().unwrap_or("configuration").to_owned()
    }

    /// Whether there is a private key in it: then nothing is made of it, and it is not shown.
    pub(super) fn is_private(&self) -> bool {
        seed::is_in(&self.name) || has_private(&self.value.kind)
    }

    /// There is a private key in it.
    pub(super) fn private(&self) -> ConfigError {
        ConfigError::PrivateKey { key: seed::redact(&self.name).into_owned(), origin: self.origin() }
    }

    /// It is not what it should be.
    pub(super) fn error(&self, kind: Option<SettingKind>, expected: String) -> ConfigError {
        let (key, value) = (self.name.clone(), shown(kind, &self.value.kind));
        ConfigError::Value { key, value, origin: self.origin(), expected }
    }
}

fn has_private(value: &ValueKind) -> bool {
    match value {
        ValueKind::String(text) => seed::is_in(text),
        ValueKind::Array(values) => values.iter().any(|value| has_private(&value.kind)),
        ValueKind::Table(values) => values.iter().any(|(name, value)| seed::is_in(name) || has_private(&value.kind)),
        _ => false,
    }
}
