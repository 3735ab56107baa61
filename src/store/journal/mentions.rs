//! Which accounts mention others: the accounts that import from one are found by reading all texts.
//!
//! There is no index of imports: it would cost every push something, and the question is asked rarely. Instead the changes are
//! read in the order in which they are in the file, and the key is looked for in the texts as they are, in base64. Only a
//! text with the key in it is read as a JWT. A key that is written with JSON escapes is not found; nobody writes it so.

use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use data_encoding::BASE64URL_NOPAD;
use rusqlite::{OptionalExtension as _, params};

use super::super::error::StoreError;
use super::change::record;
use super::read::JournalReader;
use crate::feed::{Operation, SubjectKind};
use crate::gate::{Entry, Record};
use crate::key::AccountKey;

/// How many accounts can be looked for at once.
const MOST: usize = 256;
/// For how long a piece is read, about. Others wait for the connection meanwhile.
const TIME: Duration = Duration::from_millis(15);
/// A piece with this much text is full, in bytes.
const TEXT: usize = 1 << 20;

/// Finds the keys of accounts in JWTs, without decoding these.
#[derive(Debug)]
pub struct Mentions {
    finder: AhoCorasick,
    is_whole: bool,
}

/// JWTs with one of the keys in them.
#[derive(Debug)]
pub struct MentionPiece {
    /// Those that are served or withheld now. A damaged one is left out.
    pub found: Vec<Entry>,
    /// Where the next piece begins; `None`: this was the last one.
    pub next: Option<i64>,
}

impl Mentions {
    /// Of these accounts, but of no more than [`MOST`].
    pub fn of(keys: &[AccountKey]) -> Option<Self> {
        let looked = &keys[..keys.len().min(MOST)];
        let finder = AhoCorasick::new(looked.iter().flat_map(spellings)).ok()?;
        Some(Self { finder, is_whole: looked.len() == keys.len() })
    }

    /// Whether all the accounts are looked for.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// What the key of an account looks like in base64, by the place in a group of three bytes at which it begins. The characters
/// at its ends that also depend on its neighbours are left out.
fn spellings(key: &AccountKey) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let mut text = vec![0; before];
        text.extend_from_slice(key.text().as_bytes());
        let whole = text.len() * 8 / 6;
        BASE64URL_NOPAD.encode(&text)[(before * 8).div_ceil(6)..whole].to_owned()
    })
}

impl JournalReader {
    /// The JWTs of accounts that mention others, from the newest change to the oldest, piece by piece. `from`: where the piece
    /// begins; `None`: at the newest. Blocks for a query.
    pub fn mentioning(&self, mentions: &Mentions, from: Option<i64>) -> Result<MentionPiece, StoreError> {
        self.read_bulk(|connection| {
            let begun = Instant::now();
            // All of them, so that the time is looked at after each, whatever it is.
            let mut statement = connection
                .prepare_cached("SELECT id, key, body, kind, op FROM change WHERE id <= ?1 ORDER BY id DESC")?;
            let from = from.unwrap_or(i64::MAX);
            let mut rows = statement.query([from])?;
            let (mut found, mut text) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                if text >= TEXT || begun.elapsed() >= TIME && id != from {
                    return Ok(MentionPiece { found, next: Some(id) });
                }
                let is_put =
                    row.get::<_, u8>(3)? == SubjectKind::Account.code() && row.get::<_, u8>(4)? == Operation::Put.tag();
                let Some(body) = row.get_ref(2)?.as_blob_or_null()?.filter(|_| is_put) else { continue };
                if !mentions.finder.is_match(body) {
                    continue;
                }
                // Versions that were replaced have their texts here as well.
                let current: Option<Record> = connection
                    .prepare_cached(
                        "SELECT l.key, l.iat, l.exp, l.identity, l.issuer, l.digest, c.body
                         FROM live l JOIN change c ON c.id = l.row WHERE l.key = ?1 AND l.row = ?2",
                    )?
                    .query_row(params![row.get::<_, [u8; 32]>(1)?, id], record)
                    .optional()?;
                text += body.len();
                found.extend(current.and_then(|record| Entry::reopen(record).ok()));
            }
            Ok(MentionPiece { found, next: None })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_it_is_in_a_text() {
        let (key, other) = (AccountKey::from_raw([7; 32]), AccountKey::from_raw([8; 32]));
        let mentions = Mentions::of(&[key]).expect("a finder");
        for before in 0..7 {
            for after in 0..7 {
                let text = |key: &AccountKey| {
                    let text = format!("{}{key}{}", "x".repeat(before), "\"".repeat(after));
                    BASE64URL_NOPAD.encode(text.as_bytes())
                };
                assert!(mentions.finder.is_match(&text(&key)), "{before} {after}");
                assert!(!mentions.finder.is_match(&text(&other)), "{before} {after}");
            }
        }
        assert!(mentions.is_whole());
        assert!(!Mentions::of(&vec![key; MOST + 1]).expect("a finder").is_whole());
    }
}
