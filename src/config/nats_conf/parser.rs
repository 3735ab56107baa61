//! Maps, arrays, keys and their separators.

use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};

use super::super::text_file::MAX_TEXT;
use super::cursor::{Cursor, CursorMark, is_newline};
use super::error::SyntaxError;
use super::text;
use super::word::{Word, classify};

/// How deep maps and arrays may be nested; a parser that calls itself must stop before its stack does.
pub(super) const MAX_DEPTH: usize = 100;
/// Maximum number of bytes that references may copy in one file. Without it, each line could double the previous one.
const MAX_COPIES: usize = 64 * 1024 * 1024;

/// Looks up an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The state of reading one configuration with all that it includes.
pub(super) struct ConfParser<'a> {
    /// The maps around the current place, outermost first; never empty while reading.
    pub(super) scopes: Vec<Map<String, Value>>,
    pub(super) env: Environment<'a>,
    /// The files being read, to notice a circle of includes.
    pub(super) open_files: Vec<PathBuf>,
    pub(super) included: usize,
    /// Environment variables being read, one inside the other.
    pub(super) variables: usize,
    /// Bytes of text that may still be read, of this file and what it includes.
    pub(super) text_left: u64,
    /// Bytes that references may still copy.
    pub(super) copies_left: usize,
    /// Warnings about what is odd and was accepted.
    warnings: Vec<String>,
    /// Brackets open around the current place.
    pub(super) depth: usize,
}

/// What ends a list of entries.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum MapEnd {
    /// The end of the file.
    File,
    /// The `}` to the `{` at this place.
    Brace(CursorMark),
}

/// Reads a whole file called `name`. Also gives warnings.
pub(super) fn parse(
    name: &Path,
    text: &str,
    env: Environment<'_>,
) -> Result<(Map<String, Value>, Vec<String>), SyntaxError> {
    let mut parser = ConfParser {
        scopes: vec![Map::new()],
        env,
        open_files: std::fs::canonicalize(name).into_iter().collect(),
        included: 0,
        variables: 0,
        text_left: MAX_TEXT.saturating_sub(text.len() as u64),
        copies_left: MAX_COPIES,
        warnings: Vec::new(),
        depth: 0,
    };
    let base = name.parent().unwrap_or(Path::new(""));
    parser.entries(&mut Cursor::new(&name.display().to_string(), text), base, MapEnd::File)?;
    Ok((parser.scopes.pop().unwrap_or_default(), parser.warnings))
}

