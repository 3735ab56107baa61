//! The operator JWTs in force form a chain, from the anchor to the newest.
//!
//! The anchor is the newest JWT that the identity key signed. At a first start it is the configured file, whoever signed
//! it. Each later link is signed by a signing key that the link before it lists. The last link is *in force*: its keys
//! count. What decides about another link is [`super::operator::admit`].

use std::sync::Arc;

use super::entry::Identity;
use super::{MOST_IN_ONE_SECOND, Trust};

/// Links that a chain has at most, the anchor included.
pub const MOST_LINKS: usize = 32;
/// From this many links on, a warning asks for a JWT that the identity key signs.
pub const MANY_LINKS: usize = 24;
/// Bytes that the JWTs of a chain have together at most, so that one event of the feed carries them. The anchor alone may
/// have more.
pub const MOST_BYTES: usize = 1 << 20;

/// Replaced JWTs that are remembered at most, so that a chain stays as small as it has to be.
const MOST_REPLACED: usize = 256;

/// How the anchor of a chain came to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The identity key signed it.
    Identity,
    /// It was configured, or pinned, at a first start. A signing key signed it.
    Configured,
    /// It was made the anchor by hand, whatever its signer and its `iat`.
    Trusted,
}

impl Origin {
    /// That of an anchor that nobody made one by hand.
    pub fn of(anchor: &Trust) -> Self {
        if anchor.is_self_signed() { Self::Identity } else { Self::Configured }
    }

    /// Its name on disk and on the wire.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Configured => "configured",
            Self::Trusted => "trusted",
        }
    }

    /// The origin behind an [`Origin::label`].
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Identity, Self::Configured, Self::Trusted].into_iter().find(|origin| origin.label() == label)
    }
}

/// An operator JWT that was in force and was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its `iat`, unix seconds.
    pub iat: i64,
    /// Which version it is.
    pub identity: Identity,
}

/// The operator JWTs from the anchor to the one in force.
#[derive(Clone, Debug)]
pub struct OperatorChain {
    origin: Origin,
    anchor: Arc<Trust>,
    later: Vec<Arc<Trust>>,
    /// Those that the anchor replaced, as far as their `iat` alone does not bar them.
    replaced: Vec<Replaced>,
}

impl OperatorChain {
    /// A chain that begins with this JWT, whoever signed it.
    pub fn begin(anchor: Arc<Trust>) -> Self {
        Self { origin: Origin::of(&anchor), anchor, later: Vec::new(), replaced: Vec::new() }
    }

    /// A chain as it was kept: its links, oldest first. `None`: there is no link.
    pub fn restore(origin: Origin, links: Vec<Arc<Trust>>, replaced: Vec<Replaced>) -> Option<Self> {
        let mut links = links.into_iter();
        let anchor = links.next()?;
        Some(Self { origin, anchor, later: links.collect(), replaced })
    }

    /// The chain after this JWT was made its anchor by hand. What was in force before does not come back by itself.
    pub fn trusting(&self, anchor: Arc<Trust>) -> Self {
        let links = self.links().map(|link| Replaced { iat: link.iat(), identity: *link.version() });
        let replaced = self.replaced_by(&anchor, links);
        Self { origin: Origin::Trusted, replaced, ..Self::begin(anchor) }
    }

    /// What does not come back after an anchor: what was replaced before, and these.
    fn replaced_by(&self, anchor: &Trust, links: impl Iterator<Item = Replaced>) -> Vec<Replaced> {
        let mut replaced: Vec<_> = self.replaced.iter().copied().chain(links).collect();
        replaced.retain(|old| old.iat >= anchor.iat() && old.identity != *anchor.version());
        // The order in which they are kept on disk says nothing, so it must not decide here.
        replaced.sort_unstable_by_key(|old| (old.iat, old.identity));
        replaced.truncate(MOST_REPLACED);
        replaced
    }

    /// The chain with one more link.
    pub(super) fn with(&self, link: Arc<Trust>) -> Self {
        let mut chain = self.clone();
        chain.replaced.retain(|old| old.identity != *link.version());
        chain.later.push(link);
        chain
    }

    /// The chain that begins with another JWT of the same operator. What was in force before does not come back, but for links
    /// that follow from the new anchor itself: they were cut off only because of what was before them here.
    pub(super) fn anchored_at(&self, anchor: Arc<Trust>) -> Self {
        let follows = |link: &&Arc<Trust>| !link.is_self_signed() && anchor.lists(link.issuer());
        let links = self
            .links()
            .filter(|link| !follows(link))
            .map(|link| Replaced { iat: link.iat(), identity: *link.version() });
        let replaced = self.replaced_by(&anchor, links);
        Self { replaced, ..Self::begin(anchor) }
    }

    /// The chain with another anchor, which lists the signer of the first link that is newer. What is in force stays.
    pub(super) fn anchored_below(&self, anchor: Arc<Trust>) -> Self {
        let later: Vec<_> = self.later.iter().filter(|link| link.iat() > anchor.iat()).cloned().collect();
        let mut chain = self.anchored_at(anchor);
        chain.replaced.retain(|old| later.iter().all(|link| *link.version() != old.identity));
        Self { later, ..chain }
    }

    /// How the anchor came to be trusted.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The first link.
    pub const fn anchor(&self) -> &Arc<Trust> {
        &self.anchor
    }

    /// The last link, whose keys count.
    pub fn in_force(&self) -> &Arc<Trust> {
        self.later.last().unwrap_or(&self.anchor)
    }

    /// All links, oldest first.
    pub fn links(&self) -> impl Iterator<Item = &Arc<Trust>> {
        std::iter::once(&self.anchor).chain(&self.later)
    }

    /// The links after the anchor, oldest first.
    pub(super) fn later(&self) -> &[Arc<Trust>] {
        &self.later
    }

    /// How many links there are.
    #[allow(clippy::len_without_is_empty)] // it is never empty
    pub fn len(&self) -> usize {
        1 + self.later.len()
    }

    /// Bytes of all links together.
    pub fn bytes(&self) -> usize {
        self.links().map(|link| link.token().len()).sum()
    }

    /// Those that were replaced and that their `iat` alone does not bar.
    pub fn replaced(&self) -> &[Replaced] {
        &self.replaced
    }

    /// Whether as many JWTs with this `iat` were replaced as may be: one more would replace another one of its second.
    pub(super) fn is_second_full(&self, iat: i64) -> bool {
        1 + self.replaced.iter().filter(|old| old.iat == iat).count() >= MOST_IN_ONE_SECOND
    }

    /// Whether this version is in the chain.
    pub(super) fn has(&self, version: &Identity) -> bool {
        self.links().any(|link| link.version() == version)
    }

    /// Whether this version is in the chain, or was replaced.
    pub fn knows(&self, version: &Identity) -> bool {
        self.has(version) || self.replaced.iter().any(|old| old.identity == *version)
    }

    /// Writes into the log what is odd about a chain that is the first one here: nobody can check a signing key's signature
    /// then. The JWT counts all the same, as nats-servers trust theirs.
    pub fn log_first(&self) {
        if !self.anchor.is_self_signed() {
            tracing::warn!(
                "the operator JWT is signed by the signing key {}, which cannot be checked at a first start; it is trusted \
                 because it is configured",
                self.anchor.issuer()
            );
        }
    }
}
