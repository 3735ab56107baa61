//! Reading claims from a JSON tree by the rules of Go's `encoding/json`.
//!
//! Names match in any case; unknown members and `null` are skipped. A value of a wrong type is remembered while reading
//! continues. The first *fatal* fault (a type that the library rejects) takes precedence; otherwise the first fault in
//! the text is reported.
//!
//! A member that occurs twice is read twice into the same place, as in Go: a later `null` empties lists and maps and
//! leaves the rest, objects merge, maps add up. Only a second list is rejected: Go then merges what it finds in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::DecodeError;
use super::json::Value;

/// Faults met while reading one tree.
#[derive(Debug, Default)]
pub(super) struct Faults {
    place: Vec<&'static str>,
    mismatch: Option<DecodeError>,
    fatal: Option<DecodeError>,
}

impl Faults {
    /// Notes that a value is of another type than the member's.
    pub(super) fn mismatch(&mut self, found: &Value<'_>, wanted: &'static str) {
        if self.mismatch.is_none() {
            self.mismatch = Some(self.describe(found, wanted));
        }
    }

    /// The mismatch that [`Self::mismatch`] would note.
    pub(super) fn describe(&self, found: &Value<'_>, wanted: &'static str) -> DecodeError {
        let found = match found {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(text) => format!("number {text}"),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        let place = if self.place.is_empty() { "the whole".to_owned() } else { self.place.join(".") };
        DecodeError::Mismatch { found, place, wanted }
    }

    /// Notes a fault that ends Go's reading on the spot.
    pub(super) fn abort(&mut self, error: DecodeError) {
        self.fatal.get_or_insert(error);
    }

    /// Notes that the list that is being read occurs twice.
    fn repeated(&mut self) {
        let place = self.place.join(".");
        self.mismatch.get_or_insert(DecodeError::Repeated(place));
    }

    /// Reads a member of the object that is being read, so that its faults name it.
    pub(super) fn member<T: FromJson>(&mut self, name: &'static str, field: &mut T, value: &Value<'_>) {
        self.place.push(name);
        field.read(value, self);
        self.place.pop();
    }

    /// The verdict on the tree.
    pub(super) fn into_result(self) -> Result<(), DecodeError> {
        self.fatal.or(self.mismatch).map_or(Ok(()), Err)
    }
}

/// Reads a whole tree into a value that begins as its default.
pub(super) fn read<T: FromJson + Default>(value: &Value<'_>) -> Result<T, DecodeError> {
    let mut target = T::default();
    let mut faults = Faults::default();
    target.read(value, &mut faults);
    faults.into_result().map(|()| target)
}

/// A type that can be read from a JSON value, over an earlier value.
pub(super) trait FromJson {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults);
}

/// A type that is read from an object with known members.
pub(super) trait Members {
    /// Reads one member by its name in lower case, and says whether it is known.
    fn member(&mut self, name: &str, value: &Value<'_>, faults: &mut Faults) -> bool;
}

/// Implements [`Members`] from a list of JSON names and their fields.
macro_rules! members {
    ($type:ty { $($name:literal => $($field:ident).+),* $(,)? }) => {
        impl $crate::jwt::read::Members for $type {
            fn member(
                &mut self,
                name: &str,
                value: &$crate::jwt::json::Value<'_>,
                faults: &mut $crate::jwt::read::Faults,
            ) -> bool {
                match name {
                    $($name => faults.member($name, &mut self.$($field).+, value),)*
                    _ => return false,
                }
                true
            }
        }
    };
}
pub(super) use members;

impl<T: Members> FromJson for T {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        let members = match value {
            Value::Null => return,
            Value::Object(members) => members,
            other => return faults.mismatch(other, "object"),
        };
        for (name, value) in members {
            self.member(&folded(name), value, faults);
        }
    }
}

/// A member's name in lower case. Go folds by Unicode, so that U+212A and U+017F stand for `k` and `s`.
fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let fold = |symbol| match symbol {
        '\u{212A}' => 'k',
        '\u{17F}' => 's',
        other => other.to_ascii_lowercase(),
    };
    Cow::Owned(name.chars().map(fold).collect())
}

impl FromJson for String {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        match value {
            Value::Null => (),
            Value::String(text) => text.as_ref().clone_into(self),
            other => faults.mismatch(other, "string"),
        }
    }
}

impl FromJson for bool {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        match value {
            Value::Null => (),
            Value::Bool(set) => *self = *set,
            other => faults.mismatch(other, "bool"),
        }
    }
}

/// Integers are plain literals in range: `1.0` and `1e3` are not integers, and `-0` is one only for signed types.
macro_rules! integer {
    ($type:ty, $wanted:literal) => {
        impl FromJson for $type {
            fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
                match value {
                    Value::Null => (),
                    Value::Number(text) => match text.parse() {
                        Ok(number) => *self = number,
                        Err(_) => faults.mismatch(value, $wanted),
                    },
                    other => faults.mismatch(other, $wanted),
                }
            }
        }
    };
}
integer!(i64, "int64");
integer!(u64, "uint64");
integer!(u8, "uint8");

impl<T: FromJson + Default> FromJson for Vec<T> {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        match value {
            Value::Null => self.clear(),
            Value::Array(items) => {
                if !self.is_empty() && !items.is_empty() {
                    faults.repeated();
                }
                *self = items
                    .iter()
                    .map(|item| {
                        let mut target = T::default();
                        target.read(item, faults);
                        target
                    })
                    .collect();
            }
            other => faults.mismatch(other, "list"),
        }
    }
}

impl<T: FromJson + Default> FromJson for Option<T> {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        match value {
            Value::Null => *self = None,
            value => self.get_or_insert_default().read(value, faults),
        }
    }
}

impl<T: FromJson + Default> FromJson for BTreeMap<String, T> {
    fn read(&mut self, value: &Value<'_>, faults: &mut Faults) {
        let members = match value {
            Value::Null => return self.clear(),
            Value::Object(members) => members,
            other => return faults.mismatch(other, "map"),
        };
        for (name, value) in members {
            let mut target = T::default();
            target.read(value, faults);
            self.insert(name.to_string(), target);
        }
    }
}
