//! The connections of one worker, and which of them gives way when there is no place for another.
//!
//! A connection is idle if no request on it is under way: it has sent nothing yet, or only a part of a request head, or it
//! waits after an answer. Idle connections give way when the places are taken, and when the server stops. One whose
//! client has begun a head and does not end it gives way in any case.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::metrics::Metrics;

/// The step of the clock of the places.
const TICK: Duration = Duration::from_secs(1);
/// Ticks in which a connection that was just made is left alone: its request may be on the way.
const NEW: u32 = 2;
/// Ticks beyond the read time-out for a head. The framework answers a late first head with 408 before that.
const SLACK: u32 = 2;
/// Bytes of heads that are not complete, over all workers.
const HEADS: usize = 64 << 20;
/// Connections that were told to end because of their heads, and still hold one part in so many of all the bytes, end before
/// others read on.
const PARTING: usize = 8;
/// So often in a row a connection lets others end before it reads on.
const MOST_WAITS: u8 = 16;
/// When the places are taken, one in this many is made free at once, so that looking for idle connections is rare.
const SHARE: usize = 16;

thread_local! {
    static PLACES: Rc<ConnectionPlaces> = Rc::default();
}

/// The places of the worker on this thread.
#[derive(Debug, Default)]
pub(super) struct ConnectionPlaces {
    limit: Cell<usize>,
    /// Bytes of incomplete heads, and how many there may be.
    heads: Cell<usize>,
    most_heads: Cell<usize>,
    /// Bytes of heads on connections that were told to end because of them, and have not ended yet.
    parting: Cell<usize>,
    clock: Cell<u32>,
    last: Cell<u64>,
    is_draining: Cell<bool>,
    taken: RefCell<HashMap<u64, Rc<ConnectionPlace>>>,
    metrics: RefCell<Option<Arc<Metrics>>>,
}

/// The place of a connection. It is free again once [`TakenPlace`] is dropped.
#[derive(Debug, Default)]
pub(super) struct ConnectionPlace {
    phase: Cell<Phase>,
    /// The tick in which the phase began.
    since: Cell<u32>,
    /// Bytes that came since the last answer, and are counted among those of incomplete heads.
    bytes: Cell<usize>,
    /// The same bytes, once the connection was told to end because of them.
    parting: Cell<usize>,
    /// How often in a row it let others end before it read on.
    waited: Cell<u8>,
    /// Requests under way that are not answered at once.
    requests: Cell<u32>,
    /// The client does not take what was written.
    is_blocked: Cell<bool>,
    /// Bytes came that the framework has not looked at yet.
    is_fresh: Cell<bool>,
    gives_way: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What happened last on a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    #[default]
    New,
    /// The client sent something.
    Asked,
    /// The server sent something.
    Answered,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct TakenPlace {
    number: u64,
    place: Rc<ConnectionPlace>,
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Rc<ConnectionPlace>);

impl ConnectionPlaces {
    /// Sets up the places of this thread, one of `workers`, at most `limit`, and looks after them as long as the thread lives.
    /// `read_timeout`: how long a head may take; zero is any time. The connections give way when `stops` ends.
    pub(super) fn set_up(
        workers: usize,
        limit: usize,
        read_timeout: Duration,
        metrics: Arc<Metrics>,
        stops: impl Future<Output = ()> + 'static,
    ) {
        let places = PLACES.with(Rc::clone);
        // Every listener sets up the places that they share.
        if places.limit.replace(limit) != 0 {
            return;
        }
        places.most_heads.set(HEADS / workers);
        *places.metrics.borrow_mut() = Some(metrics);
        let longest = (!read_timeout.is_zero()).then(|| read_timeout.as_secs_f64().ceil() as u32 + SLACK);
        actix_web::rt::spawn(async move {
            tokio::pin!(stops);
            let mut ticks = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    _ = ticks.tick() => places.tick(longest),
                    () = &mut stops, if !places.is_draining.get() => places.drain(),
                }
            }
        });
    }

    /// Takes a place for a new connection. If that was the last one, idle connections give way.
    pub(super) fn take() -> TakenPlace {
        PLACES.with(|places| {
            let number = places.last.get() + 1;
            places.last.set(number);
            let place = Rc::new(ConnectionPlace::default());
            place.since.set(places.clock.get());
            place.gives_way.set(places.is_draining.get());
            places.taken.borrow_mut().insert(number, place.clone());
            places.count(|metrics| metrics.http.connections.inc());
            places.make_room();
            TakenPlace { number, place }
        })
    }

    /// Whether every place is taken and no connection is idle: then each one has to go after its answer.
    pub(super) fn are_full() -> bool {
        PLACES.with(|places| places.limit.get() != 0 && places.taken.borrow().len() >= places.limit.get())
    }

    fn make_room(&self) {
        let (limit, clock, taken) = (self.limit.get(), self.clock.get(), self.taken.borrow());
        if limit == 0 || taken.len() < limit {
            return;
        }
        let leaving = taken.values().filter(|place| place.gives_way.get()).count();
        let wanted = (limit / SHARE).max(1).saturating_sub(leaving);
        let mut idle: Vec<_> = taken
            .iter()
            .filter(|(_, place)| place.is_idle() && !place.gives_way.get())
            // Of those that are alike, the one that came first.
            .map(|(number, place)| ((place.rank(clock), *number), place))
            .collect();
        if idle.len() > wanted && wanted > 0 {
            idle.select_nth_unstable_by_key(wanted - 1, |(rank, _)| *rank);
        }
        for (_, place) in idle.iter().take(wanted) {
            place.give_way();
            self.count(|metrics| metrics.http.shed_connection());
        }
    }

    /// Counts bytes of a head. If all heads are too large together, the largest give way.
    fn heard(&self, place: &ConnectionPlace, bytes: usize) {
        place.bytes.set(place.bytes.get() + bytes);
        self.heads.set(self.heads.get() + bytes);
        if self.heads.get() <= self.most_heads.get() {
            return;
        }
        let taken = self.taken.borrow();
        let mut heads: Vec<_> = taken.values().filter(|place| place.bytes.get() > 0).collect();
        heads.sort_unstable_by_key(|place| Reverse(place.bytes.get()));
        for place in heads {
            if self.heads.get() <= self.most_heads.get() / 4 * 3 {
                break;
            }
            let bytes = place.bytes.get();
            self.settle(place);
            // One whose client takes no answers ends later. The end is not awaited.
            if place.is_idle() {
                place.parting.set(bytes);
                self.parting.set(self.parting.get() + bytes);
            }
            place.give_way();
            self.count(|metrics| metrics.http.shed_connection());
        }
    }

    /// What came on a connection is no incomplete head any more.
    fn settle(&self, place: &ConnectionPlace) {
        self.heads.set(self.heads.get() - place.bytes.replace(0));
        self.parting.set(self.parting.get() - place.parting.replace(0));
    }

    fn tick(&self, longest: Option<u32>) {
        let clock = self.clock.get().wrapping_add(1);
        self.clock.set(clock);
        let Some(longest) = longest else { return };
        for place in self.taken.borrow().values() {
            if place.phase.get() == Phase::Asked && place.is_idle() && clock.wrapping_sub(place.since.get()) > longest {
                place.give_way();
            }
        }
    }

    fn drain(&self) {
        self.is_draining.set(true);
        self.taken.borrow().values().for_each(|place| place.give_way());
    }

    fn count(&self, count: impl FnOnce(&Metrics)) {
        if let Some(metrics) = &*self.metrics.borrow() {
            count(metrics);
        }
    }
}

