//! What a replica passes on to replicas behind it: the changes that it received, after it took them in.
//!
//! A ring holds one unbroken history. When the primary turns out to have another one, or changes were missed, that ring
//! ends, with everybody who follows it, and a new one begins where this replica goes on.

mod digests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use digests::Question;

use super::Replica;
use super::forward::MAX_HOPS;
use crate::clock;
use crate::feed::wire::Item;
use crate::feed::{Chain, Head, Link, Ring};

/// A change as it was received.
#[derive(Debug)]
pub struct Passed {
    item: Item,
    chain: Chain,
}

impl Passed {
    /// The change.
    pub const fn item(&self) -> &Item {
        &self.item
    }
}

impl Link for Passed {
    fn serial(&self) -> u64 {
        self.item.serial
    }

    fn chain(&self) -> Chain {
        self.chain
    }

    fn weight(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        text(&self.item.jwt) + text(&self.item.request)
    }
}

/// What replicas behind this one can follow.
#[derive(Debug, Clone)]
pub enum Onward {
    /// Nothing yet: the primary was not followed so far.
    NotYet,
    /// Nothing: the primary has no feed.
    None,
    /// This.
    Ring(Arc<Ring<Passed>>),
}

/// The way leads from replica to replica, and not to a primary.
#[derive(Debug, thiserror::Error)]
#[error(
    "it is reached by way of {0} replicas, which are too many, or this one is among them: the setting primary has to lead \
     to a server that is no replica"
)]
pub(super) struct Loop(usize);

/// The state of it.
#[derive(Debug)]
pub(super) struct Relay(Mutex<State>);

#[derive(Debug)]
struct State {
    onward: Onward,
    /// The replicas between the primary and this one, the nearest one last.
    via: Vec<String>,
}

impl Relay {
    /// `position`: where an earlier process stood.
    pub(super) fn new(position: Option<Head>) -> Self {
        let onward = position.map_or(Onward::NotYet, |head| Onward::Ring(Arc::new(Ring::new(head))));
        Self(Mutex::new(State { onward, via: Vec::new() }))
    }

    /// This replica goes on from here, and not from where it stood before.
    pub(super) fn begin(&self, head: Head) {
        self.replace(Onward::Ring(Arc::new(Ring::new(head))));
    }

    /// The primary has no feed.
    pub(super) fn stop(&self) {
        self.replace(Onward::None);
    }

    /// A change was taken in, and led to `reached`.
    pub(super) fn pass(&self, item: &Item, reached: Head) {
        let onward = self.onward();
        match onward {
            Onward::Ring(ring) if ring.head().serial + 1 == reached.serial => {
                ring.extend([Arc::new(Passed { item: item.clone(), chain: reached.chain })]);
            }
            // Taking in the one before it has failed half-way.
            _ => self.begin(reached),
        }
    }

    /// The primary was heard, and nothing has changed.
    pub(super) fn wake(&self) {
        if let Onward::Ring(ring) = self.onward() {
            ring.wake();
        }
    }

    /// Notes by which replicas the feed comes. `name`: this one's.
    pub(super) fn comes_by(&self, via: &[String], name: &str) -> Result<(), Loop> {
        if via.len() >= MAX_HOPS || via.iter().any(|hop| hop == name) {
            return Err(Loop(via.len()));
        }
        via.clone_into(&mut self.state().via);
        Ok(())
    }

    fn onward(&self) -> Onward {
        self.state().onward.clone()
    }

    fn replace(&self, onward: Onward) {
        let before = std::mem::replace(&mut self.state().onward, onward);
        if let Onward::Ring(ring) = before {
            ring.end();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replica {
    /// What replicas behind this one can follow.
    pub fn onward(&self) -> Onward {
        self.relay.onward()
    }

    /// Milliseconds since the primary itself was last known to stand where this replica does, whatever is between them.
    pub fn primary_age(&self) -> u64 {
        let age = self.silence().unwrap_or_else(clock::unix_millis);
        u64::try_from(age).unwrap_or(0)
    }

    /// The replicas between the primary and those behind this one, which is the last.
    pub fn path(&self) -> Vec<String> {
        let mut path = self.relay.state().via.clone();
        path.push(self.forwarding.name().to_owned());
        path
    }

    /// How many replicas there are between the primary and this one.
    pub fn tiers(&self) -> usize {
        self.relay.state().via.len()
    }
}
