//! What becomes of changes that clients send to this server, if it does not take them in itself.

use std::sync::Arc;

use super::{Node, Role, WriteError};
use crate::config::ReplicaWrites;
use crate::replica::{ForwardError, Relayed, Replica, Write};

/// What becomes of a change that a client sends here.
#[derive(Debug)]
pub enum Writes<'n> {
    /// It is taken in here.
    Here,
    /// It is refused; the error says where it belongs.
    Refused(WriteError),
    /// The client is sent to the primary, at this URL without a slash at its end.
    Redirected(&'n str),
    /// It is sent on to the primary.
    Forwarded(ToPrimary<'n>),
}

/// The way of a change to the primary of this server.
#[derive(Debug)]
pub struct ToPrimary<'n>(&'n Arc<Replica>);

impl ToPrimary<'_> {
    /// Sends a change on. When there is an answer, what the primary took in is taken in here, too.
    pub async fn send(&self, write: &Write) -> Result<Relayed, ForwardError> {
        self.0.forward(write).await
    }
}

impl Node {
    /// What becomes of a change that a client sends here.
    pub fn writes(&self) -> Writes<'_> {
        match (self.role(), self.writable()) {
            (_, Ok(_)) => Writes::Here,
            (Role::Primary(_), Err(error)) => Writes::Refused(error),
            (Role::Replica(replica), Err(error)) => match replica.writes() {
                ReplicaWrites::Refuse => Writes::Refused(error),
                ReplicaWrites::Redirect => Writes::Redirected(replica.public_url()),
                ReplicaWrites::Forward => Writes::Forwarded(ToPrimary(replica)),
            },
        }
    }
}
