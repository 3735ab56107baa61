//! Whether the feed is live, and which copies that makes current.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;
use crate::node::{Ages, Stamp};
use crate::store::snapshot::Stand;

/// A primary that was heard within this many milliseconds counts as present.
const CURRENT: i64 = 5_000;

/// Whether the feed is connected and caught up, and when the primary was last heard.
#[derive(Debug)]
pub(super) struct Freshness {
    /// The number of the stretch that is live; 0 while there is none.
    live: AtomicU64,
    /// The number of the stretch that confirms copies up to the position of this replica, live or not; 0 while a mirror
    /// is being compared.
    stretch: AtomicU64,
    /// Notified when the server answers a request although its feed is away.
    reached: Notify,
    progress: Mutex<FeedProgress>,
    /// When the primary itself was last known to be at the position of this replica, in milliseconds of
    /// [`clock::uptime_millis`], even by an earlier process; 0 if never.
    heard: AtomicI64,
    /// The serial of the primary's journal at that time.
    serial: AtomicU64,
}

/// What makes a stretch live: the feed has caught up, and a mirror was compared with the primary.
#[derive(Debug, Default)]
struct FeedProgress {
    caught_up: u64,
    synced: u64,
}

impl Freshness {
    /// The state that an earlier process left.
    pub(super) fn after(stand: &Stand) -> Self {
        // If the clock was set back since, the primary counts as never heard.
        let age = Some(stand.heard).filter(|heard| *heard != 0).and_then(clock::millis_since);
        let heard = age.map_or(0, |age| (clock::uptime_millis() - age).min(-1));
        let serial = stand.position.map_or(0, |position| position.serial);
        // What an earlier process followed was compared before.
        let progress = FeedProgress { caught_up: 0, synced: stand.position.map_or(0, |_| stand.stretch) };
        Self {
            live: AtomicU64::new(0),
            stretch: AtomicU64::new(progress.synced),
            reached: Notify::new(),
            progress: Mutex::new(progress),
            heard: AtomicI64::new(heard),
            serial: AtomicU64::new(serial),
        }
    }

    /// The stretch that is live, if one is.
    pub(super) fn live(&self) -> Option<u64> {
        Some(self.live.load(Ordering::Acquire)).filter(|live| *live != 0)
    }

    /// The stretch that confirms copies up to the position of this replica; 0: none.
    pub(super) fn stretch(&self) -> u64 {
        self.stretch.load(Ordering::Acquire)
    }

    /// Whether the feed is connected and caught up.
    pub(super) fn is_following(&self) -> bool {
        self.live().is_some()
    }

    /// Whether the feed is live and confirms copies of a stretch.
    pub(super) fn confirms(&self, stretch: u64) -> bool {
        self.live() == Some(stretch)
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
        let live = self.live.load(Ordering::Acquire);
        let confirmed = match stamp.stretch {
            0 => stamp.confirmed,
            stretch if stretch == live => heard,
            // The live feed confirmed it, and a request may have confirmed it later.
            stretch if stretch == self.stretch() => stamp.confirmed.max(heard),
            _ => stamp.confirmed,
        };
        let seconds = |since: i64| u64::try_from((now - since) / 1000).unwrap_or(0);
        Ages { entry: seconds(confirmed), primary: (heard != 0).then(|| seconds(heard)) }
    }

    /// Whether the feed, up to the position of this replica, confirms a copy.
    pub(super) fn is_confirmed(&self, stamp: &Stamp) -> bool {
        let stretch = self.stretch();
        stretch != 0 && stamp.stretch == stretch
    }

    /// From now on, this stretch confirms the copies of a cache.
    pub(super) fn begin_stretch(&self, stretch: u64) {
        self.stretch.store(stretch, Ordering::Release);
    }

    /// Notes that the primary was at `serial`, as this replica is, at a time of [`clock::uptime_millis`].
    pub(super) fn hear(&self, serial: u64, heard: i64) {
        self.serial.store(serial, Ordering::Release);
        self.heard.store(heard, Ordering::Release);
    }

    /// Notes that the feed has caught up, or (0) has ended. `needs_sync`: a comparison must have ended as well. Returns
    /// whether that changed which stretch is live.
    pub(super) fn has_caught_up(&self, stretch: u64, needs_sync: bool) -> bool {
        let mut progress = self.progress.lock();
        progress.caught_up = stretch;
        if !needs_sync {
            progress.synced = stretch;
        }
        let live = if progress.synced == stretch { stretch } else { 0 };
        self.live.swap(live, Ordering::AcqRel) != live
    }

    /// Notes that the mirror was compared with the primary.
    pub(super) fn is_synced(&self, stretch: u64) {
        let mut progress = self.progress.lock();
        progress.synced = stretch;
        self.stretch.store(stretch, Ordering::Release);
        if progress.caught_up == stretch {
            self.live.store(stretch, Ordering::Release);
        }
    }

    /// Notes that the mirror may differ from the primary until it is compared.
    pub(super) fn is_unsynced(&self) {
        self.progress.lock().synced = 0;
        self.stretch.store(0, Ordering::Release);
        self.live.store(0, Ordering::Release);
    }

    /// Whether the mirror was compared with the primary in this stretch.
    pub(super) fn was_synced(&self, stretch: u64) -> bool {
        self.progress.lock().synced == stretch
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_process_heard_by_a_clock_that_is_behind_now_was_never_heard() {
        let heard = |at: i64| {
            let stand = Stand { position: None, stretch: 0, joined: 0, confirmed: None, heard: at, is_mirror: false };
            Freshness::after(&stand).heard.load(Ordering::Relaxed)
        };
        let now = clock::unix_millis();
        let age = clock::uptime_millis() - heard(now - 60_000);
        assert!((60_000..120_000).contains(&age), "{age}");
        assert_eq!([heard(0), heard(now + 3_600_000)], [0, 0]);
    }
}
