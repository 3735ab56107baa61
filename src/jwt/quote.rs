//! Go's `%q`: issue texts quote what they name in this way.

use std::fmt::Write as _;

/// A text in double quotes, with everything that cannot be printed escaped as `strconv.Quote` does.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            symbol if printable(symbol) => quoted.push(symbol),
            symbol => {
                let code = u32::from(symbol);
                // Writing to a string cannot fail.
                let _ = match code {
                    0..0x20 | 0x7f => write!(quoted, "\\x{code:02x}"),
                    0x80..0x10000 => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Letters, marks, numbers, punctuation, symbols and the blank, by the Unicode tables of the standard library.
fn printable(symbol: char) -> bool {
    if symbol.is_ascii() {
        return matches!(symbol, ' '..='~');
    }
    // Behind another symbol the debug form escapes only what cannot be printed (at the front it escapes marks, too).
    let mut pair = String::from("a");
    pair.push(symbol);
    pair.escape_debug().nth(1) == Some(symbol)
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn texts_are_quoted_as_go_does() {
        for (text, quoted) in [
            ("a b", r#""a b""#),
            ("\"\\\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\"\\\a\b\f\n\r\t\v""#),
            ("\0\u{1f}\u{7f}", r#""\x00\x1f\x7f""#),
            ("é\u{301}'\u{fffd}", "\"é\u{301}'\u{fffd}\""),
            ("\u{a0}\u{80}\u{2028}\u{200b}", r#""\u00a0\u0080\u2028\u200b""#),
            ("\u{e0001}😀", "\"\\U000e0001😀\""),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }
}