impl ConfParser<'_> {
    /// Reads entries into the innermost map, up to and with `end`.
    pub(super) fn entries(&mut self, cursor: &mut Cursor<'_>, base: &Path, end: MapEnd) -> Result<(), SyntaxError> {
        loop {
            cursor.skip_while(|c| c.is_whitespace() || matches!(c, ',' | ';'));
            if cursor.skip_comment() {
                continue;
            }
            let at = cursor.mark();
            match (cursor.peek(), end) {
                (None, MapEnd::File) => return Ok(()),
                (None, MapEnd::Brace(open)) => {
                    return Err(cursor.error(open, "this { is never closed", "add the missing }"));
                }
                (Some('}'), MapEnd::Brace(_)) => {
                    cursor.next();
                    return Ok(());
                }
                // The Go servers started with files that have one too many.
                (Some('}'), MapEnd::File) => {
                    cursor.next();
                    self.warnings.push(format!("{}: this }} closes nothing: remove it", cursor.origin(at)));
                }
                // A whole file may be in braces, as in JSON.
                (Some('{'), MapEnd::File) => {
                    cursor.next();
                    self.nested(cursor, at, |parser, cursor| parser.entries(cursor, base, MapEnd::Brace(at)))?;
                }
                (Some(_), _) => {
                    if !self.include(cursor, base)? {
                        self.entry(cursor, base, end)?;
                    }
                    end_of_value(cursor)?;
                }
            }
        }
    }

    /// A value of any kind, the cursor standing on its first character. Includes inside it are relative to `base`.
    pub(super) fn value(&mut self, cursor: &mut Cursor<'_>, base: &Path) -> Result<Value, SyntaxError> {
        let at = cursor.mark();
        let origin = cursor.origin(at);
        let kind = match cursor.peek() {
            Some('{') => {
                cursor.next();
                self.scopes.push(Map::new());
                self.nested(cursor, at, |parser, cursor| parser.entries(cursor, base, MapEnd::Brace(at)))?;
                ValueKind::Table(self.scopes.pop().unwrap_or_default())
            }
            Some('[') => {
                cursor.next();
                ValueKind::Array(self.nested(cursor, at, |parser, cursor| parser.items(cursor, base, at))?)
            }
            Some('"') => ValueKind::String(text::double_quoted(cursor)?),
            Some('\'') => ValueKind::String(text::literal(cursor)?),
            Some('(') => ValueKind::String(text::block(cursor)?),
            None | Some(',' | ';' | ']' | '}') => {
                return Err(cursor.error(at, "a value is expected here", "write \"\" for an empty text"));
            }
            Some(_) => {
                let word = text::bare(cursor)?;
                if word.escaped {
                    ValueKind::String(word.text)
                } else {
                    match classify(&word.text).map_err(|(problem, hint)| cursor.error(at, problem, hint))? {
                        Word::Value(kind) => kind,
                        Word::Reference(name) => return self.resolve(cursor, at, name),
                    }
                }
            }
        };
        Ok(Value::new(Some(&origin), kind))
    }

    /// One key with its value.
    fn entry(&mut self, cursor: &mut Cursor<'_>, base: &Path, end: MapEnd) -> Result<(), SyntaxError> {
        let at = cursor.mark();
        let key = match cursor.peek() {
            Some('"' | '\'') => text::literal(cursor)?,
            _ => {
                cursor.skip_while(|c| !c.is_whitespace() && !matches!(c, '=' | ':' | '{' | '}'));
                cursor.since(at).to_owned()
            }
        };
        if key.is_empty() {
            return Err(cursor.error(at, "a key is expected here", "write: key: value"));
        }
        cursor.skip_white_space();
        if cursor.eat('=') || cursor.eat(':') {
            cursor.skip_blanks();
            // At the top level Go rejects this, because the next line is most likely another key.
            if end == MapEnd::File && cursor.peek().is_some_and(is_newline) {
                let hint = "write the value on the same line, \"\" for an empty text";
                return Err(cursor.error(cursor.mark(), "Expected value but found new line", hint));
            }
            cursor.skip_white_space();
        }
        if matches!(cursor.peek(), None | Some('}' | ',' | ';')) {
            return Err(cursor.error(at, format!("the key {key} has no value"), "write: key: value"));
        }
        let value = self.value(cursor, base)?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(key, value);
        }
        Ok(())
    }

    /// The items of an array, up to and with its `]`.
    fn items(&mut self, cursor: &mut Cursor<'_>, base: &Path, open: CursorMark) -> Result<Vec<Value>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            cursor.skip_while(|c| c.is_whitespace() || c == ',');
            if cursor.skip_comment() {
                continue;
            }
            match cursor.peek() {
                None => return Err(cursor.error(open, "this [ is never closed", "add the missing ]")),
                Some(']') => {
                    cursor.next();
                    return Ok(items);
                }
                Some(_) => items.push(self.value(cursor, base)?),
            }
            cursor.skip_blanks();
            let at = cursor.mark();
            match cursor.peek() {
                None | Some(',' | ']' | '#' | '/') => {}
                Some(c) if is_newline(c) => {}
                Some(_) => {
                    let hint = "items are separated by a comma or a new line; a text with blanks needs quotes";
                    return Err(cursor.error(at, "a comma, a new line or ] is expected here", hint));
                }
            }
        }
    }

    /// Runs `read` one level deeper; `open` is the place of the bracket.
    fn nested<T>(
        &mut self,
        cursor: &mut Cursor<'_>,
        open: CursorMark,
        read: impl FnOnce(&mut Self, &mut Cursor<'_>) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.depth >= MAX_DEPTH {
            let problem = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(cursor.error(open, problem, "look for a bracket that is not closed"));
        }
        self.depth += 1;
        let result = read(self, cursor);
        self.depth -= 1;
        result
    }
}

/// After a value: the end of its line, a comma or semicolon, a comment, or the end of the map.
fn end_of_value(cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
    cursor.skip_blanks();
    let at = cursor.mark();
    match cursor.peek() {
        None | Some(',' | ';' | '}') => Ok(()),
        Some(c) if is_newline(c) || cursor.at_comment() => Ok(()),
        Some(_) => {
            let hint = "one entry a line, or a comma between them; a text with blanks needs quotes";
            Err(cursor.error(at, "the end of the line is expected after a value", hint))
        }
    }
}
