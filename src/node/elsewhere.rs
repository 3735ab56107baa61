//! What becomes of what clients send to this server, if only its primary can deal with it.

use std::sync::Arc;

use super::{Node, Role, WriteError};
use crate::config::ReplicaWrites;
use crate::replica::{ForwardError, Question, Relayed, Replica, Write};

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

/// The way to the primary of this server.
#[derive(Debug)]
pub struct ToPrimary<'n>(&'n Arc<Replica>);

impl ToPrimary<'_> {
    /// Sends a change on. When there is an answer, what the primary took in is taken in here, too.
    pub async fn send(&self, write: &Write) -> Result<Relayed, ForwardError> {
        self.0.forward(write).await
    }

    /// Asks a question about digests, and gives the answer as it is.
    pub async fn ask(&self, question: Question) -> Result<Relayed, ForwardError> {
        self.0.relay_digests(question).await
    }
}

impl Node {
    /// The way to the primary, on a replica.
    pub fn upstream(&self) -> Option<ToPrimary<'_>> {
        match self.role() {
            Role::Primary(_) => None,
            Role::Replica(replica) => Some(ToPrimary(replica)),
        }
    }

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
