//! Whether the feed is live, and which copies that makes current.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::store::Store;
use crate::clock;
use crate::node::{Ages, Stamp};
use crate::store::StoreError;

/// A primary that was heard within this many milliseconds counts as present.
const CURRENT: i64 = 5_000;

/// Whether the feed is connected and caught up, and when the primary was last heard.
#[derive(Debug)]
pub(super) struct Freshness {
    store: Arc<Store>,
    is_mirror: bool,
    /// Whether the feed is connected and has caught up.
    caught_up: AtomicBool,
    /// Whether upstream has no digests, so that nothing can be compared: what the feed confirms counts.
    without_digests: AtomicBool,
    /// Notified when the server answers a request although its feed is away.
    reached: Notify,
    /// When the primary itself was last known to be at the position of this replica, in milliseconds of
    /// [`clock::uptime_millis`], even by an earlier process; 0 if never.
    heard: AtomicI64,
    /// The serial of the primary's journal at that time.
    serial: AtomicU64,
}

impl Freshness {
    /// The state that an earlier process left.
    pub(super) fn after(store: &Arc<Store>, is_mirror: bool) -> Result<Self, StoreError> {
        Ok(Self {
            is_mirror,
            caught_up: AtomicBool::new(false),
            without_digests: AtomicBool::new(false),
            reached: Notify::new(),
            heard: AtomicI64::new(uptime_of(store.reader().heard()?)),
            serial: AtomicU64::new(store.position().map_or(0, |position| position.serial)),
            store: store.clone(),
        })
    }

    /// Whether the feed is connected and caught up. A mirror must also have been compared.
    pub(super) fn is_following(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
            && (!self.is_mirror || self.without_digests.load(Ordering::Acquire) || self.store.reader().is_level())
    }

    /// Whether the feed is connected and caught up, whatever was compared.
    pub(super) fn is_connected(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// The order that is followed live, if one is.
    pub(super) fn live(&self) -> Option<u64> {
        self.is_following().then(|| self.store.reader().era())
    }

    /// Whether the feed is live and confirms a copy that upstream held in this order.
    pub(super) fn confirms(&self, stretch: u64) -> bool {
        stretch != 0 && self.is_following() && self.holds(stretch)
    }

    /// Whether the feed, up to the position of this replica, confirms a copy.
    pub(super) fn is_confirmed(&self, stamp: &Stamp) -> bool {
        stamp.stretch != 0 && self.holds(stamp.stretch)
    }

    fn holds(&self, stretch: u64) -> bool {
        match self.store.reader().era() {
            0 => false,
            era => era == stretch || self.store.reader().is_level(),
        }
    }

    /// Milliseconds since the primary was last heard on the feed. `None`: never.
    pub(super) fn silence(&self) -> Option<i64> {
        let heard = self.heard.load(Ordering::Acquire);
        (heard != 0).then(|| clock::uptime_millis() - heard)
    }

    /// When the primary was last heard, in unix milliseconds; 0: never.
    pub(super) fn heard_at(&self) -> i64 {
        self.silence().map_or(0, |silence| clock::unix_millis() - silence)
    }

    /// Whether the primary itself was heard lately.
    pub(super) fn is_current(&self) -> bool {
        self.silence().is_some_and(|silence| silence < CURRENT)
    }

    /// The serial up to which the feed was followed.
    pub(super) fn serial(&self) -> u64 {
        self.serial.load(Ordering::Acquire)
    }

    /// Milliseconds since the primary itself was last known to be at the position of this replica.
    pub(super) fn primary_age(&self) -> u64 {
        u64::try_from(self.silence().unwrap_or_else(clock::unix_millis)).unwrap_or(0)
    }

    /// How old a copy is, and when the primary was last heard.
    pub(super) fn ages(&self, stamp: &Stamp) -> Ages {
        let (now, heard) = (clock::uptime_millis(), self.heard.load(Ordering::Acquire));
        let confirmed = if self.confirms(stamp.stretch) {
            heard
        } else if self.is_confirmed(stamp) {
            // The feed confirmed it, and a request may have confirmed it later.
            stamp.confirmed.max(heard)
        } else {
            stamp.confirmed
        };
        let seconds = |since: i64| u64::try_from((now - since) / 1000).unwrap_or(0);
        Ages { entry: seconds(confirmed), primary: (heard != 0).then(|| seconds(heard)) }
    }

    /// Notes that the primary was at `serial`, as this replica is, at a time of [`clock::uptime_millis`].
    pub(super) fn hear(&self, serial: u64, heard: i64) {
        self.serial.store(serial, Ordering::Release);
        self.heard.store(heard, Ordering::Release);
    }

    /// Notes that the feed has caught up, or has ended. Returns whether that is news.
    pub(super) fn has_caught_up(&self, has: bool) -> bool {
        self.caught_up.swap(has, Ordering::AcqRel) != has
    }

    /// Whether upstream can be compared with.
    pub(super) fn are_digests_there(&self) -> bool {
        !self.without_digests.load(Ordering::Acquire)
    }

    /// Notes whether upstream has digests.
    pub(super) fn has_digests(&self, has: bool) {
        self.without_digests.store(!has, Ordering::Release);
    }

    /// Notes that the server has answered a request.
    pub(super) fn server_answered(&self) {
        if !self.is_following() {
            self.reached.notify_waiters();
        }
    }

    /// Waits until the server answers a request although its feed is away.
    pub(super) async fn reached(&self) {
        self.reached.notified().await;
    }
}

/// A time of the clock, in milliseconds of [`clock::uptime_millis`]. One that is in the future, because the clock was set
/// back since, counts as never.
fn uptime_of(heard: i64) -> i64 {
    let age = Some(heard).filter(|heard| *heard != 0).and_then(clock::millis_since);
    age.map_or(0, |age| (clock::uptime_millis() - age).min(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_process_heard_by_a_clock_that_is_behind_now_was_never_heard() {
        let now = clock::unix_millis();
        let age = clock::uptime_millis() - uptime_of(now - 60_000);
        assert!((60_000..120_000).contains(&age), "{age}");
        assert_eq!([uptime_of(0), uptime_of(now + 3_600_000)], [0, 0]);
    }
}
