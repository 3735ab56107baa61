//! A change as a follower gets it from upstream: typed, but not verified yet.

use super::Item;
use crate::feed::{SubjectKind, parse_hex};
use crate::gate::{Digest, Identity};
use crate::jwt::HashId;
use crate::key::AccountKey;

/// A change of the feed, or a difference of a comparison, before it passes the gate.
#[derive(Debug)]
pub struct UpstreamChange<'i> {
    /// Its place in the order.
    pub serial: u64,
    /// The accounts that it names.
    pub accounts: Vec<AccountKey>,
    /// What it does.
    pub content: UpstreamContent<'i>,
}

/// What a change does, as upstream states it.
#[derive(Debug)]
pub enum UpstreamContent<'i> {
    /// An account gets a JWT.
    Put {
        /// The account, if upstream names one.
        key: Option<AccountKey>,
        /// The JWT; `None`: upstream no longer stores its text, because a later change replaced it.
        jwt: Option<&'i str>,
    },
    /// This operator-signed request deletes the accounts that it names.
    Delete(&'i str),
    /// The accounts left the read-only folder of the primary.
    Removed {
        /// Which version; `None`: upstream does not say.
        identity: Option<Identity>,
        /// SHA-256 of its text; `None`: the item has none.
        digest: Option<Digest>,
    },
    /// Nothing exists for the accounts. Only comparisons answer that.
    Nothing,
    /// The operator JWTs in force, oldest first.
    Operator {
        /// Empty if upstream sent no JWT.
        jwts: Vec<&'i str>,
        /// Whether upstream knows the whole chain. A server of format 1 names the last JWT alone.
        is_linked: bool,
    },
    /// An activation.
    Activation {
        /// Which.
        id: HashId,
        /// Its text; `None`: upstream no longer stores it.
        jwt: Option<&'i str>,
    },
    /// An activation has expired and is forgotten.
    Forgotten(HashId),
    /// A change of a kind that this version does not know, or without a key.
    Unknown,
}

impl<'i> From<&'i Item> for UpstreamChange<'i> {
    fn from(item: &'i Item) -> Self {
        let named = item.key.iter().chain(&item.keys);
        Self {
            serial: item.serial,
            accounts: named.filter_map(|key| AccountKey::parse(key).ok()).collect(),
            content: UpstreamContent::of(item),
        }
    }
}

impl<'i> UpstreamContent<'i> {
    fn of(item: &'i Item) -> Self {
        let (key, jwt) = (item.key.as_deref(), item.jwt.as_deref());
        match SubjectKind::from_name(&item.kind) {
            Some(SubjectKind::Account) => match (jwt, item.request.as_deref(), item.op.as_str()) {
                (None, Some(request), _) => Self::Delete(request),
                (None, None, "remove") => {
                    let read = |text: &Option<String>| text.as_deref().and_then(parse_hex);
                    Self::Removed { identity: read(&item.identity), digest: read(&item.digest) }
                }
                (None, None, "none") => Self::Nothing,
                _ => Self::Put { key: key.and_then(|key| AccountKey::parse(key).ok()), jwt },
            },
            Some(SubjectKind::Operator) => {
                let links = item.links.iter().map(String::as_str);
                let last = jwt.filter(|jwt| item.links.last().is_none_or(|last| last != jwt));
                let jwts = if jwt.is_some() { links.chain(last).collect() } else { Vec::new() };
                Self::Operator { jwts, is_linked: !item.links.is_empty() }
            }
            Some(SubjectKind::Activation) => match key.and_then(HashId::parse) {
                Some(id) if jwt.is_none() && item.op == "remove" => Self::Forgotten(id),
                Some(id) => Self::Activation { id, jwt },
                None => Self::Unknown,
            },
            None => Self::Unknown,
        }
    }
}