impl ConnectionPlace {
    fn is_idle(&self) -> bool {
        self.requests.get() == 0 && !self.is_blocked.get()
    }

    /// The lowest gives way first: a client that asks for nothing, then the longest wait after an answer, then a connection that was just made.
    fn rank(&self, clock: u32) -> (u8, u32) {
        let age = clock.wrapping_sub(self.since.get());
        let class = match self.phase.get() {
            Phase::Answered => 1,
            _ if age >= NEW => 0,
            _ => 2,
        };
        (class, u32::MAX - age)
    }

    fn give_way(&self) {
        self.gives_way.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether the connection ends now, at a read that finds nothing. If not, it is asked again when that changes.
    pub(super) fn ends(&self, cx: &Context<'_>) -> bool {
        if self.gives_way.get() {
            // What was just read may be a request, which the framework looks at before it reads again.
            if self.is_fresh.replace(false) {
                cx.waker().wake_by_ref();
            } else if self.is_idle() {
                return true;
            }
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }

    /// Waits until the connection has to give way.
    pub(super) async fn has_to_go(&self) {
        poll_fn(|cx| {
            self.is_fresh.set(false);
            if self.ends(cx) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether others end before this one reads on: else many that come at once are read before the first of those that have to
    /// give way has had its turn.
    pub(super) fn waits(&self) -> bool {
        let waits = !self.gives_way.get()
            && self.waited.get() < MOST_WAITS
            && PLACES.with(|places| places.parting.get() > places.most_heads.get() / PARTING);
        self.waited.set(if waits { self.waited.get() + 1 } else { 0 });
        waits
    }

    /// The client sent bytes, this number of them.
    pub(super) fn heard(&self, bytes: usize) {
        self.is_fresh.set(true);
        self.enter(Phase::Asked);
        if self.requests.get() == 0 && !self.gives_way.get() {
            PLACES.with(|places| places.heard(self, bytes));
        }
    }

    /// Something was written, or the client takes nothing now.
    pub(super) fn wrote(&self, is_blocked: bool, cx: &Context<'_>) {
        self.is_blocked.set(is_blocked);
        if !is_blocked {
            self.enter(Phase::Answered);
            if self.gives_way.get() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// All that was written is on its way, or not.
    pub(super) fn flushed(&self, is_blocked: bool) {
        self.is_blocked.set(is_blocked);
    }

    /// Counts a request that is not answered at once.
    pub(super) fn begin(self: &Rc<Self>) -> InFlight {
        self.requests.set(self.requests.get() + 1);
        PLACES.with(|places| places.settle(self));
        InFlight(self.clone())
    }

    fn enter(&self, phase: Phase) {
        if self.phase.replace(phase) == phase && phase == Phase::Asked {
            return;
        }
        PLACES.with(|places| {
            self.since.set(places.clock.get());
            if phase == Phase::Answered {
                places.settle(self);
            }
        });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get().saturating_sub(1));
        if self.0.gives_way.get() {
            self.0.give_way();
        }
    }
}

impl TakenPlace {
    /// The place.
    pub(super) const fn place(&self) -> &Rc<ConnectionPlace> {
        &self.place
    }
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        // The thread may be about to end.
        let _ = PLACES.try_with(|places| {
            places.taken.borrow_mut().remove(&self.number);
            places.settle(&self.place);
            places.count(|metrics| metrics.http.connections.dec());
        });
    }
}
