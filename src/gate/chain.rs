//! The operator JWTs in force form a chain, from the anchor to the newest.
//!
//! The anchor is the newest JWT that the identity key signed. At a first start it is the configured file, whatever its
//! signer. Each later link is signed by a signing key that the previous link lists. The last link is *in force*: its
//! keys count. [`super::operator::admit`] decides about each further link.

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

/// Maximum number of replaced JWTs that a chain remembers.
const MOST_REPLACED: usize = 256;

/// Why the anchor of a chain is trusted.
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
    /// The origin of an anchor that was not set by hand.
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

    /// The origin of an [`Origin::label`].
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
    /// The JWTs that the anchor replaced and that their `iat` alone does not reject.
    replaced: Vec<Replaced>,
}

impl OperatorChain {
    /// A chain that begins with this JWT, whatever its signer.
    pub fn begin(anchor: Arc<Trust>) -> Self {
        Self { origin: Origin::of(&anchor), anchor, later: Vec::new(), replaced: Vec::new() }
    }

    /// A stored chain: its links, oldest first. `None`: there is no link.
    pub fn restore(origin: Origin, links: Vec<Arc<Trust>>, replaced: Vec<Replaced>) -> Option<Self> {
        let mut links = links.into_iter();
        let anchor = links.next()?;
        Some(Self { origin, anchor, later: links.collect(), replaced })
    }

    /// The chain after this JWT was set as its anchor by hand. The former links do not come back on their own.
    pub fn trusting(&self, anchor: Arc<Trust>) -> Self {
        let links = self.links().map(|link| Replaced { iat: link.iat(), identity: *link.version() });
        let replaced = self.replaced_by(&anchor, links);
        Self { origin: Origin::Trusted, replaced, ..Self::begin(anchor) }
    }

    /// The JWTs that do not come back after an anchor: those replaced before, and these.
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

    /// Why the anchor is trusted.
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

    /// Replaced JWTs that their `iat` alone does not reject.
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

    /// Logs what is odd about the first chain here. A signing key's signature cannot be checked then; the JWT counts
    /// nevertheless, as on nats-servers.
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
