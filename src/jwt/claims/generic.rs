//! Claims of no particular kind. nsc sends deletion requests as such.

use serde_json::{Map, Number, Value as Json};

use super::super::error::DecodeError;
use super::super::json::Value;
use super::super::read::{Faults, FromJson};

/// The body of a generic token: any JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generic {
    /// The raw members; none if the body was absent or `null`.
    pub data: Option<Map<String, Json>>,
}

impl Generic {
    /// The accounts that a deletion request names: the texts of the list `accounts`. None if there is no such list, or
    /// if it contains anything but texts.
    pub fn accounts(&self) -> Option<Vec<&str>> {
        self.data.as_ref()?.get("accounts")?.as_array()?.iter().map(Json::as_str).collect()
    }

    /// Adds what version 1 has outside the body. The library crashes at such a token without a body, so it is rejected
    /// here.
    pub(in super::super) fn adopt(&mut self, kind: String, tags: Vec<String>) -> Result<(), DecodeError> {
        if kind.is_empty() && tags.is_empty() {
            return Ok(());
        }
        let data = self.data.as_mut().ok_or(DecodeError::NoBody)?;
        if !kind.is_empty() {
            data.insert("type".to_owned(), Json::String(kind));
        }
        if !tags.is_empty() {
            data.insert("tags".to_owned(), tags.into());
        }
        Ok(())
    }

    /// The member `version`, if it is a number; one that is too large becomes the minimum, as in Go on most machines.
    pub fn version(&self) -> i64 {
        let version = self.data.as_ref().and_then(|data| data.get("version")?.as_f64()).unwrap_or_default();
        // Both bounds are exact as floats; within them, `as` cuts off the fraction and nothing else.
        if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&version) {
            version as i64
        } else {
            i64::MIN
        }
    }
}

impl FromJson for Generic {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        match value {
            Value::Null => self.data = None,
            Value::Object(_) => {
                if let Some(Json::Object(data)) = loose(value, faults) {
                    self.data.get_or_insert_default().extend(data);
                }
            }
            other => faults.mismatch(other, "map"),
        }
    }
}

/// The value for anyone to look at. As in Go, numbers are floats.
fn loose(value: &Value<'_>, faults: &mut Faults) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Bool(set) => Json::Bool(*set),
        Value::Number(text) => {
            let number = text.parse().ok().and_then(Number::from_f64);
            if number.is_none() {
                faults.mismatch(value, "float64");
            }
            Json::Number(number?)
        }
        Value::String(text) => Json::String(text.to_string()),
        Value::Array(items) => Json::Array(items.iter().map(|item| loose(item, faults)).collect::<Option<_>>()?),
        Value::Object(members) => {
            let mut map = Map::with_capacity(members.len());
            for (name, value) in members {
                map.insert(name.to_string(), loose(value, faults)?);
            }
            Json::Object(map)
        }
    })
}
