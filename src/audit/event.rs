//! What the lines tell.

use std::sync::Arc;

use crate::gate::{Actor, Client};

/// The committed changes of a journal.
pub trait Source: Send {
    /// The session of the journal, and the serial of its last change.
    fn position(&self) -> ([u8; 16], u64);

    /// At most `limit` changes after a serial, in order. Blocks for a query. The error is for people.
    fn after(&self, serial: u64, limit: u64) -> Result<Vec<Committed>, String>;
}

/// What a change is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct What {
    /// `account`, `operator` or `activation`.
    pub kind: &'static str,
    /// `put`, `delete`, `removed`, `operator` or `activation`.
    pub op: &'static str,
    /// The keys, in full. Only a deletion has several.
    pub keys: Vec<String>,
    /// The account that vouches, of an activation.
    pub account: Option<String>,
    /// The name that the JWT gives, if it is known.
    pub name: Option<String>,
}

/// A committed change.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its serial.
    pub serial: u64,
    /// When it was committed, unix milliseconds.
    pub at: i64,
    /// What it is about.
    pub what: What,
    /// The path on which it came.
    pub via: String,
    /// The client, as the journal has it: without the id of its request.
    pub client: Option<Client>,
}

/// An attempt that carried a valid signature, and was rejected.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// When, unix milliseconds.
    pub at: i64,
    /// Why: the label that metrics have.
    pub reason: &'static str,
    /// What it was about.
    pub what: What,
    /// The path on which it came.
    pub via: &'static str,
    /// The sender, if that is known.
    pub sender: Actor,
}

/// Whether the journal does not store all of a sender.
pub(super) fn is_more_than_stored(sender: &Arc<Client>) -> bool {
    sender.request_id.is_some()
}
