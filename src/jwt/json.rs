//! JSON as Go's `encoding/json` accepts it, as a tree that keeps every member in order.
//!
//! nats-server reads tokens with that package. So this module accepts what it accepts (lone surrogates and stray bytes,
//! both as U+FFFD), and rejects what it rejects. Numbers stay text: their range depends on the member.

use std::borrow::Cow;

use super::error::DecodeError;

/// Deepest nesting. Claims need five; Go stops at 10 000, which would need a large stack.
const MAX_DEPTH: usize = 256;

/// A JSON value, with its texts borrowed where they need no rewriting.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(Cow<'a, str>),
    /// Borrowed exactly when the text has no escapes and no stray bytes.
    String(Cow<'a, str>),
    Array(Vec<Self>),
    Object(Vec<(Cow<'a, str>, Self)>),
}

/// Parses one JSON value with nothing but white space around it.
pub(super) fn parse(text: &[u8]) -> Result<Value<'_>, DecodeError> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at == text.len() { Ok(value) } else { Err(parser.unexpected("after top-level value")) }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, DecodeError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, DecodeError> {
        self.open(depth)?;
        let mut members = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let name = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.unexpected("after object key"));
            }
            members.push((name, self.value(depth + 1)?));
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after object key:value pair"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, DecodeError> {
        self.open(depth)?;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after array element"));
            }
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(self.unexpected("exceeded max depth"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.at += 1;
        let start = self.at;
        let mut plain = true;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.at += rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ').unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    plain = false;
                    self.at += 1;
                    self.escape()?;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(match str::from_utf8(raw) {
            Ok(text) if plain => Cow::Borrowed(text),
            _ => Cow::Owned(unescape(raw)),
        })
    }

    fn escape(&mut self) -> Result<(), DecodeError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.unexpected("in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected("in string escape code")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value<'a>, DecodeError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        // Only ASCII was taken.
        Ok(Value::Number(String::from_utf8_lossy(&self.text[start..self.at])))
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected("in numeric literal"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, DecodeError> {
        for &byte in word.as_bytes() {
            if !self.take(byte) {
                return Err(self.unexpected("in literal"));
            }
        }
        Ok(value)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn unexpected(&self, context: &str) -> DecodeError {
        DecodeError::Syntax(match self.peek() {
            Some(byte) => format!("invalid character {:?} {context}", char::from(byte)),
            None => "unexpected end of JSON input".to_owned(),
        })
    }
}

/// The text of a string literal whose escapes were checked.
fn unescape(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        push_bytes(&mut text, &rest[..at]);
        rest = &rest[at + 1..];
        let (symbol, length) = match rest.first() {
            Some(b'u') => match (code_unit(&rest[1..]), second_unit(&rest[5..])) {
                (high @ 0xD800..0xDC00, Some(low @ 0xDC00..0xE000)) => {
                    (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 11)
                }
                (unit, _) => (char::from_u32(unit), 5),
            },
            Some(b'b') => (Some('\u{8}'), 1),
            Some(b'f') => (Some('\u{c}'), 1),
            Some(b'n') => (Some('\n'), 1),
            Some(b'r') => (Some('\r'), 1),
            Some(b't') => (Some('\t'), 1),
            other => (other.map(|&byte| char::from(byte)), 1),
        };
        text.push(symbol.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &rest[length..];
    }
    push_bytes(&mut text, rest);
    text
}

fn second_unit(rest: &[u8]) -> Option<u32> {
    rest.strip_prefix(b"\\u").map(code_unit)
}

fn code_unit(digits: &[u8]) -> u32 {
    digits.iter().take(4).filter_map(|&digit| char::from(digit).to_digit(16)).fold(0, |unit, digit| unit * 16 + digit)
}

/// Appends bytes, with one U+FFFD for every one that is not UTF-8, as Go counts them.
fn push_bytes(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}
