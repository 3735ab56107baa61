//! The sender of a change, and the path of it.

use std::sync::Arc;

use super::Via;

/// The sender of a change, for people: the address of a client. `None`: unknown.
pub type Actor = Option<Arc<str>>;

/// The path of a change, and who sent it. This server remembers both; they do not travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The path on which it came.
    pub via: Via,
    /// The sender.
    pub actor: Actor,
}

impl Sender {
    /// A path, and who used it.
    pub const fn new(via: Via, actor: Actor) -> Self {
        Self { via, actor }
    }
}

impl From<Via> for Sender {
    fn from(via: Via) -> Self {
        Self::new(via, None)
    }
}
