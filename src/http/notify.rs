//! `notify=true`: asking us to announce an account's JWT to the nats-servers again.
//!
//! Anybody can ask, so it is limited: each account once in a while, and all together a few a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use super::{Shared, reply};
use crate::gate::Entry;
use crate::key::AccountKey;

/// One account is announced at most once in this time.
const PER_KEY: Duration = Duration::from_secs(10);
/// All accounts together: so many in a second.
const PER_SECOND: u32 = 5;

/// Who was announced lately.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    keys: HashMap<AccountKey, Instant>,
    second: Option<(Instant, u32)>,
}

impl Limit {
    fn allow(&self, key: &AccountKey, now: Instant) -> bool {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.keys.retain(|_, at| now.duration_since(*at) < PER_KEY);
        let (since, count) = match recent.second {
            Some((since, count)) if now.duration_since(since) < Duration::from_secs(1) => (since, count),
            _ => (now, 0),
        };
        if count >= PER_SECOND || recent.keys.contains_key(key) {
            return false;
        }
        recent.second = Some((since, count + 1));
        recent.keys.insert(*key, now);
        true
    }
}

/// Announces a JWT, or says why not.
pub(super) fn announce(request: &HttpRequest, shared: &Shared, entry: &Arc<Entry>) -> Result<(), HttpResponse> {
    let failed = |why: &str| {
        let message = format!("error sending notification of change\n{why}");
        Err(reply::error(request, StatusCode::SERVICE_UNAVAILABLE, &message))
    };
    if let Err(error) = shared.node.writable() {
        return failed(&error.to_string());
    }
    let Some(announcer) = shared.node.announcer() else {
        return failed("NATS is not configured on this server");
    };
    if !shared.notify_limit.allow(entry.key(), Instant::now()) {
        return Err(reply::try_later(
            request,
            StatusCode::TOO_MANY_REQUESTS,
            "10",
            "too many notifications\neach account can be announced once in 10 seconds, and 5 accounts a second",
        ));
    }
    if announcer.announce(entry.key()) { Ok(()) } else { failed("there is no connection to NATS now") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_once_in_ten_seconds_and_five_a_second() {
        let limit = Limit::default();
        let start = Instant::now();
        let key = |n: u8| AccountKey::from_raw([n; 32]);
        assert!((0..5).all(|n| limit.allow(&key(n), start)));
        assert!(!limit.allow(&key(6), start));
        let later = start + Duration::from_millis(1100);
        assert!(!limit.allow(&key(0), later));
        assert!(limit.allow(&key(6), later));
        assert!(limit.allow(&key(0), start + PER_KEY));
    }
}
