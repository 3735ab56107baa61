//! The JSON form of digests and comparisons, as `/jwt/v1/digests` answers and a follower reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Item;
use crate::excerpt::excerpt;
use crate::feed::Subject;
use crate::feed::digest::{
    Ask, Comparison, Difference, LeafPage, ListedLeaf, Prefix, PrefixError, Short, Sum, View, ViewParts,
};
use crate::feed::{Chain, Head, Session};
use crate::key::AccountKey;

/// Keys that one [`DigestAsk`] may name.
const MAX_HAVE: usize = 1000;

/// A place of the digest tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DigestPage {
    /// The journal's session, 32 hexadecimal digits.
    pub session: String,
    /// The serial of the position for which this holds.
    pub serial: u64,
    /// The chain value of that position, 64 hexadecimal digits.
    pub chain: String,
    /// The lowest serial from which a follower can continue.
    pub floor: u64,
    /// The sum of the place: its first 8 bytes, 16 hexadecimal digits.
    pub sum: String,
    /// Of the root and the 256 nodes: the sums below, by the two digits that lead to each. Empty ones are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<BTreeMap<String, String>>,
    /// Of a bucket, and of any place whose leaves are listed: the leaves, ordered by kind and raw key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<ListedLeaf>>,
    /// The list may go on: repeat the question with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A question for what differs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with have is expected; prefix and after are optional")]
pub struct DigestAsk {
    /// Keys, each with the first 8 bytes of the leaf that the follower has.
    pub have: Vec<(String, String)>,
    /// The server compares everything under this prefix, not only the named keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The parameter of a question that can wait: with `true`, the answer says for how long.
pub const BACKGROUND: &str = "background";

/// The differences.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DigestAnswer {
    /// The journal's session, 32 hexadecimal digits.
    pub session: String,
    /// The serial of the position for which this holds.
    pub serial: u64,
    /// The chain value of that position, 64 hexadecimal digits.
    pub chain: String,
    /// The lowest serial from which a follower can continue.
    pub floor: u64,
    /// The changes that made the current state, and `none` for keys without one, ordered by kind and raw key.
    pub items: Vec<Item>,
    /// There is more: repeat the question with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Milliseconds until a client that fetches in the background may ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<u64>,
}

/// Why a question for what differs cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Too many keys.
    #[error("{0} keys are named; the limit is {MAX_HAVE} for each request")]
    TooMany(usize),
    /// The text is not a key.
    #[error("{:?} is not an account key, an operator's identity key or an activation's hash", excerpt(.0))]
    Key(String),
    /// A digest of another form.
    #[error("the digest of {} is not 16 hexadecimal digits", excerpt(.0))]
    Digest(String),
    /// A prefix of another form.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// A key that is not asked about.
    #[error("{} is not under the prefix", excerpt(.0))]
    Elsewhere(String),
    /// Not what an answer said.
    #[error("after must be the next of an earlier answer")]
    After,
}

impl DigestPage {
    /// The answer about a place in the tree.
    pub fn new(view: &View, floor: u64) -> Self {
        let page = Self::of(&view.head, floor, view.sum.short());
        match &view.below {
            ViewParts::Sums(sums) => {
                let child = |(byte, sum): &(u8, Sum)| (format!("{byte:02x}"), sum.short().to_string());
                Self { children: Some(sums.iter().map(child).collect()), ..page }
            }
            ViewParts::Leaves(leaves) => {
                Self { items: Some(leaves.iter().map(|(key, leaf)| ListedLeaf::of(*key, leaf)).collect()), ..page }
            }
        }
    }

    /// The answer with a page of leaves.
    pub fn of_leaves(page: LeafPage, floor: u64) -> Self {
        Self {
            items: Some(page.leaves),
            next: page.next.map(|key| key.text()),
            ..Self::of(&page.head, floor, page.sum)
        }
    }

    fn of(head: &Head, floor: u64, sum: Short) -> Self {
        Self {
            session: head.session.to_string(),
            serial: head.serial,
            chain: head.chain.to_string(),
            floor,
            sum: sum.to_string(),
            children: None,
            items: None,
            next: None,
        }
    }

    /// The page of leaves in the answer. `None`: there are no leaves in it, or a part has another form.
    pub fn leaves(self) -> Option<LeafPage> {
        let (session, chain) = (Session::parse(&self.session)?, Chain::parse(&self.chain)?);
        let next = match &self.next {
            Some(text) => Some(Subject::parse(text)?),
            None => None,
        };
        let head = Head { session, serial: self.serial, chain };
        Some(LeafPage { head, sum: Short::parse(&self.sum)?, leaves: self.items?, next })
    }
}

impl DigestAsk {
    /// Reads the question.
    pub fn parse(&self) -> Result<Ask, AskError> {
        if self.have.len() > MAX_HAVE {
            return Err(AskError::TooMany(self.have.len()));
        }
        let prefix = self.prefix.as_deref().map(Prefix::parse).transpose()?;
        let mut have = BTreeMap::new();
        for (text, digest) in &self.have {
            // A long text is not repeated.
            let key = Subject::parse(text).ok_or_else(|| AskError::Key(text.chars().take(80).collect()))?;
            if prefix.is_some_and(|prefix| !prefix.contains(&key)) {
                return Err(AskError::Elsewhere(key.text()));
            }
            have.insert(key, Short::parse(digest).ok_or_else(|| AskError::Digest(key.text()))?);
        }
        let after = self.after.as_deref().map(|after| Subject::parse(after).ok_or(AskError::After)).transpose()?;
        Ok(Ask { have, prefix, after })
    }
}

impl DigestAnswer {
    /// The answer of a comparison.
    pub fn new(comparison: &Comparison, floor: u64) -> Self {
        let head = &comparison.head;
        Self {
            session: head.session.to_string(),
            serial: head.serial,
            chain: head.chain.to_string(),
            floor,
            items: comparison.differences.iter().map(|difference| item(difference, head)).collect(),
            next: comparison.next.map(|key| key.text()),
            pause: None,
        }
    }

    /// The position for which it holds. `None`: not of this format.
    pub fn position(&self) -> Option<Head> {
        Some(Head { session: Session::parse(&self.session)?, serial: self.serial, chain: Chain::parse(&self.chain)? })
    }
}

fn item(difference: &Difference, head: &Head) -> Item {
    match difference {
        Difference::Change(change) => Item::from(change),
        // Other accounts that it names have something later.
        Difference::Deletion(change, stands) => {
            Item { keys: stands.iter().map(AccountKey::text).collect(), ..Item::from(change) }
        }
        Difference::Nothing(subject) => Item::nothing(head, subject),
    }
}
