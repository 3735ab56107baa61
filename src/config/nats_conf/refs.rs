//! `$name`: an earlier key of an enclosing map, or an environment variable.

use std::path::Path;

use config::{Map, Value, ValueKind};

use super::cursor::{Cursor, CursorMark};
use super::error::SyntaxError;
use super::parser::{ConfParser, MAX_DEPTH as MAX_NESTING};

/// How deep references through environment variables may go; `A=$A` would otherwise never end.
const MAX_DEPTH: usize = 16;

/// Approximate memory of a value besides its text, in bytes.
const VALUE: usize = 100;

impl ConfParser<'_> {
    /// The value of `$name`, looked up from the innermost map outward and then in the environment.
    pub(super) fn resolve(&mut self, cursor: &Cursor<'_>, at: CursorMark, name: &str) -> Result<Value, SyntaxError> {
        if let Some(value) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            let size = Size::of(&value.kind);
            if size.bytes > self.copies_left || self.depth + size.depth > MAX_NESTING {
                return Err(too_big(cursor, at, name));
            }
            self.copies_left -= size.bytes;
            return Ok(Value::new(Some(&cursor.origin(at)), value.kind.clone()));
        }
        let Some(text) = (self.env)(name) else {
            let problem = format!("variable reference for '{name}' can not be found");
            let hint = "it is neither an earlier key nor an environment variable; quote a text that starts with $";
            return Err(cursor.error(at, problem, hint));
        };
        if self.variables >= MAX_DEPTH {
            return Err(cursor.error(at, format!("the environment variable {name} refers to itself"), ""));
        }
        if text.len() + VALUE > self.copies_left {
            return Err(too_big(cursor, at, name));
        }
        self.copies_left -= text.len() + VALUE;
        self.variables += 1;
        let value = self.environment_value(name, &text);
        self.variables -= 1;
        value.map(|value| Value::new(Some(&format!("environment variable {name}")), value.kind))
    }

    /// The text of a variable is itself written in this language, so that `PORT=5k` is a number.
    fn environment_value(&mut self, name: &str, text: &str) -> Result<Value, SyntaxError> {
        let place = format!("${name}");
        let mut cursor = Cursor::new(&place, text);
        cursor.skip_white_space();
        if cursor.peek().is_none() {
            return Ok(Value::new(None, String::new()));
        }
        // Keys of the file are not in reach of a variable's text.
        let scopes = std::mem::replace(&mut self.scopes, vec![Map::new()]);
        let value = self.value(&mut cursor, Path::new(""));
        self.scopes = scopes;
        let value = value?;
        cursor.skip_white_space();
        if cursor.peek().is_some() && !cursor.at_comment() {
            let hint = "put quotes around it inside the variable if it is one text";
            return Err(cursor.error(cursor.mark(), format!("the environment variable {name} is not one value"), hint));
        }
        Ok(value)
    }
}

fn too_big(cursor: &Cursor<'_>, at: CursorMark, name: &str) -> SyntaxError {
    cursor.error(at, format!("${name} grows too big"), "references copy what they refer to")
}

/// How much there is in a value.
struct Size {
    bytes: usize,
    depth: usize,
}

impl Size {
    fn of(kind: &ValueKind) -> Self {
        let inner: Vec<(usize, &Value)> = match kind {
            ValueKind::Table(map) => map.iter().map(|(key, value)| (key.len(), value)).collect(),
            ValueKind::Array(items) => items.iter().map(|item| (0, item)).collect(),
            ValueKind::String(text) => return Self { bytes: VALUE + text.len(), depth: 0 },
            _ => return Self { bytes: VALUE, depth: 0 },
        };
        inner.into_iter().fold(Self { bytes: VALUE, depth: 1 }, |size, (key, value)| {
            let part = Self::of(&value.kind);
            Self { bytes: size.bytes + key + part.bytes, depth: size.depth.max(part.depth + 1) }
        })
    }
}
