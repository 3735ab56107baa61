//! Limits the lines of libraries, because others on the network can cause some of them.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::throttle::HeldBack;

/// The prefix of this program's targets.
const OWN: &str = "nats_account_server";
/// So many lines from one place in a library …
const LINES: u32 = 5;
/// … in this time.
const WHILE: Duration = Duration::from_secs(60);

thread_local! {
    static HELD_BACK: Cell<u64> = const { Cell::new(0) };
}

/// Holds lines back and counts them.
#[derive(Debug, Default)]
pub(super) struct Libraries(Mutex<HashMap<Identifier, LibraryLines>>);

#[derive(Debug)]
struct LibraryLines {
    since: Instant,
    written: u32,
    held_back: u64,
}

impl<S: Subscriber> Layer<S> for Libraries {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        HELD_BACK.set(0);
        if event.metadata().target().starts_with(OWN) {
            return true;
        }
        match self.turn(event.metadata().callsite(), Instant::now()) {
            Some(count) => {
                HELD_BACK.set(count);
                true
            }
            None => false,
        }
    }
}

impl Libraries {
    /// How many lines from this place were suppressed since the last one. `None`: suppress this one as well.
    fn turn(&self, place: Identifier, now: Instant) -> Option<u64> {
        let mut places = self.0.lock();
        let lines = places.entry(place).or_insert(LibraryLines { since: now, written: 0, held_back: 0 });
        if now.saturating_duration_since(lines.since) >= WHILE {
            (lines.since, lines.written) = (now, 0);
        }
        if lines.written >= LINES {
            lines.held_back += 1;
            return None;
        }
        lines.written += 1;
        Some(std::mem::take(&mut lines.held_back))
    }
}

/// How many suppressed lines the present line represents.
pub(super) fn held_back() -> HeldBack {
    HeldBack(HELD_BACK.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_pass_and_the_rest_is_counted() {
        struct Site;
        impl tracing::Callsite for Site {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &tracing::Metadata<'_> {
                unreachable!("a turn looks at the place of a callsite, not at its metadata")
            }
        }
        static SITE: Site = Site;
        let (libraries, start) = (Libraries::default(), Instant::now());
        let turn = |seconds| libraries.turn(Identifier(&SITE), start + Duration::from_secs(seconds));
        assert_eq!([0, 0, 1, 2, 3].map(turn), [Some(0); 5]);
        assert_eq!([3, 30, 59].map(turn), [None; 3]);
        assert_eq!([60, 61].map(turn), [Some(3), Some(0)]);
    }
}
