//! Caches which keys the primary does not know.
//!
//! The answer of the primary says what was true when it was given. What is heard of a key since then is later. So a key
//! is dropped here when something is heard of it, even while the answer is being cached.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use moka::ops::compute::Op;

/// The largest number of keys.
const ENTRIES: u64 = 100_000;

/// Keys of accounts or activations.
#[derive(Debug)]
pub(super) struct Unknown<K: Debug + Eq + Hash + Send + Sync + 'static>(moka::sync::Cache<K, ()>);

impl<K: Clone + Debug + Eq + Hash + Send + Sync + 'static> Unknown<K> {
    /// `ttl`: how long each key stays.
    pub(super) fn new(ttl: Duration) -> Self {
        Self(moka::sync::Cache::builder().max_capacity(ENTRIES).time_to_live(ttl).build())
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Adds a key, unless something was heard of it. `is_last_word` says whether nothing was. It must notice everything
    /// for which [`Unknown::forget`] is about to be called.
    pub(super) fn remember(&self, key: &K, is_last_word: impl Fn() -> bool) {
        // Computations of one key exclude each other. So a key is dropped before the question, whose answer is then no,
        // or after it was added.
        self.0.entry_by_ref(key).and_compute_with(|_| if is_last_word() { Op::Put(()) } else { Op::Nop });
        // `forget_all` does not wait for computations.
        if !is_last_word() {
            self.forget(key);
        }
    }

    pub(super) fn forget(&self, key: &K) {
        self.0.entry_by_ref(key).and_compute_with(|_| Op::Remove);
    }

    pub(super) fn forget_all(&self) {
        self.0.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::{Arc, mpsc};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// Adds a key of which something is heard right after the question. Returns whether it was there after it was
    /// dropped, and whether it is there in the end.
    fn heard_in_between(forget: impl Fn(&Unknown<u8>) + Send + 'static) -> (bool, bool) {
        let unknown = Arc::new(Unknown::new(LONG));
        let (start, begin) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let hearing = unknown.clone();
        let thread = std::thread::spawn(move || {
            begin.recv().expect("it begins");
            forget(&hearing);
            done.send(()).expect("somebody waits");
        });
        let (asked, is_early, came_back) = (Cell::new(false), Cell::new(false), Cell::new(false));
        unknown.remember(&1, || {
            if !asked.replace(true) {
                start.send(()).expect("it waits for that");
                // If it does not wait for the key to be added, it comes before that.
                is_early.set(is_done.recv_timeout(Duration::from_millis(100)).is_ok());
                return true;
            }
            assert!(is_early.get() || is_done.recv_timeout(Duration::from_secs(10)).is_ok(), "it waits for ever");
            came_back.set(unknown.contains(&1));
            false
        });
        thread.join().expect("ended");
        (came_back.get(), unknown.contains(&1))
    }

    #[test]
    fn a_key_is_remembered_until_something_is_heard_of_it() {
        let unknown = Unknown::new(LONG);
        unknown.remember(&1, || true);
        unknown.remember(&2, || false);
        assert!(unknown.contains(&1) && !unknown.contains(&2));
        unknown.forget(&1);
        assert!(!unknown.contains(&1));
        unknown.remember(&1, || true);
        unknown.forget_all();
        assert!(!unknown.contains(&1));
    }

    #[test]
    fn what_is_heard_while_a_key_is_being_remembered_is_later() {
        assert_eq!(heard_in_between(|unknown| unknown.forget(&1)), (false, false));
        let (_, remembered) = heard_in_between(Unknown::forget_all);
        assert!(!remembered);
    }
}
