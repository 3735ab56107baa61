//! Accounts as people know them.

use std::fmt;

use crate::excerpt::excerpt_of;
use crate::key::{AccountKey, TEXT_LEN};

/// An account for people: `app (ADCC…NVV4)`, or its whole key if it has no name.
///
/// The whole key is in a field of the log line, or in the same document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    key: AccountKey,
    name: String,
}

/// The longest name that is shown, in bytes.
const MAX_NAME: usize = 64;

impl Called {
    /// An account and its name, which may be anything; empty if it is not known.
    pub const fn new(key: AccountKey, name: String) -> Self {
        Self { key, name }
    }

    /// The account.
    pub const fn key(&self) -> &AccountKey {
        &self.key
    }

    /// The same with the whole key, for a list that has no field for it: `app (ADCC…NVV4) account=ADCC…`.
    pub fn whole(&self) -> String {
        let (called, key) = (self.to_string(), self.key.text());
        if called == key { key } else { format!("{called} account={key}") }
    }
}

impl From<AccountKey> for Called {
    fn from(key: AccountKey) -> Self {
        Self::new(key, String::new())
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.text();
        let name = self.name.trim();
        // A name that is the key says nothing more than it.
        if name.is_empty() || name == key {
            return f.write_str(&key);
        }
        // The signer of a JWT chooses the name: it must not look like another line.
        let shown = excerpt_of(name, MAX_NAME);
        let end = if shown.is_whole() { "" } else { "…" };
        write!(f, "{}{end} ({}…{})", shown.part().escape_debug(), &key[..4], &key[TEXT_LEN - 4..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_called_by_its_name_and_the_ends_of_its_key() {
        let key = AccountKey::from_raw([0; 32]);
        let text = key.text();
        let short = format!("({}…{})", &text[..4], &text[52..]);
        for (name, expected) in [
            ("app", format!("app {short}")),
            (" my app\n", format!("my app {short}")),
            ("", text.clone()),
            (" ", text.clone()),
            (&text, text.clone()),
            ("a\nb\u{1b}[1m", format!("a\\nb\\u{{1b}}[1m {short}")),
            ("é", format!("é {short}")),
            (&"x".repeat(65), format!("{}… {short}", "x".repeat(64))),
        ] {
            assert_eq!(Called::new(key, name.to_owned()).to_string(), expected);
        }
        assert_eq!(Called::from(key).to_string(), text);
        assert_eq!(Called::from(key).whole(), text);
        assert_eq!(Called::new(key, "app".to_owned()).whole(), format!("app {short} account={text}"));
    }
}
