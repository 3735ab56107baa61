//! The part of received text that answers, errors and log lines repeat.

use std::borrow::Cow;
use std::fmt;

use crate::key::seed;

/// Bytes of one text that are repeated at most.
pub const MAX_EXCERPT: usize = 256;

/// The longest spelling of a private key, in bytes: each of its characters may be written as `%41`.
const KEY: usize = 3 * 58;

/// Shows the beginning of a text, and its length if that is not all.
#[derive(Clone, Copy)]
pub struct Excerpt<'t> {
    text: &'t str,
    most: usize,
}

/// The first [`MAX_EXCERPT`] bytes of received text.
pub const fn excerpt(text: &str) -> Excerpt<'_> {
    excerpt_of(text, MAX_EXCERPT)
}

/// The first `most` bytes of a text.
pub const fn excerpt_of(text: &str, most: usize) -> Excerpt<'_> {
    Excerpt { text, most }
}

impl<'t> Excerpt<'t> {
    /// The part that is shown: a private key in it is not, also where it would be cut in two.
    pub fn part(&self) -> Cow<'t, str> {
        match seed::redact(cut(self.text, self.most.saturating_add(KEY))) {
            Cow::Borrowed(text) => Cow::Borrowed(cut(text, self.most)),
            Cow::Owned(text) => Cow::Owned(cut(&text, self.most).to_owned()),
        }
    }

    /// Whether that is all.
    pub const fn is_whole(&self) -> bool {
        self.text.len() <= self.most
    }
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.part())?;
        if self.is_whole() { Ok(()) } else { write!(f, "… ({} bytes)", self.text.len()) }
    }
}

/// In quotes.
impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.part())?;
        if self.is_whole() { Ok(()) } else { write!(f, "… ({} bytes)", self.text.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_not_shown_wherever_the_text_is_cut() {
        let seed = nkeys::KeyPair::new_operator().seed().unwrap();
        for before in 0..MAX_EXCERPT {
            let text = format!("{} {seed} {}", "-".repeat(before), "-".repeat(MAX_EXCERPT));
            let shown = excerpt(&text).to_string();
            assert!(!shown.contains(&seed[..8]), "{before}: {shown}");
        }
    }

    #[test]
    fn a_short_text_is_whole_and_a_long_one_is_cut_between_characters() {
        let table = [
            ("", ""),
            ("abcd", "abcd"),
            ("abcde", "abcd… (5 bytes)"),
            ("abcé", "abc… (5 bytes)"),
            ("éé", "éé"),
            ("😀😀", "😀… (8 bytes)"),
        ];
        for (text, wanted) in table {
            assert_eq!(excerpt_of(text, 4).to_string(), wanted);
        }
        assert_eq!(format!("{:?}", excerpt_of("a\nbcd", 3)), r#""a\nb"… (5 bytes)"#);
        assert_eq!(excerpt(&"x".repeat(MAX_EXCERPT)).to_string().len(), MAX_EXCERPT);
        assert!(excerpt(&"x".repeat(1 << 20)).to_string().len() < MAX_EXCERPT + 20);
    }
}
