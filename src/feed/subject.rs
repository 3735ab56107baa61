//! The subject of a change: an account, the operator, or an activation.

use crate::jwt::HashId;
use crate::key::{AccountKey, Kind, PublicKey};

/// The kind of a subject. Its name is for the wire, its code for digests and for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// An account.
    Account,
    /// The operator's own JWT.
    Operator,
    /// An activation.
    Activation,
}

impl SubjectKind {
    /// Every kind, in their order.
    pub const ALL: [Self; 3] = [Self::Account, Self::Operator, Self::Activation];

    /// The number that enters a leaf, and that the journal stores.
    pub const fn code(self) -> u8 {
        match self {
            Self::Account => 1,
            Self::Operator => 2,
            Self::Activation => 3,
        }
    }

    /// The kind of a [`SubjectKind::code`].
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| i64::from(kind.code()) == code)
    }

    /// The name in the feed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Operator => "operator",
            Self::Activation => "activation",
        }
    }

    /// The kind of a [`SubjectKind::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a change is about. Ordered by kind, then by raw key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An account.
    Account(AccountKey),
    /// An operator, by its identity key.
    Operator(PublicKey),
    /// An activation.
    Activation(HashId),
}

impl Subject {
    /// A subject from its kind and the 32 raw bytes of its key.
    pub const fn from_raw(kind: SubjectKind, raw: [u8; 32]) -> Self {
        match kind {
            SubjectKind::Account => Self::Account(AccountKey::from_raw(raw)),
            SubjectKind::Operator => Self::Operator(PublicKey::from_raw(Kind::Operator, raw)),
            SubjectKind::Activation => Self::Activation(HashId::from_raw(raw)),
        }
    }

    /// Parses a text, whose form tells the kind: a public account key, a public operator key, or an activation's hash.
    pub fn parse(text: &str) -> Option<Self> {
        match PublicKey::parse(text) {
            Ok(key) => match key.kind() {
                Kind::Account => Some(Self::Account(AccountKey::from_raw(*key.raw()))),
                Kind::Operator => Some(Self::Operator(key)),
                _ => None,
            },
            Err(_) => HashId::parse(text).map(Self::Activation),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> SubjectKind {
        match self {
            Self::Account(_) => SubjectKind::Account,
            Self::Operator(_) => SubjectKind::Operator,
            Self::Activation(_) => SubjectKind::Activation,
        }
    }

    /// The 32 bytes of the account key, of the operator's identity key, or of the activation's hash.
    pub const fn raw(&self) -> &[u8; 32] {
        match self {
            Self::Account(key) => key.raw(),
            Self::Operator(identity) => identity.raw(),
            Self::Activation(id) => id.raw(),
        }
    }

    /// The text of the key.
    pub fn text(&self) -> String {
        match self {
            Self::Account(key) => key.text(),
            Self::Operator(identity) => identity.text(),
            Self::Activation(id) => id.text(),
        }
    }

    /// The bucket of its leaf.
    pub const fn bucket(&self) -> u16 {
        let [high, low, ..] = *self.raw();
        u16::from_be_bytes([high, low])
    }
}
