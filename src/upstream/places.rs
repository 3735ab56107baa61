//! Places for requests to one server: how many are under way, and which request is next.
//!
//! A queue that is served in order collapses under load, because each request has too little time left when its turn
//! comes. Here a request that cannot be answered in time is rejected before it takes a place. So the requests that are
//! sent are also answered. Requests for keys that exist come first, and the others get a share. A client can invent
//! keys that do not exist at no cost.
//!
//! The number of places follows the server. It doubles while answers come in time, shrinks when they do not, and then
//! grows slowly again. So a server that is overloaded by many replicas gets fewer requests from each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::MOST_REQUESTS;

/// The number of places at the beginning.
const FIRST: f64 = 128.0;
/// The smallest number of places.
const LEAST: f64 = 8.0;
/// The largest number of places.
const MOST: usize = MOST_REQUESTS;
/// Requests for unknown keys may take one place in this number.
const SHARE: usize = 4;
/// The largest number of waiting requests of each class.
const MOST_WAITING: usize = 16_384;
/// The factor for the number of places after an answer that did not come.
const SHRINK: f64 = 0.8;
/// The number of places that each answer adds after that. Every round of answers adds an eighth.
const GROWTH: f64 = 0.125;
/// A server without an answer for this long was away.
const AWAY: Duration = Duration::from_secs(1);
/// The weight of the latest answer time.
const WEIGHT: f64 = 0.1;
/// The answer time that is assumed before the first one is measured.
const ASSUMED: Duration = Duration::from_millis(20);

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A key that exists or existed: this replica saw it, or upstream listed it.
    Known,
    /// A key of which nothing is known.
    Unknown,
}

/// The places of one server.
#[derive(Debug)]
pub(super) struct RequestPlaces(Mutex<PlacesState>);

#[derive(Debug)]
struct PlacesState {
    limit: f64,
    /// The limit doubles with each round until an answer does not come.
    is_starting: bool,
    /// Until then, answers that do not come belong to the round that shrank the limit.
    shrunk_until: Option<Instant>,
    taken: usize,
    /// Those of [`Class::Unknown`].
    taken_unknown: usize,
    /// The smoothed answer time, in seconds.
    answer_time: f64,
    /// When the last answer came.
    answered: Instant,
    known: VecDeque<Waiter>,
    unknown: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    /// When it must have its answer.
    deadline: Instant,
    turn: oneshot::Sender<()>,
}

/// A request under way. When it is dropped, the next one gets its place.
#[derive(Debug)]
pub(super) struct RequestPlace {
    places: Arc<RequestPlaces>,
    class: Class,
    since: Instant,
}

/// How a request ended, for the number of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestEnd {
    /// With an answer.
    Answered,
    /// Without an answer, or the server said that it is overloaded.
    Overloaded,
    /// In a way that says nothing about the load of the server.
    Otherwise,
}

/// The request cannot be answered in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoPlace;

impl Default for RequestPlaces {
    fn default() -> Self {
        Self(Mutex::new(PlacesState {
            limit: FIRST,
            is_starting: true,
            shrunk_until: None,
            taken: 0,
            taken_unknown: 0,
            answer_time: ASSUMED.as_secs_f64(),
            answered: Instant::now(),
            known: VecDeque::new(),
            unknown: VecDeque::new(),
        }))
    }
}

impl RequestPlaces {
    /// Whether at least half of the places are free.
    pub(super) fn has_room(&self) -> bool {
        let state = self.0.lock();
        state.taken <= state.most() / 2
    }

    /// Whether a request could be sent at once.
    pub(super) fn has_place(&self, class: Class) -> bool {
        self.0.lock().has_place(class)
    }

    /// Whether a request could be sent at once or soon enough.
    pub(super) fn accepts(&self, class: Class, deadline: Instant) -> bool {
        let state = self.0.lock();
        state.has_place(class) || state.is_in_time(class, deadline)
    }

    /// A place, now or in time for an answer by `deadline`.
    pub(super) async fn take(self: &Arc<Self>, class: Class, deadline: Instant) -> Result<RequestPlace, NoPlace> {
        let turn = {
            let mut state = self.0.lock();
            if state.has_place(class) {
                return Ok(self.place(&mut state, class));
            }
            if !state.is_in_time(class, deadline) {
                return Err(NoPlace);
            }
            let (turn, comes) = oneshot::channel();
            state.waiting(class).push_back(Waiter { deadline, turn });
            comes
        };
        let waiting = PlaceTurn { places: self, class, turn: Some(turn) };
        waiting.comes(deadline).await
    }

    fn place(self: &Arc<Self>, state: &mut PlacesState, class: Class) -> RequestPlace {
        state.enter(class);
        RequestPlace { places: self.clone(), class, since: Instant::now() }
    }

