//! Texts of JWTs in the output of commands, for people and for shells.

use std::io::IsTerminal as _;

use serde::Serialize;

use crate::key::seed;

/// Characters at each end of a key that are shown.
const ENDS: usize = 4;

/// A text that cannot steer the terminal, and shows no private key.
pub(super) fn printable(text: &str) -> String {
    seed::redact(text)
        .chars()
        .flat_map(|symbol| if steers(symbol) { symbol.escape_default().collect() } else { vec![symbol] })
        .collect()
}

/// Whether a character changes how a terminal shows the others: it controls it, ends a line, or turns the direction.
fn steers(symbol: char) -> bool {
    symbol.is_control()
        || matches!(symbol, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A document as JSON, which programs read and people see: likewise, and the same document. `is_pretty`: in many lines.
pub(super) fn json(document: &impl Serialize, is_pretty: bool) -> serde_json::Result<String> {
    let text = if is_pretty { serde_json::to_string_pretty(document) } else { serde_json::to_string(document) }?;
    // Line ends are between values, all other such characters are in texts.
    let shown = |symbol: char| match symbol {
        symbol if symbol != '\n' && steers(symbol) => format!("\\u{:04x}", u32::from(symbol)),
        symbol => symbol.to_string(),
    };
    let text = seed::redact(&text);
    Ok(if text.chars().any(steers) { text.chars().map(shown).collect() } else { text.into_owned() })
}

/// A text as one word of a shell command that people copy.
pub(super) fn word(text: &str) -> String {
    let text = printable(text);
    let is_plain = |symbol: char| symbol.is_ascii_alphanumeric() || "-_./:,=@+".contains(symbol);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Something with a name and a public key: `app (ADCC…NVV4)`, or the key if there is no name.
pub(super) fn called(name: &str, key: &str) -> String {
    let (name, key) = (printable(name.trim()), printable(key));
    if name.is_empty() || name == key || !key.is_ascii() || key.len() <= 2 * ENDS {
        return key;
    }
    format!("{name} ({})", ends(&key))
}

/// The ends of a public key.
pub(super) fn ends(key: &str) -> String {
    let key = printable(key);
    if !key.is_ascii() || key.len() <= 2 * ENDS {
        return key;
    }
    format!("{}…{}", &key[..ENDS], &key[key.len() - ENDS..])
}

/// Colours, only where a person looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) const BOLD: &str = "1";
    pub(super) const RED: &str = "31";
    pub(super) const GREEN: &str = "32";
    pub(super) const YELLOW: &str = "33";

    /// For the standard output. `NO_COLOR` is a convention of many programs.
    pub(super) fn stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self(wanted && std::io::stdout().is_terminal())
    }

    /// Without colours.
    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self(false)
    }

    pub(super) fn text(self, style: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_for_a_shell() {
        for (text, shown) in [
            ("app", "app"),
            ("A-1_b.c", "A-1_b.c"),
            ("", "''"),
            ("my app", "'my app'"),
            ("a'b", r"'a'\''b'"),
            ("$(rm)", "'$(rm)'"),
            ("a\nb", r"'a\nb'"),
            ("*", "'*'"),
        ] {
            assert_eq!(word(text), shown);
        }
    }

    #[test]
    fn a_printable_text_is_in_one_line_and_turns_nothing() {
        for (text, shown) in [
            ("Zoë 😀", "Zoë 😀"),
            ("a\x1b[31m\r\nb\u{9b}", r"a\u{1b}[31m\r\nb\u{9b}"),
            ("a\u{202e}b\u{2066}\u{200f}\u{2028}", r"a\u{202e}b\u{2066}\u{200f}\u{2028}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn a_document_steers_nothing_and_is_the_same() {
        let document = serde_json::json!({ "name": "a\x1b[31m\u{9b}\u{202e}\u{7f}\n é", "list": [1, 2] });
        for is_pretty in [false, true] {
            let text = json(&document, is_pretty).expect("JSON");
            assert!(text.chars().all(|symbol| symbol == '\n' || !steers(symbol)), "{text}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), document);
            assert_eq!(text.contains('\n'), is_pretty);
        }
    }

    #[test]
    fn something_is_called_by_its_name_and_the_ends_of_its_key() {
        let key = nkeys::KeyPair::new_user().public_key();
        assert_eq!(called("alice", &key), format!("alice ({}…{})", &key[..4], &key[52..]));
        assert_eq!(called(" ", &key), key);
        assert_eq!(called("x", "éééé"), "éééé");
    }

    #[test]
    fn colours_are_for_terminals() {
        assert_eq!(Paint(false).text(Paint::RED, "x"), "x");
        assert_eq!(Paint(true).text(Paint::RED, "x"), "\x1b[31mx\x1b[0m");
    }
}
