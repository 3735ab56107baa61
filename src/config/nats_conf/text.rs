//! Strings: double-quoted, single-quoted, in parentheses, and bare.

use super::cursor::{Cursor, is_newline};
use super::error::SyntaxError;

/// A `"…"` string, the cursor standing on its quote. Escapes are understood, and it may span lines.
pub(super) fn double_quoted(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    let start = cursor.mark();
    cursor.next();
    let mut bytes = Vec::new();
    loop {
        let at = cursor.mark();
        match cursor.next() {
            Some('"') => return utf8(cursor, start, bytes),
            Some('\\') => escape(cursor, &mut bytes)?,
            Some(_) => bytes.extend_from_slice(cursor.since(at).as_bytes()),
            None => return Err(cursor.error(start, "this string never ends", "close it with a \"")),
        }
    }
}

/// A text between quotes of its own kind in which nothing is special: `'…'` values, and quoted keys.
pub(super) fn literal(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    let start = cursor.mark();
    let quote = cursor.next().unwrap_or('\'');
    let inner = cursor.mark();
    cursor.skip_while(|c| c != quote);
    let text = cursor.since(inner).to_owned();
    if cursor.eat(quote) {
        Ok(text)
    } else {
        Err(cursor.error(start, "this string never ends", format!("close it with a {quote}")))
    }
}

/// A `( … )` block: everything up to a line that is nothing but `)`, inner line ends included. As in Go, a `)` that is indented
/// is part of the text.
pub(super) fn block(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    let start = cursor.mark();
    cursor.next();
    let inner = cursor.mark();
    let mut line_starts = false;
    loop {
        let text = cursor.since(inner);
        match cursor.next() {
            Some(')') if line_starts && cursor.peek().is_none_or(is_newline) => return Ok(text.to_owned()),
            Some(c) => line_starts = is_newline(c),
            None => {
                let hint = "close it with a ) that is alone on its line, without blanks around it";
                return Err(cursor.error(start, "this block never ends", hint));
            }
        }
    }
}

/// The parts of a bare word.
pub(super) struct Bare {
    /// The word with its escapes resolved.
    pub(super) text: String,
    /// Whether it had any; then it is a string, whatever it looks like.
    pub(super) escaped: bool,
}

/// A word without quotes. It ends at white space, `,`, `;`, `]` or `}`; a `'` ends it as well and is dropped.
pub(super) fn bare(cursor: &mut Cursor<'_>) -> Result<Bare, SyntaxError> {
    let start = cursor.mark();
    let mut bytes = Vec::new();
    let mut escaped = false;
    loop {
        let at = cursor.mark();
        match cursor.peek() {
            None | Some(',' | ';' | ']' | '}') => break,
            Some(c) if c.is_whitespace() => break,
            Some('\'') => {
                cursor.next();
                break;
            }
            Some('\\') => {
                cursor.next();
                escape(cursor, &mut bytes)?;
                escaped = true;
            }
            Some(_) => {
                cursor.next();
                bytes.extend_from_slice(cursor.since(at).as_bytes());
            }
        }
    }
    Ok(Bare { text: utf8(cursor, start, bytes)?, escaped })
}

/// One escape; the cursor is after the backslash.
fn escape(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
    let at = cursor.mark();
    let byte = match cursor.next() {
        Some('t') => b'\t',
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('"') => b'"',
        Some('\\') => b'\\',
        Some('x') => {
            let digits = cursor.mark();
            cursor.next();
            cursor.next();
            let text = cursor.since(digits);
            match u8::from_str_radix(text, 16) {
                // `from_str_radix` takes a sign, an escape does not.
                Ok(byte) if text.len() == 2 && !text.starts_with('+') => byte,
                _ => {
                    return Err(cursor.error(at, "two hexadecimal digits are expected after \\x", "for example \\x2f"));
                }
            }
        }
        _ => {
            let hint = "known are \\t \\n \\r \\\" \\\\ \\xHH; a Windows path goes between single quotes";
            return Err(cursor.error(at, "unknown escape", hint));
        }
    };
    out.push(byte);
    Ok(())
}

/// Only `\xHH` can make the text invalid UTF-8.
fn utf8(cursor: &Cursor<'_>, start: super::cursor::CursorMark, bytes: Vec<u8>) -> Result<String, SyntaxError> {
    String::from_utf8(bytes).map_err(|_| {
        cursor.error(start, "the \\x escapes in this string do not give UTF-8 text", "write the character itself")
    })
}
