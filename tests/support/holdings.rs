//! What a fake primary holds, and what it answers to those that compare with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nats_account_server::feed::digest::{Leaf, LeafPage, LeafState, ListedLeaf, Prefix, Toggle, Tree, View, ViewParts};
use nats_account_server::feed::wire::{DigestAnswer, DigestAsk, DigestPage, Item};
use nats_account_server::feed::{Head, Subject};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::Answer;

const PATH: &str = "/jwt/v1/digests";
/// Leaves of one page.
const PAGE: usize = 5_000;

/// The state of each key, with the change that made it.
#[derive(Clone)]
pub(crate) struct Holdings(Arc<Mutex<Inside>>);

struct Inside {
    at: Head,
    held: BTreeMap<Subject, (Leaf, Item)>,
    is_away: bool,
}

impl Holdings {
    /// Nothing, as of a position.
    pub(crate) fn new(at: Head) -> Self {
        Self(Arc::new(Mutex::new(Inside { at, held: BTreeMap::new(), is_away: false })))
    }

    /// Answers as of another position from now on.
    pub(crate) fn stand_at(&self, at: Head) {
        self.0.lock().at = at;
    }

    /// Answers 503 from now on, or no longer.
    pub(crate) fn are_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    /// Holds the JWT that this change puts.
    pub(crate) fn hold(&self, item: &Item) {
        let key = Subject::parse(item.key.as_ref().unwrap()).unwrap();
        let signed = item.jwt.as_ref().unwrap().rsplit_once('.').unwrap().0;
        let leaf = Leaf::of(&key, &LeafState::Held(Sha256::digest(signed).into()));
        self.0.lock().held.insert(key, (leaf, item.clone()));
    }

    /// Holds nothing of a key any more.
    pub(crate) fn drop(&self, key: &str) {
        self.0.lock().held.remove(&Subject::parse(key).unwrap());
    }

    /// The answer to a request with this path and query, and this body. `None`: it is not about digests.
    pub(crate) fn answer(&self, path: &str, body: &str) -> Option<Answer> {
        let is_away = self.0.lock().is_away;
        self.always_answer(path, body).map(|answer| if is_away { Answer::new(503, "") } else { answer })
    }

    /// The same, even while they are away.
    pub(crate) fn always_answer(&self, path: &str, body: &str) -> Option<Answer> {
        let query = path.strip_prefix(PATH)?;
        let inside = self.0.lock();
        let text = if body.is_empty() {
            serde_json::to_string(&inside.page(query.trim_start_matches('?')))
        } else {
            serde_json::to_string(&inside.compare(&serde_json::from_str(body).unwrap()))
        };
        Some(Answer::new(200, text.unwrap()))
    }
}

impl Inside {
    fn page(&self, query: &str) -> DigestPage {
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
        };
        let prefix = value("prefix").map(|text| Prefix::parse(text).unwrap());
        let after = value("after").map(|text| Subject::parse(text).unwrap());
        let mut tree = Tree::default();
        for (key, (leaf, _)) in &self.held {
            tree.toggle(&Toggle::between(key, None, Some(*leaf)));
        }
        let (head, sum) = (self.at, tree.sum(prefix));
        let under = || self.held.iter().filter(move |(key, _)| prefix.is_none_or(|prefix| prefix.contains(key)));
        if value("leaves") == Some("true") {
            let listed = under().filter(|(key, _)| after.is_none_or(|after| **key > after));
            let mut leaves: Vec<_> = listed.map(|(key, (leaf, _))| ListedLeaf::of(*key, leaf)).collect();
            let is_more = leaves.len() > PAGE;
            leaves.truncate(PAGE);
            let next = leaves.last().filter(|_| is_more).map(|last| last.key);
            return DigestPage::of_leaves(LeafPage { head, sum: sum.short(), leaves, next }, 0);
        }
        let below = match prefix {
            None => ViewParts::Sums(tree.children(None)),
            Some(Prefix::Node(node)) => ViewParts::Sums(tree.children(Some(node))),
            Some(Prefix::Bucket(_)) => ViewParts::Leaves(under().map(|(key, (leaf, _))| (*key, *leaf)).collect()),
        };
        DigestPage::new(&View { head, sum, below }, 0)
    }

    /// What differs from what is named, and under the prefix also what is not named.
    fn compare(&self, ask: &DigestAsk) -> DigestAnswer {
        let ask = ask.parse().unwrap();
        let mut differing: BTreeMap<Subject, Item> = BTreeMap::new();
        for (key, theirs) in &ask.have {
            match self.held.get(key) {
                Some((leaf, _)) if leaf.short() == *theirs => {}
                Some((_, item)) => _ = differing.insert(*key, item.clone()),
                None => _ = differing.insert(*key, Item::nothing(&self.at, key)),
            }
        }
        for (key, (_, item)) in &self.held {
            if ask.prefix.is_some_and(|prefix| prefix.contains(key)) && !ask.have.contains_key(key) {
                differing.insert(*key, item.clone());
            }
        }
        let items = differing.into_iter().filter(|(key, _)| ask.after.is_none_or(|after| *key > after));
        DigestAnswer {
            session: self.at.session.to_string(),
            serial: self.at.serial,
            chain: self.at.chain.to_string(),
            floor: 0,
            items: items.map(|(_, item)| item).collect(),
            next: None,
            pause: None,
        }
    }
}
