//! The most recent changes, in memory, for followers that keep up.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Chain, Change, Head};

/// Bytes of token text in the ring. A follower that lags more reads the journal.
const MAX_BYTES: usize = 8 << 20;
/// How many changes the ring keeps.
const MAX_CHANGES: usize = 4096;

/// A link of the chain, in whatever form it is kept.
pub trait Link {
    /// Its place in the order.
    fn serial(&self) -> u64;

    /// The chain value after it.
    fn chain(&self) -> Chain;

    /// Bytes of token text that it carries.
    fn weight(&self) -> usize;
}

/// A bounded history of the latest changes, and the place to wait for the next one.
#[derive(Debug)]
pub struct Ring<T = Change> {
    recent: Mutex<Recent<T>>,
    head: watch::Sender<Head>,
    ended: CancellationToken,
}

#[derive(Debug)]
struct Recent<T> {
    changes: VecDeque<Arc<T>>,
    bytes: usize,
    /// The serial and the chain value before the first of them.
    floor: (u64, Chain),
}

/// The ring's answer for the changes after a serial.
#[derive(Debug)]
pub enum Catchup<T = Change> {
    /// All of them, up to the requested limit; empty if there are none yet.
    Changes(Vec<Arc<T>>),
    /// They begin before what the ring keeps.
    TooOld,
}

impl<T: Link> Ring<T> {
    /// An empty ring of a history at `head`.
    pub fn new(head: Head) -> Self {
        let recent = Recent { changes: VecDeque::new(), bytes: 0, floor: (head.serial, head.chain) };
        Self { recent: Mutex::new(recent), head: watch::Sender::new(head), ended: CancellationToken::new() }
    }

    /// The position of the history.
    pub fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// The lowest serial from which the ring can continue.
    pub fn floor(&self) -> u64 {
        self.recent.lock().floor.0
    }

    /// A handle that is notified of each new change.
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Wakes all waiting tasks although nothing has changed.
    pub fn wake(&self) {
        self.head.send_modify(|_| {});
    }

    /// Ends the ring: later changes belong to another history.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Cancelled when the ring ends.
    pub const fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Adds changes, in order and without a gap, and wakes all waiting tasks.
    pub fn extend(&self, changes: impl IntoIterator<Item = Arc<T>>) {
        let mut last = None;
        {
            let mut recent = self.recent.lock();
            for change in changes {
                last = Some((change.serial(), change.chain()));
                recent.bytes += change.weight();
                recent.changes.push_back(change);
            }
            while recent.bytes > MAX_BYTES || recent.changes.len() > MAX_CHANGES {
                let Some(oldest) = recent.changes.pop_front() else { break };
                recent.bytes -= oldest.weight();
                recent.floor = (oldest.serial(), oldest.chain());
            }
        }
        if let Some((serial, chain)) = last {
            self.head.send_modify(|head| (head.serial, head.chain) = (serial, chain));
        }
    }

    /// The changes after `serial`, at most `limit` of them with `most` bytes of token text, but at least one if there is one.
    pub fn after(&self, serial: u64, limit: usize, most: usize) -> Catchup<T> {
        if serial >= self.head().serial {
            return Catchup::Changes(Vec::new());
        }
        let recent = self.recent.lock();
        let Some(skip) = recent.distance(serial) else { return Catchup::TooOld };
        let mut bytes = 0;
        let fits = |change: &&Arc<T>| {
            let is_first = bytes == 0;
            bytes += change.weight().max(1);
            is_first || bytes <= most
        };
        Catchup::Changes(recent.changes.iter().skip(skip).take(limit).take_while(fits).cloned().collect())
    }

    /// Bytes of token text of the change after `serial`; `None` if it is not in the ring.
    pub fn weight_after(&self, serial: u64) -> Option<usize> {
        let recent = self.recent.lock();
        recent.changes.get(recent.distance(serial)?).map(|change| change.weight())
    }

    /// The chain value after the change with this serial; `None` if the ring does not know.
    pub fn chain_at(&self, serial: u64) -> Option<Chain> {
        let recent = self.recent.lock();
        match recent.distance(serial)? {
            0 => Some(recent.floor.1),
            distance => recent.changes.get(distance - 1).map(|change| change.chain()),
        }
    }
}

impl<T> Recent<T> {
    /// Changes from the floor up to a serial, that one included; `None` if it is below the floor.
    fn distance(&self, serial: u64) -> Option<usize> {
        serial.checked_sub(self.floor.0).map(|distance| usize::try_from(distance).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Session;

    struct Numbered(u64, usize);

    impl Link for Numbered {
        fn serial(&self) -> u64 {
            self.0
        }

        fn chain(&self) -> Chain {
            chain(self.0)
        }

        fn weight(&self) -> usize {
            self.1
        }
    }

    fn chain(serial: u64) -> Chain {
        Chain([u8::try_from(serial % 251).expect("small"); 32])
    }

    fn ring(from: u64, count: u64, weight: usize) -> Ring<Numbered> {
        let ring = Ring::new(Head { session: Session([1; 16]), serial: from, chain: chain(from) });
        ring.extend((from + 1..=from + count).map(|serial| Arc::new(Numbered(serial, weight))));
        ring
    }

    fn serials(ring: &Ring<Numbered>, after: u64, limit: usize) -> Option<Vec<u64>> {
        match ring.after(after, limit, usize::MAX) {
            Catchup::Changes(changes) => Some(changes.iter().map(|change| change.0).collect()),
            Catchup::TooOld => None,
        }
    }

    #[test]
    fn a_ring_goes_on_from_every_serial_since_it_began() {
        let ring = ring(10, 3, 100);
        let stands = ring.floor();
        assert_eq!((stands, ring.head().serial, ring.head().chain), (10, 13, chain(13)));
        assert_eq!(serials(&ring, 9, 9), None);
        assert_eq!(serials(&ring, 10, 2), Some(vec![11, 12]));
        assert_eq!(serials(&ring, 12, 9), Some(vec![13]));
        assert_eq!(serials(&ring, 13, 9), Some(vec![]));
        assert_eq!(
            [9, 10, 12, 13, 14].map(|at| ring.chain_at(at)),
            [None, Some(chain(10)), Some(chain(12)), Some(chain(13)), None]
        );
    }

    #[test]
    fn a_piece_has_as_much_text_as_was_asked_for_and_one_change_at_least() {
        let ring = ring(10, 5, 100);
        let count = |most| match ring.after(10, 9, most) {
            Catchup::Changes(changes) => changes.len(),
            Catchup::TooOld => 0,
        };
        assert_eq!([0, 1, 100, 199, 200, 499, 500, 1_000].map(count), [1, 1, 1, 1, 2, 4, 5, 5]);
        assert_eq!([9, 10, 14, 15, 16].map(|at| ring.weight_after(at)), [None, Some(100), Some(100), None, None]);
    }

    #[test]
    fn what_there_is_no_room_for_raises_the_floor() {
        for (count, weight, kept) in [(5_000, 1, MAX_CHANGES as u64), (20, MAX_BYTES / 8, 8), (3, MAX_BYTES + 1, 0)] {
            let (ring, floor) = (ring(7, count, weight), 7 + count - kept);
            assert_eq!((ring.floor(), ring.chain_at(floor)), (floor, Some(chain(floor))), "{count} of {weight}");
            assert_eq!(ring.chain_at(floor - 1), None);
            assert_eq!(ring.head().serial, 7 + count);
            let first = (kept > 0).then_some(floor + 1);
            assert_eq!(serials(&ring, floor, 1).expect("known").first().copied(), first);
        }
    }
}