    fn leave(&self, class: Class) {
        let mut state = self.0.lock();
        state.leave(class);
        state.pass_on();
    }
}

/// A request that waits. If it is given up when its turn has come, the next one gets the turn.
struct PlaceTurn<'p> {
    places: &'p Arc<RequestPlaces>,
    class: Class,
    turn: Option<oneshot::Receiver<()>>,
}

impl PlaceTurn<'_> {
    async fn comes(mut self, deadline: Instant) -> Result<RequestPlace, NoPlace> {
        let Some(turn) = &mut self.turn else { return Err(NoPlace) };
        match tokio::time::timeout_at(deadline, turn).await {
            Ok(Ok(())) => {
                self.turn = None;
                Ok(RequestPlace { places: self.places.clone(), class: self.class, since: Instant::now() })
            }
            _ => Err(NoPlace),
        }
    }
}

impl Drop for PlaceTurn<'_> {
    fn drop(&mut self) {
        if let Some(mut turn) = self.turn.take() {
            turn.close();
            if turn.try_recv().is_ok() {
                self.places.leave(self.class);
            }
        }
    }
}

impl RequestPlace {
    /// Notes how the request ended.
    pub(super) fn ended(self, how: RequestEnd) {
        let now = Instant::now();
        let mut state = self.places.0.lock();
        match how {
            RequestEnd::Answered => state.answered(now - self.since, now),
            RequestEnd::Overloaded => state.overloaded(now),
            RequestEnd::Otherwise => {}
        }
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        self.places.leave(self.class);
    }
}

impl PlacesState {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    const fn most(&self) -> usize {
        // Between LEAST and MOST.
        self.limit as usize
    }

    /// The number of places that a class may take.
    fn most_of(&self, class: Class) -> usize {
        match class {
            Class::Known => self.most(),
            Class::Unknown => (self.most() / SHARE).max(1),
        }
    }

    /// Whether there is a place and no request waits for it.
    fn has_place(&self, class: Class) -> bool {
        self.is_free(class) && self.known.is_empty() && (class == Class::Known || self.unknown.is_empty())
    }

    fn is_free(&self, class: Class) -> bool {
        self.taken < self.most() && (class == Class::Known || self.taken_unknown < self.most_of(class))
    }

    /// Whether a request that starts to wait now is probably answered by its deadline.
    fn is_in_time(&self, class: Class, deadline: Instant) -> bool {
        let waiting = match class {
            Class::Known => self.known.len(),
            Class::Unknown => self.known.len() + self.unknown.len(),
        };
        if waiting >= MOST_WAITING {
            return false;
        }
        #[allow(clippy::cast_precision_loss)]
        let rounds = 1.0 + (waiting + 1) as f64 / self.most_of(class) as f64;
        Instant::now() + Duration::from_secs_f64(rounds * self.answer_time) <= deadline
    }

    const fn waiting(&mut self, class: Class) -> &mut VecDeque<Waiter> {
        match class {
            Class::Known => &mut self.known,
            Class::Unknown => &mut self.unknown,
        }
    }

    const fn enter(&mut self, class: Class) {
        self.taken += 1;
        if matches!(class, Class::Unknown) {
            self.taken_unknown += 1;
        }
    }

    const fn leave(&mut self, class: Class) {
        self.taken -= 1;
        if matches!(class, Class::Unknown) {
            self.taken_unknown -= 1;
        }
    }

    /// Gives free places to waiting requests. One that would be answered too late gets none.
    fn pass_on(&mut self) {
        let latest = Instant::now() + Duration::from_secs_f64(self.answer_time);
        for class in [Class::Known, Class::Unknown] {
            while self.is_free(class) {
                let Some(waiter) = self.waiting(class).pop_front() else { break };
                if waiter.deadline >= latest && waiter.turn.send(()).is_ok() {
                    self.enter(class);
                }
            }
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn answered(&mut self, after: Duration, now: Instant) {
        self.answer_time += (after.as_secs_f64() - self.answer_time) * WEIGHT;
        let silence = now.saturating_duration_since(std::mem::replace(&mut self.answered, now));
        if silence >= AWAY && self.limit < FIRST {
            // It was away, not overloaded.
            (self.limit, self.is_starting) = (FIRST, true);
        }
        // If places are unused, more places would tell nothing.
        if self.taken * 2 >= self.most() {
            let more = if self.is_starting { 1.0 } else { GROWTH };
            self.limit = (self.limit + more).min(MOST as f64);
        }
    }

    fn overloaded(&mut self, now: Instant) {
        self.is_starting = false;
        if self.shrunk_until.is_none_or(|until| now >= until) {
            self.limit = (self.limit * SHRINK).max(LEAST);
            // Requests under way were sent before.
            self.shrunk_until = Some(now + Duration::from_secs_f64(self.answer_time));
        }
    }
}

#[cfg(test)]
mod tests;
