//! The changes that a replica passes on to its followers, after it applied them.
//!
//! A ring holds one unbroken history. When the primary has another history, or changes were missed, the ring ends
//! together with its followers' streams. A new one begins where this replica continues.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::feed::wire::{Item, LONGEST_NAME, MAX_HOPS};
use crate::feed::{Chain, Head, Link, Ring};

/// A change as it was received.
#[derive(Debug)]
pub(super) struct RelayedChange {
    item: Item,
    chain: Chain,
}

impl RelayedChange {
    pub(super) const fn item(&self) -> &Item {
        &self.item
    }
}

impl Link for RelayedChange {
    fn serial(&self) -> u64 {
        self.item.serial
    }

    fn chain(&self) -> Chain {
        self.chain
    }

    /// All memory counts, because upstream decides how much there is.
    fn weight(&self) -> usize {
        let Item { chain, kind, op, key, jwt, keys, request, digest, links, serial: _, at: _ } = &self.item;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = |texts: &[String]| texts.iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
        let given = text(key) + text(jwt) + text(request) + text(digest) + chain.len() + kind.len() + op.len();
        given + texts(keys) + texts(links)
    }
}

/// What the followers of this replica can follow.
#[derive(Debug, Clone)]
pub(super) enum Onward {
    /// Nothing yet: the primary was not followed so far.
    NotYet,
    /// Nothing: the primary has no feed.
    None,
    /// This ring.
    Ring(Arc<Ring<RelayedChange>>),
}

/// The way leads from replica to replica, and not to a primary.
#[derive(Debug, thiserror::Error)]
#[error(
    "its feed comes by way of {0} replicas, which are too many, or this one is among them: the setting primary must lead \
     to a server that is no replica"
)]
pub(super) struct Loop(usize);

/// The ring, and the way of the feed.
#[derive(Debug)]
pub(super) struct Relay(Mutex<RelayState>);

#[derive(Debug)]
struct RelayState {
    onward: Onward,
    /// The replicas between the primary and this one, the nearest one last.
    via: Vec<String>,
}

impl Relay {
    /// `position`: where an earlier process stopped.
    pub(super) fn new(position: Option<Head>) -> Self {
        let onward = position.map_or(Onward::NotYet, |head| Onward::Ring(Arc::new(Ring::new(head))));
        Self(Mutex::new(RelayState { onward, via: Vec::new() }))
    }

    /// Begins a new ring at `head`.
    pub(super) fn begin(&self, head: Head) {
        self.replace(Onward::Ring(Arc::new(Ring::new(head))));
    }

    /// Continues at `head`, even if the primary had no feed for a while.
    pub(super) fn open(&self, head: Head) {
        if !matches!(self.onward(), Onward::Ring(_)) {
            self.begin(head);
        }
    }

    /// Ends the ring: the primary has no feed.
    pub(super) fn stop(&self) {
        self.replace(Onward::None);
    }

    /// Passes on a change that was applied and led to `reached`.
    pub(super) fn pass(&self, item: &Item, reached: Head) {
        let onward = self.onward();
        match onward {
            Onward::Ring(ring) if ring.head().serial + 1 == reached.serial => {
                ring.extend([Arc::new(RelayedChange { item: item.clone(), chain: reached.chain })]);
            }
            // The change before failed half-way.
            _ => self.begin(reached),
        }
    }

    /// Wakes the followers for a heartbeat at once. Otherwise the waits of all tiers would add up.
    pub(super) fn wake(&self) {
        if let Onward::Ring(ring) = self.onward() {
            ring.wake();
        }
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
        self.0.lock().onward.clone()
    }

    fn replace(&self, onward: Onward) {
        let before = std::mem::replace(&mut self.0.lock().onward, onward);
        if let Onward::Ring(ring) = before {
            ring.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Session;

    fn at(serial: u64) -> Head {
        Head { session: Session([1; 16]), serial, chain: Chain([2; 32]) }
    }

    fn item(serial: u64) -> Item {
        let text = format!(
            r#"{{"serial": {serial}, "chain": "", "at": 0, "kind": "account", "op": "put", "key": "A", "jwt": "x"}}"#
        );
        serde_json::from_str(&text).expect("an item")
    }

    fn ring(relay: &Relay) -> Arc<Ring<RelayedChange>> {
        match relay.onward() {
            Onward::Ring(ring) => ring,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ring_is_one_unbroken_history() {
        let relay = Relay::new(None);
        assert!(matches!(relay.onward(), Onward::NotYet));
        relay.begin(at(5));
        relay.pass(&item(6), at(6));
        let first = ring(&relay);
        relay.open(at(6));
        assert_eq!((first.floor(), first.head().serial), (5, 6));
        relay.pass(&item(8), at(8));
        assert!(first.ended().is_cancelled(), "there is a gap");
        assert_eq!((ring(&relay).floor(), ring(&relay).head().serial), (8, 8));
        let second = ring(&relay);
        relay.stop();
        assert!(second.ended().is_cancelled() && matches!(relay.onward(), Onward::None));
        relay.open(at(8));
        assert_eq!(ring(&relay).floor(), 8);
        assert_eq!(ring(&Relay::new(Some(at(3)))).floor(), 3);
    }

    #[test]
    fn a_change_weighs_all_that_it_holds() {
        let weight = |item: Item| RelayedChange { item, chain: Chain::default() }.weight();
        let small = weight(item(1));
        for large in [
            Item { keys: vec!["A".repeat(56); 1_000], ..item(1) },
            Item { keys: vec![String::new(); 2_400], ..item(1) },
            Item { kind: "k".repeat(56_000), ..item(1) },
            Item { digest: Some("d".repeat(56_000)), ..item(1) },
            Item { links: vec!["l".repeat(56_000)], ..item(1) },
        ] {
            assert!(weight(large.clone()) > small + 50_000, "{large:?}");
        }
    }

    #[test]
    fn a_way_that_leads_back_or_is_too_long_is_a_loop() {
        let relay = Relay::new(None);
        let via = |count: usize| (0..count).map(|hop| format!("r{hop}")).collect::<Vec<_>>();
        for (count, name, is_loop) in [(0, "x", false), (7, "x", false), (8, "x", true), (7, "r3", true)] {
            assert_eq!(relay.comes_by(&via(count), name).is_err(), is_loop, "{count} {name}");
        }
    }
}
