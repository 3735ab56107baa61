//! Texts that a server sent.

use serde::{Deserialize, Deserializer, Serialize};

use crate::commands::shown::printable;

/// Characters of a text that are shown.
const LONGEST: usize = 300;

/// A text that a server sent: cut, without characters that steer the terminal, and without private keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(super) struct Told(String);

impl Told {
    pub(super) fn of(text: &str) -> Self {
        let mut text = printable(text);
        if let Some((end, _)) = text.char_indices().nth(LONGEST) {
            text.truncate(end);
            text.push('…');
        }
        Self(text)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_sends_is_short_and_steers_nothing() {
        for (sent, shown) in [
            (r#""n1""#, "n1"),
            (r#""a\u001b[2Jb\nc""#, r"a\u{1b}[2Jb\nc"),
            (r#""\u009b31m\u202egnp""#, r"\u{9b}31m\u{202e}gnp"),
        ] {
            assert_eq!(
                serde_json::from_str::<Told>(sent).map_err(|error| error.to_string()),
                Ok(Told(shown.to_owned()))
            );
        }
        let long = Told::of(&"é".repeat(1 << 20));
        assert_eq!(long.text().chars().count(), LONGEST + 1);
        let seed = nkeys::KeyPair::new_operator().seed().expect("a seed");
        assert!(!Told::of(&format!("it is {seed}.")).text().contains(&seed));
    }
}
