//! `include file`: the keys of another file, put into the current map.

use std::path::{Path, PathBuf};

use super::super::text_file;
use super::cursor::Cursor;
use super::error::SyntaxError;
use super::parser::{ConfParser, MapEnd};
use super::text;

/// Includes in one reading, so that files that include each other fan-wise cannot keep a start busy for ever.
const MAX_INCLUDES: usize = 1000;

/// How deep includes may be nested; a parser that calls itself must stop before its stack does.
const MAX_DEPTH: usize = 20;

impl ConfParser<'_> {
    /// Handles an `include` at the cursor. If there is none, the cursor stays.
    pub(super) fn include(&mut self, cursor: &mut Cursor<'_>, base: &Path) -> Result<bool, SyntaxError> {
        let start = cursor.mark();
        cursor.skip_while(char::is_alphabetic);
        let is_keyword = cursor.since(start).eq_ignore_ascii_case("include");
        let before_blanks = cursor.mark();
        cursor.skip_blanks();
        // `include = 1` and `include: x` are keys of that name.
        if !is_keyword || cursor.mark() == before_blanks || matches!(cursor.peek(), None | Some('=' | ':' | '{')) {
            cursor.go_to(start);
            return Ok(false);
        }
        let at = cursor.mark();
        let name = match cursor.peek() {
            Some('"' | '\'') => text::literal(cursor)?,
            _ => {
                cursor.skip_while(|c| !c.is_whitespace() && !matches!(c, ';' | ',' | '}'));
                cursor.since(at).to_owned()
            }
        };
        if name.is_empty() {
            return Err(cursor.error(at, "a file name is expected after include", ""));
        }
        let path = base.join(&name);
        self.read_included(&path).map_err(|fault| match fault {
            IncludeFault::Syntax(error) => *error,
            IncludeFault::File(problem) => {
                let hint = "an include is relative to the file that it stands in";
                cursor.error(at, format!("cannot include {}: {problem}", path.display()), hint)
            }
        })?;
        Ok(true)
    }

    fn read_included(&mut self, path: &Path) -> Result<(), IncludeFault> {
        let real = std::fs::canonicalize(path).map_err(|error| IncludeFault::File(error.to_string()))?;
        if self.open_files.contains(&real) {
            return Err(IncludeFault::File("it includes itself, directly or through other files".to_owned()));
        }
        self.included += 1;
        if self.included > MAX_INCLUDES {
            return Err(IncludeFault::File(format!("more than {MAX_INCLUDES} includes")));
        }
        if self.open_files.len() > MAX_DEPTH {
            return Err(IncludeFault::File(format!("includes are nested more than {MAX_DEPTH} levels deep")));
        }
        let text = text_file::read(path, self.text_left).map_err(|error| IncludeFault::File(error.to_string()))?;
        self.text_left -= text.len() as u64;
        self.open_files.push(real);
        let name = path.display().to_string();
        let base: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
        let result = self.entries(&mut Cursor::new(&name, &text), &base, MapEnd::File);
        self.open_files.pop();
        result.map_err(|error| IncludeFault::Syntax(Box::new(error)))
    }
}

/// Errors of an included file, or in it.
enum IncludeFault {
    File(String),
    Syntax(Box<SyntaxError>),
}
