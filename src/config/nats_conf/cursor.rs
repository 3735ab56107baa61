//! A place in a text.

use std::cell::Cell;

use super::error::SyntaxError;

/// Walks over the characters of one file.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    file: &'a str,
    text: &'a str,
    at: usize,
    /// The last position and its line. The next position is usually later, so counting continues from here and a long
    /// file is counted once.
    counted: Cell<(usize, usize)>,
}

/// A remembered place, for errors that point back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CursorMark(usize);

/// Lines end with LF or CR, as in the Go lexer.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// White space that does not end a line.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() && !is_newline(c)
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        // A byte order mark is not part of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { file, text, at: 0, counted: Cell::new((0, 1)) }
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Steps over `c` if it is next.
    pub(super) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    pub(super) fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    pub(super) fn skip_blanks(&mut self) {
        self.skip_while(is_blank);
    }

    pub(super) fn skip_white_space(&mut self) {
        self.skip_while(char::is_whitespace);
    }

    /// Whether a comment starts here.
    pub(super) fn at_comment(&self) -> bool {
        self.peek() == Some('#') || self.rest().starts_with("//")
    }

    /// Steps over a comment up to the end of its line; says whether there was one.
    pub(super) fn skip_comment(&mut self) -> bool {
        let found = self.at_comment();
        if found {
            self.skip_while(|c| !is_newline(c));
        }
        found
    }

    pub(super) fn go_to(&mut self, mark: CursorMark) {
        self.at = mark.0;
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn mark(&self) -> CursorMark {
        CursorMark(self.at)
    }

    /// The text between a mark and the present position.
    pub(super) fn since(&self, mark: CursorMark) -> &'a str {
        self.text.get(mark.0..self.at).unwrap_or_default()
    }

    /// The line of a mark, from 1.
    pub(super) fn line_of(&self, mark: CursorMark) -> usize {
        let (from, line) = match self.counted.get() {
            (counted, line) if counted <= mark.0 => (counted, line),
            _ => (0, 1),
        };
        let between = self.text.get(from..mark.0).unwrap_or_default();
        // CR LF is one end of line, a CR alone is one as well.
        let pairs = between.matches("\r\n").count();
        let line = line + between.matches('\n').count() + between.matches('\r').count() - pairs;
        // Between CR and LF it would be two.
        if !between.ends_with('\r') {
            self.counted.set((mark.0, line));
        }
        line
    }

    /// The origin of a value, for messages.
    pub(super) fn origin(&self, mark: CursorMark) -> String {
        format!("{}:{}", self.file, self.line_of(mark))
    }

    pub(super) fn error(&self, mark: CursorMark, problem: impl Into<String>, hint: impl Into<String>) -> SyntaxError {
        let before = self.text.get(..mark.0).unwrap_or_default();
        let start = before.rfind(is_newline).map_or(0, |i| i + 1);
        let line_text = self.text.get(start..).unwrap_or_default();
        SyntaxError {
            file: self.file.to_owned(),
            line: self.line_of(mark),
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
            text: line_text.split(is_newline).next().unwrap_or_default().to_owned(),
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
}
