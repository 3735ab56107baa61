//! The thread that hashes passwords, and the queue in front of it.
//!
//! One hash takes as long as thousands of requests, and anybody can cause one. So there is one thread, of low priority, which
//! rests after each wrong password for as long as that took. Addresses that gave wrong passwords lately wait in a second
//! queue, behind all others, and the rests between theirs are longer: whatever its priority, a thread that wakes keeps its core
//! for a millisecond, so what others notice is how often it wakes.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Passwords that wait, of each of the two queues.
const WAITING: usize = 64;
/// Those of one address.
const WAITING_EACH: usize = 8;
/// How many of them can be credentials that were not turned away before.
const STRANGERS_EACH: usize = 6;
/// Steps by which the thread gives way to others: about a tenth of a fair share.
const NICE: i32 = 10;
/// The longest rest.
const REST: Duration = Duration::from_millis(500);
/// The shortest rest after a wrong password of a suspect: about ten of them a second.
const SUSPECTS_REST: Duration = Duration::from_millis(85);

/// Work for the thread. Returns whether the password was right.
pub(super) type HashJob = Box<dyn FnOnce() -> bool + Send>;

/// A place in the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueuePlace {
    /// The address that it is for.
    pub(super) address: IpAddr,
    /// Whether wrong passwords came from there lately.
    pub(super) is_suspect: bool,
    /// Whether it is for a credential that was turned away before.
    pub(super) comes_again: bool,
}

/// The queue.
#[derive(Default)]
pub(super) struct HashQueue {
    state: Mutex<QueueState>,
    filled: Condvar,
}

#[derive(Default)]
struct QueueState {
    /// Those that come first, and those of suspects.
    waiting: [VecDeque<(IpAddr, HashJob)>; 2],
    each: HashMap<IpAddr, usize>,
    has_thread: bool,
    is_closed: bool,
}

/// What the thread does next.
struct Next {
    address: IpAddr,
    is_suspect: bool,
    job: HashJob,
}

impl std::fmt::Debug for HashQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashQueue").finish_non_exhaustive()
    }
}

impl HashQueue {
    /// Puts work into the queue, and starts the thread if there is none yet. `false`: there is no room.
    pub(super) fn push(self: &Arc<Self>, place: QueuePlace, job: HashJob) -> bool {
        let mut state = self.state.lock();
        let own = state.each.get(&place.address).copied().unwrap_or(0);
        let most = if place.is_suspect && !place.comes_again { STRANGERS_EACH } else { WAITING_EACH };
        if own >= most || state.waiting[usize::from(place.is_suspect)].len() >= WAITING {
            return false;
        }
        if !state.has_thread {
            let queue = self.clone();
            let spawned = std::thread::Builder::new().name("passwords".to_owned()).spawn(move || queue.work());
            if let Err(error) = spawned {
                tracing::error!("cannot start the thread that verifies passwords: {error}");
                return false;
            }
            state.has_thread = true;
        }
        *state.each.entry(place.address).or_default() += 1;
        state.waiting[usize::from(place.is_suspect)].push_back((place.address, job));
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_all();
    }

    fn work(&self) {
        // Of this thread alone. It serves as well without.
        let _ = rustix::process::nice(NICE);
        while let Some(Next { address, is_suspect, job }) = self.next() {
            let began = Instant::now();
            let was_right = job();
            let took = began.elapsed();
            self.ended(address);
            if !was_right {
                let least = if is_suspect { SUSPECTS_REST } else { Duration::ZERO };
                std::thread::sleep(took.clamp(least, REST));
            }
        }
    }

    fn next(&self) -> Option<Next> {
        let mut state = self.state.lock();
        loop {
            if state.is_closed {
                return None;
            }
            for is_suspect in [false, true] {
                if let Some((address, job)) = state.waiting[usize::from(is_suspect)].pop_front() {
                    return Some(Next { address, is_suspect, job });
                }
            }
            self.filled.wait(&mut state);
        }
    }

    fn ended(&self, address: IpAddr) {
        let mut state = self.state.lock();
        if let Some(own) = state.each.get_mut(&address) {
            *own -= 1;
            if *own == 0 {
                state.each.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn place(last: u8, is_suspect: bool, comes_again: bool) -> QueuePlace {
        QueuePlace { address: IpAddr::V4([192, 0, 2, last].into()), is_suspect, comes_again }
    }

    #[test]
    fn wrong_passwords_of_suspects_come_with_a_pause_between() {
        let queue = Arc::new(HashQueue::default());
        let (done, ended) = mpsc::channel();
        let began = Instant::now();
        for _ in 0..3 {
            let done = done.clone();
            assert!(queue.push(place(1, true, false), Box::new(move || done.send(()).is_err())));
        }
        assert_eq!(ended.iter().take(3).count(), 3);
        assert!(began.elapsed() >= 2 * SUSPECTS_REST, "{:?}", began.elapsed());
        queue.close();
    }

    #[test]
    fn suspects_come_last_and_nobody_takes_all_places() {
        let queue = Arc::new(HashQueue::default());
        let (open, gate) = mpsc::channel::<()>();
        let (done, order) = mpsc::channel();
        assert!(queue.push(place(0, false, false), Box::new(move || gate.recv().is_ok())));
        let job = |name: &'static str| -> HashJob {
            let done = done.clone();
            Box::new(move || done.send(name).is_ok())
        };
        for _ in 0..STRANGERS_EACH {
            assert!(queue.push(place(1, true, false), job("suspect")));
        }
        assert!(!queue.push(place(1, true, false), job("too many")));
        assert!(queue.push(place(1, true, true), job("suspect")), "one that comes again has room");
        assert!(queue.push(place(2, false, false), job("first")));
        let others = (3..255).filter(|last| queue.push(place(*last, true, false), job("suspect"))).count();
        assert_eq!(others, WAITING - STRANGERS_EACH - 1);
        open.send(()).unwrap();
        let order: Vec<_> = order.iter().take(1 + WAITING).collect();
        assert_eq!((order[0], order[1..].iter().all(|name| *name == "suspect")), ("first", true));
        // The place of the last one is given back right after it.
        while !queue.state.lock().each.is_empty() {
            std::thread::yield_now();
        }
        queue.close();
    }
}
