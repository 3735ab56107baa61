//! An account's signing keys, plain ones and ones with a scope.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::error::DecodeError;
use super::super::json::Value;
use super::super::quote::quote;
use super::super::read::{Faults, FromJson, members};
use super::UserTemplate;

/// Signing keys by their text; a scoped one has its scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningKeys(BTreeMap<String, Option<UserScope>>);

impl SigningKeys {
    pub(super) fn from_plain(keys: Vec<String>) -> Self {
        Self(keys.into_iter().map(|key| (key, None)).collect())
    }

    /// Whether `key` is one of them, scoped or not.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The scope of `key`, if it is one of them and has one.
    pub fn scope(&self, key: &str) -> Option<&UserScope> {
        self.0.get(key)?.as_ref()
    }

    /// The keys in the order of their texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&UserScope>)> {
        self.0.iter().map(|(key, scope)| (key.as_str(), scope.as_ref()))
    }
}

/// Permissions of users that a scoped signing key issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserScope {
    /// The signing key.
    pub key: String,
    /// A name for people.
    pub role: String,
    /// A description, for people.
    pub description: String,
    /// The permissions and limits of the users.
    pub template: UserTemplate,
    kind: ScopeKind,
}

impl Default for UserScope {
    fn default() -> Self {
        Self {
            key: String::new(),
            role: String::new(),
            description: String::new(),
            template: UserTemplate { subs: -1, data: -1, payload: -1, ..UserTemplate::default() },
            kind: ScopeKind,
        }
    }
}

members!(UserScope {
    "kind" => kind,
    "key" => key,
    "role" => role,
    "template" => template,
    "description" => description,
});

/// There is one kind of scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ScopeKind;

impl FromJson for ScopeKind {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        match value {
            Value::String(text) if text == "user_scope" => (),
            Value::String(_) | Value::Null => faults.abort(DecodeError::ScopeKind),
            other => {
                let error = faults.describe(other, "string");
                faults.abort(error);
            }
        }
    }
}

impl FromJson for SigningKeys {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        let items = match value {
            Value::Null => return,
            Value::Array(items) => items,
            other => {
                let error = faults.describe(other, "list");
                return faults.abort(error);
            }
        };
        // The library reads the whole list as loose JSON before it looks at any key.
        let Some(items) = items.iter().map(through_float).collect::<Option<Vec<_>>>() else {
            let error = faults.describe(value, "float64");
            return faults.abort(error);
        };
        for item in &items {
            match item {
                Value::String(key) => {
                    self.0.insert(key.to_string(), None);
                }
                Value::Object(members) => match read_scope(item, members) {
                    Ok(scope) => {
                        self.0.insert(scope.key.clone(), Some(scope));
                    }
                    Err(error) => return faults.abort(error),
                },
                // Passed over by the library, whatever it is.
                _ => (),
            }
        }
    }
}

fn read_scope(item: &Value<'_>, members: &[(Cow<'_, str>, Value<'_>)]) -> Result<UserScope, DecodeError> {
    let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    match member("kind") {
        Some(Value::String(kind)) if kind == "user_scope" => super::super::read::read(item),
        // It prints a different member from the unknown one.
        _ => Err(DecodeError::Scope(print(member("type")))),
    }
}

/// Go's `%q` of a loose JSON value.
fn print(value: Option<&Value<'_>>) -> String {
    match value {
        None | Some(Value::Null) => "%!q(<nil>)".to_owned(),
        Some(Value::Bool(set)) => format!("%!q(bool={set})"),
        Some(Value::Number(number)) => format!("%!q(float64={number})"),
        Some(Value::String(text)) => quote(text),
        Some(Value::Array(items)) => {
            format!("[{}]", items.iter().map(|item| print(Some(item))).collect::<Vec<_>>().join(" "))
        }
        Some(Value::Object(members)) => {
            let sorted: BTreeMap<_, _> = members.iter().map(|(name, value)| (name, value)).collect();
            let members = sorted.into_iter().map(|(name, value)| format!("{}:{}", quote(name), print(Some(value))));
            format!("map[{}]", members.collect::<Vec<_>>().join(" "))
        }
    }
}

/// The value as the library sees it in a scope. Of equal names only the last member remains, members are ordered by
/// name, and numbers pass through a 64-bit float: `1e3` becomes an integer, and some large integers change. None if a
/// number is too large for a float.
fn through_float<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    Some(match value {
        Value::Number(text) => {
            let number: f64 = text.parse().ok()?;
            if !number.is_finite() {
                return None;
            }
            Value::Number(Cow::Owned(number.to_string()))
        }
        Value::Array(items) => Value::Array(items.iter().map(through_float).collect::<Option<_>>()?),
        Value::Object(members) => {
            let mut last = BTreeMap::new();
            for (name, value) in members {
                last.insert(name.clone(), through_float(value)?);
            }
            Value::Object(last.into_iter().collect())
        }
        other => other.clone(),
    })
}
