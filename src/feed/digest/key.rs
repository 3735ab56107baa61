//! The subject of a leaf.

use crate::feed::wire;
use crate::jwt::HashId;
use crate::key::{AccountKey, Kind as KeyKind, PublicKey};

/// A kind of things that change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An account.
    Account,
    /// The operator's own JWT.
    Operator,
    /// An activation.
    Activation,
}

impl Kind {
    /// Every kind, in their order.
    pub const ALL: [Self; 3] = [Self::Account, Self::Operator, Self::Activation];

    /// The byte that enters a leaf.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Account => 1,
            Self::Operator => 2,
            Self::Activation => 3,
        }
    }

    /// The name in the feed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => wire::KIND_ACCOUNT,
            Self::Operator => wire::KIND_OPERATOR,
            Self::Activation => wire::KIND_ACTIVATION,
        }
    }
}

/// A kind, and which of it. Ordered by kind, then by raw key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Of which kind.
    pub kind: Kind,
    /// The bytes of the account key, of the operator's identity key, or of the activation's hash.
    pub raw: [u8; 32],
}

impl Key {
    /// An account.
    pub const fn account(key: &AccountKey) -> Self {
        Self { kind: Kind::Account, raw: *key.raw() }
    }

    /// An operator, by its identity key.
    pub const fn operator(identity: &PublicKey) -> Self {
        Self { kind: Kind::Operator, raw: *identity.raw() }
    }

    /// An activation.
    pub const fn activation(id: &HashId) -> Self {
        Self { kind: Kind::Activation, raw: *id.raw() }
    }

    /// Parses a text, whose form tells the kind: a public account key, a public operator key, or an activation's hash.
    pub fn parse(text: &str) -> Option<Self> {
        match PublicKey::parse(text) {
            Ok(key) => match key.kind() {
                KeyKind::Account => Some(Self { kind: Kind::Account, raw: *key.raw() }),
                KeyKind::Operator => Some(Self::operator(&key)),
                _ => None,
            },
            Err(_) => HashId::parse(text).map(|id| Self::activation(&id)),
        }
    }

    /// The text.
    pub fn text(&self) -> String {
        match self.kind {
            Kind::Account => AccountKey::from_raw(self.raw).text(),
            Kind::Operator => PublicKey::from_raw(KeyKind::Operator, self.raw).text(),
            Kind::Activation => HashId::from_raw(self.raw).text(),
        }
    }

    /// The bucket of its leaf.
    pub const fn bucket(&self) -> u16 {
        u16::from_be_bytes([self.raw[0], self.raw[1]])
    }
}
