//! What a server is, as far as that decides which metrics it has.

/// The role of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It owns the order of changes.
    Primary,
    /// It follows a primary.
    Replica,
}

/// A part that not every server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A connection to NATS.
    Nats,
    /// A service that signs self-signed JWTs.
    Signing,
    /// A token folder that the server writes.
    Folder,
    /// An audit log.
    Audit,
    /// A bounded store: a replica that is a cache.
    Cache,
}

/// The role and the parts of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    role: Role,
    parts: Vec<Part>,
}

impl Profile {
    /// A server of this role with these parts.
    pub const fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts }
    }

    /// A primary with every part.
    pub fn primary() -> Self {
        Self::new(Role::Primary, vec![Part::Nats, Part::Signing, Part::Folder, Part::Audit])
    }

    /// A replica with every part.
    pub fn replica() -> Self {
        Self::new(Role::Replica, vec![Part::Nats, Part::Cache])
    }

    /// The role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether it has a part.
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

/// The servers that have a metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    role: Option<Role>,
    part: Option<Part>,
}

/// Every server.
pub(super) const BOTH: Scope = Scope { role: None, part: None };
/// Primaries.
pub(super) const PRIMARY: Scope = Scope { role: Some(Role::Primary), part: None };
/// Replicas.
pub(super) const REPLICA: Scope = Scope { role: Some(Role::Replica), part: None };

impl Scope {
    /// Those of them with a part.
    pub(super) const fn with(self, part: Part) -> Self {
        Self { role: self.role, part: Some(part) }
    }

    pub(super) fn covers(self, profile: &Profile) -> bool {
        self.role.is_none_or(|role| role == profile.role()) && self.part.is_none_or(|part| profile.has(part))
    }
}
