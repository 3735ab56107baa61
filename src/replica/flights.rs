//! Requests to upstream that are under way: one for each account, shared by all clients that wait for it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::Shared;
use parking_lot::Mutex;

use super::cached_copy::CachedCopy;
use crate::key::AccountKey;
use crate::node::Unavailable;

/// The result of a request. `Ok(None)`: the primary does not know the account.
pub(super) type Pulled = Result<Option<Arc<CachedCopy>>, Unavailable>;

/// A request under way.
pub(super) type Flight = Shared<Pin<Box<dyn Future<Output = Pulled> + Send>>>;

/// The largest number of requests under way.
const MAX_FLIGHTS: usize = 50_000;

/// The requests that are under way.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<AccountKey, Flight>>);

impl Flights {
    pub(super) fn get(&self, key: &AccountKey) -> Option<Flight> {
        self.0.lock().get(key).cloned()
    }

    pub(super) fn contains(&self, key: &AccountKey) -> bool {
        self.0.lock().contains_key(key)
    }

    /// Joins the request for an account, or begins one. `None`: too many are under way.
    pub(super) fn join(&self, key: AccountKey, begin: impl FnOnce() -> Flight) -> Option<Flight> {
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(&key) {
            return Some(flight.clone());
        }
        if flights.len() >= MAX_FLIGHTS {
            return None;
        }
        let flight = begin();
        flights.insert(key, flight.clone());
        Some(flight)
    }

    pub(super) fn remove(&self, key: &AccountKey) {
        self.0.lock().remove(key);
    }
}
