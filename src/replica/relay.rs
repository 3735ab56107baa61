//! Whether the replicas behind this one can follow it, and the way of the feed to it.

use parking_lot::Mutex;

use crate::feed::wire::{LONGEST_NAME, MAX_HOPS};

/// What the followers of this replica can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// Nothing yet: the primary was not followed so far.
    NotYet,
    /// Nothing: the primary has no feed.
    None,
    /// The log of its store.
    Open,
}

/// The way leads from replica to replica, and not to a primary.
#[derive(Debug, thiserror::Error)]
#[error(
    "its feed comes by way of {0} replicas, which are too many, or this one is among them: the setting primary must lead \
     to a server that is no replica"
)]
pub(super) struct Loop(usize);

/// What goes onward, and the way of the feed.
#[derive(Debug)]
pub(super) struct Relay(Mutex<RelayState>);

#[derive(Debug)]
struct RelayState {
    onward: Onward,
    /// The replicas between the primary and this one, the nearest one last.
    via: Vec<String>,
}

impl Relay {
    /// `is_open`: an earlier process followed a feed.
    pub(super) const fn new(is_open: bool) -> Self {
        let onward = if is_open { Onward::Open } else { Onward::NotYet };
        Self(Mutex::new(RelayState { onward, via: Vec::new() }))
    }

    /// The primary has a feed.
    pub(super) fn open(&self) {
        self.0.lock().onward = Onward::Open;
    }

    /// The primary has no feed. Returns whether that is news.
    pub(super) fn stop(&self) -> bool {
        std::mem::replace(&mut self.0.lock().onward, Onward::None) == Onward::Open
    }

    /// Sets the replicas on the way of the feed. `name`: the name of this process.
    pub(super) fn comes_by(&self, via: &[String], name: &str) -> Result<(), Loop> {
        if via.len() >= MAX_HOPS || via.iter().any(|hop| hop == name) {
            return Err(Loop(via.len()));
        }
        self.0.lock().via = via.iter().map(|hop| hop.chars().take(LONGEST_NAME).collect()).collect();
        Ok(())
    }

    pub(super) fn via(&self) -> Vec<String> {
        self.0.lock().via.clone()
    }

    pub(super) fn onward(&self) -> Onward {
        self.0.lock().onward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_leads_back_or_is_too_long_is_a_loop() {
        let relay = Relay::new(false);
        let via = |count: usize| (0..count).map(|hop| format!("r{hop}")).collect::<Vec<_>>();
        for (count, name, is_loop) in [(0, "x", false), (7, "x", false), (8, "x", true), (7, "r3", true)] {
            assert_eq!(relay.comes_by(&via(count), name).is_err(), is_loop, "{count} {name}");
        }
    }
}
