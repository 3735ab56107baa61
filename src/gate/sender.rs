//! The sender of a change, and the path of it.

use std::sync::Arc;

use super::Via;

/// The client that sent a change, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: Box<str>,
    /// The subject of the certificate that it showed, with the certificate's fingerprint.
    pub tls: Option<Arc<str>>,
    /// The id of its request.
    pub request_id: Option<Box<str>>,
}

impl Client {
    /// One of which only the address is known.
    pub fn at(address: impl Into<Box<str>>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }
}

/// The sender of a change. `None`: unknown.
pub type Actor = Option<Arc<Client>>;

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

    /// The id of the request, if it is known.
    pub fn request_id(&self) -> Option<&str> {
        self.actor.as_ref()?.request_id.as_deref()
    }
}

impl From<Via> for Sender {
    fn from(via: Via) -> Self {
        Self::new(via, None)
    }
}
