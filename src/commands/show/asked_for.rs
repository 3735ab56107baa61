//! Which account a person means.

use crate::commands::shown::printable;
use crate::commands::sources::{Failure, PIECE, Source, Wanted};
use crate::key::AccountKey;
use crate::node::{AccountState, listed_name};

/// Accounts that are named if several are meant.
const NAMED: usize = 20;

/// What a person asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AskedFor {
    /// The account with this key.
    Key(AccountKey),
    /// The account with this name, or one that this is a pattern of.
    Name(String),
    /// What a file says.
    File(String),
}

impl AskedFor {
    /// Which of them a text is, does not depend on which files there are.
    pub(super) fn of(text: &str) -> Self {
        if let Ok(key) = AccountKey::parse(text.trim()) {
            return Self::Key(key);
        }
        let is_file = text == "-" || text.contains('/') || text.to_ascii_lowercase().ends_with(".jwt");
        if is_file { Self::File(text.to_owned()) } else { Self::Name(text.to_owned()) }
    }

    /// The account that it is at a source.
    pub(super) async fn key(&self, source: &Source) -> Result<AccountKey, Failure> {
        match self {
            Self::Key(key) => Ok(*key),
            Self::Name(name) | Self::File(name) => named(name, source).await,
        }
    }
}

/// The account with a name. One that exists comes before those that were deleted.
async fn named(name: &str, source: &Source) -> Result<AccountKey, Failure> {
    for states in [&AccountState::PRESENT[..], &[AccountState::Deleted, AccountState::Removed]] {
        let wanted = Wanted::new(Some(name), states, None, None);
        let wanted =
            wanted.map_err(|expected| Failure::Unclear(format!("{name:?} is no name: {expected} is expected")))?;
        let found = Found::at(source, &wanted, &listed_name(name)).await?;
        let (meant, count) = if found.exact.0.is_empty() { found.others } else { found.exact };
        match &meant[..] {
            [] => {}
            [(_, key)] if count == 1 => {
                return AccountKey::parse(key)
                    .map_err(|error| Failure::Unclear(format!("{} lists {key:?}: {error}", source.place())));
            }
            several => return Err(Failure::Absent(ambiguous(name, several, count, &source.place()))),
        }
    }
    let unread = source.unread().map(|unread| format!("; {unread}")).unwrap_or_default();
    Err(Failure::Absent(format!("no account is called {name} at {}{unread}", source.place())))
}

/// Names and keys of some accounts, and how many there are.
type Several = (Vec<(String, String)>, u64);

/// The accounts that a name may mean.
#[derive(Default)]
struct Found {
    /// Those with exactly this name.
    exact: Several,
    /// Others that fit it as a pattern.
    others: Several,
}

impl Found {
    /// An account of exactly this name may be the last one, so all are looked at, and some are remembered.
    async fn at(source: &Source, wanted: &Wanted, name: &str) -> Result<Self, Failure> {
        let (mut found, mut from) = (Self::default(), None);
        loop {
            let piece = source.piece(wanted, from.as_deref(), PIECE).await?;
            for account in piece.accounts {
                let is_exact = account.name.as_deref() == Some(name);
                let (some, count) = if is_exact { &mut found.exact } else { &mut found.others };
                *count += 1;
                if some.len() < NAMED {
                    some.push((account.name.unwrap_or_default(), account.key));
                }
            }
            from = piece.next;
            if from.is_none() {
                return Ok(found);
            }
        }
    }
}

fn ambiguous(name: &str, several: &[(String, String)], count: u64, place: &str) -> String {
    let mut lines = vec![format!("{count} accounts at {place} may be meant by {name}: give the key of one")];
    lines.extend(several.iter().map(|(name, key)| format!("  {key}  {}", printable(name))));
    if count > several.len() as u64 {
        lines.push(format!("  and {} more", count - several.len() as u64));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_key_a_file_or_a_name() {
        let key = nkeys::KeyPair::new_account().public_key();
        let parsed = AccountKey::parse(&key).expect("a key");
        for (text, asked) in [
            (&*key, AskedFor::Key(parsed)),
            (&format!(" {key}\n"), AskedFor::Key(parsed)),
            (&key.to_lowercase(), AskedFor::Name(key.to_lowercase())),
            ("app", AskedFor::Name("app".to_owned())),
            ("my app", AskedFor::Name("my app".to_owned())),
            ("app*", AskedFor::Name("app*".to_owned())),
            ("", AskedFor::Name(String::new())),
            ("-", AskedFor::File("-".to_owned())),
            ("app.jwt", AskedFor::File("app.jwt".to_owned())),
            ("./app", AskedFor::File("./app".to_owned())),
            (&format!("{key}.jwt"), AskedFor::File(format!("{key}.jwt"))),
        ] {
            assert_eq!(AskedFor::of(text), asked, "{text}");
        }
    }
}
