//! `notify=true`: asking us to announce a JWT again, an account's to the nats-servers or an activation to other account
//! servers.
//!
//! Anybody can ask, so it is limited: each JWT once in a while, and all together a few a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use parking_lot::Mutex;

use super::query::Params;
use super::{Shared, reply};
use crate::node::Again;

/// `false` in the answer to a request that asked for an announcement, if this server is not on NATS.
const ANNOUNCED: HeaderName = HeaderName::from_static("nas-announced");

/// One JWT is announced at most once in this time.
const PER_KEY: Duration = Duration::from_secs(10);
/// Announcements in a second, over all JWTs.
const PER_SECOND: u32 = 5;

/// What was announced lately.
#[derive(Debug, Default)]
pub(super) struct NotifyLimit(Mutex<RecentNotifications>);

#[derive(Debug, Default)]
struct RecentNotifications {
    lately: HashMap<Again, Instant>,
    second: Option<(Instant, u32)>,
}

impl NotifyLimit {
    fn allow(&self, what: Again, now: Instant) -> bool {
        let mut recent = self.0.lock();
        recent.lately.retain(|_, at| now.duration_since(*at) < PER_KEY);
        let (since, count) = match recent.second {
            Some((since, count)) if now.duration_since(since) < Duration::from_secs(1) => (since, count),
            _ => (now, 0),
        };
        if count >= PER_SECOND || recent.lately.contains_key(&what) {
            return false;
        }
        recent.second = Some((since, count + 1));
        recent.lately.insert(what, now);
        true
    }
}

/// What became of the wish to announce a JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    /// Nobody wished for it, or it was announced.
    AsAsked,
    /// This server is not on NATS, so it announces nothing.
    Nowhere,
}

impl Announced {
    /// Says so in the answer.
    pub(super) fn describe(self, headers: &mut HeaderMap) {
        if self == Self::Nowhere {
            headers.insert(ANNOUNCED, HeaderValue::from_static("false"));
        }
    }
}

/// Announces a JWT if the request asks for it, or says why not.
pub(super) fn announce(
    request: &HttpRequest,
    shared: &Shared,
    params: &Params,
    what: Again,
) -> Result<Announced, HttpResponse> {
    if !params.is_true("notify") || *request.method() != Method::GET {
        return Ok(Announced::AsAsked);
    }
    let failed = |why: &str| {
        let message = format!("error sending notification of change\n{why}");
        Err(reply::error(request, StatusCode::SERVICE_UNAVAILABLE, &message))
    };
    if shared.node.nats().is_none() {
        return Ok(Announced::Nowhere);
    }
    if let Err(error) = shared.node.writable() {
        return failed(&error.to_string());
    }
    if !shared.notify_limit.allow(what, Instant::now()) {
        return Err(reply::try_later(
            request,
            StatusCode::TOO_MANY_REQUESTS,
            "10",
            "too many notifications\neach JWT can be announced once in 10 seconds, and 5 a second in all",
        ));
    }
    match shared.node.announcer().map(|announcer| announcer.announce(what)) {
        Some(Err(why)) => failed(why),
        Some(Ok(())) | None => Ok(Announced::AsAsked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::AccountKey;

    #[test]
    fn each_jwt_once_in_ten_seconds_and_five_a_second() {
        let limit = NotifyLimit::default();
        let start = Instant::now();
        let one = |n: u8| Again::Account(AccountKey::from_raw([n; 32]));
        assert!((0..5).all(|n| limit.allow(one(n), start)));
        assert!(!limit.allow(one(6), start));
        let later = start + Duration::from_millis(1100);
        assert!(!limit.allow(one(0), later));
        assert!(limit.allow(one(6), later));
        assert!(limit.allow(one(0), start + PER_KEY));
    }
}
