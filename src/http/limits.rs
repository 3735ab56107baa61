//! What one client may cost: limits on requests that are expensive, and that no client needs to send often.
//!
//! Reads of what is stored or cached are never limited, nor are changes that the server accepts: only an operator's key
//! makes those. What is counted are pushes that change nothing, keys that upstream has to be asked for although nothing is
//! known of them, and lists of everything.
//!
//! A client is an address, or a network of 2⁶⁴ of them in IPv6. A whole fleet may be behind one address, so the limits are
//! high; each one has to hold for it, not for a single nats-server.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::peer::counted;
use super::reply;
use crate::config::HttpLimits;
use crate::metrics::Metrics;

/// Seconds for which a client that was silent may send everything at once.
const BURST: u32 = 20;
/// Clients that are told apart. If there are more, those that sent little lately are forgotten.
const CLIENTS: usize = 100_000;
/// How long a client whose pushes changed nothing waits at most, whatever it owes.
const LONGEST: Duration = Duration::from_secs(60);

/// The limits of the whole server.
#[derive(Debug)]
pub(super) struct Limits {
    pushes: Option<ClientLimit>,
    unknown_keys: Option<ClientLimit>,
    listings: Option<ClientLimit>,
    /// Clients whose pushes are rejected unread until then.
    held_off: moka::sync::Cache<IpAddr, Instant>,
}

/// One kind of requests.
#[derive(Debug)]
struct ClientLimit {
    name: &'static str,
    limiter: DefaultKeyedRateLimiter<IpAddr>,
}

/// The client has sent too much. It may try again after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany {
    name: &'static str,
    wait: Duration,
}

impl Limits {
    pub(super) fn new(rates: &HttpLimits) -> Self {
        let limit = |name, rate| {
            let rate = NonZeroU32::new(rate)?;
            let quota =
                Quota::per_second(rate).allow_burst(rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1)));
            Some(ClientLimit { name, limiter: RateLimiter::keyed(quota) })
        };
        Self {
            pushes: limit("pushes", rates.pushes),
            unknown_keys: limit("unknown_keys", rates.unknown_keys),
            listings: limit("listings", rates.listings),
            held_off: moka::sync::Cache::builder().max_capacity(CLIENTS as u64).time_to_live(LONGEST).build(),
        }
    }

    /// Whether a client may push. Asked before anything of the push is read.
    pub(super) fn may_push(&self, address: IpAddr) -> Result<(), TooMany> {
        if self.pushes.is_none() {
            return Ok(());
        }
        let until = self.held_off.get(&counted(address));
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(TooMany { name: "pushes", wait }),
        }
    }

    /// A client has pushed something that changed nothing.
    pub(super) fn changed_nothing(&self, address: IpAddr) {
        let client = counted(address);
        if let Some(pushes) = &self.pushes
            && let Err(TooMany { wait, .. }) = pushes.count(client)
        {
            self.held_off.insert(client, Instant::now() + wait);
        }
    }

    /// Whether a client may have upstream asked for a key of which nothing is known.
    pub(super) fn may_ask(&self, address: IpAddr) -> Result<(), TooMany> {
        self.unknown_keys.as_ref().map_or(Ok(()), |limit| limit.count(counted(address)))
    }

    /// Whether a client may have a list of everything.
    pub(super) fn may_list(&self, address: IpAddr) -> Result<(), TooMany> {
        self.listings.as_ref().map_or(Ok(()), |limit| limit.count(counted(address)))
    }
}

impl ClientLimit {
    fn count(&self, client: IpAddr) -> Result<(), TooMany> {
        if self.limiter.len() > CLIENTS {
            self.limiter.retain_recent();
            if self.limiter.len() > CLIENTS {
                // More clients than places: they share one.
                return self.take(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            }
        }
        self.take(client)
    }

    fn take(&self, client: IpAddr) -> Result<(), TooMany> {
        self.limiter.check_key(&client).map_err(|not_until| TooMany {
            name: self.name,
            wait: not_until.wait_time_from(DefaultClock::default().now()),
        })
    }
}

impl TooMany {
    pub(super) fn response(self, request: &HttpRequest, metrics: &Metrics) -> HttpResponse {
        metrics.http.limit(self.name);
        let seconds = self.wait.as_secs() + 1;
        let message = format!(
            "too many requests\nthis address has used up what http.limits.{} grants it; try again in {seconds} s",
            self.name
        );
        reply::try_later(request, StatusCode::TOO_MANY_REQUESTS, &seconds.to_string(), &message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: HttpLimits = HttpLimits { pushes: 1, unknown_keys: 2, listings: 0 };

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_client_has_its_own_share_and_some_at_once() {
        let limits = Limits::new(&RATES);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let taken = (0..100).take_while(|_| limits.may_ask(one).is_ok()).count();
        assert!((40..=42).contains(&taken), "{taken}");
        let refused = limits.may_ask(one).expect_err("it is used up");
        assert!(refused.name == "unknown_keys" && refused.wait <= Duration::from_millis(500), "{refused:?}");
        assert_eq!(limits.may_ask(other), Ok(()));
        assert!((0..1000).all(|_| limits.may_list(one).is_ok()), "zero is no limit");
    }

    #[test]
    fn only_pushes_that_change_nothing_count() {
        let limits = Limits::new(&RATES);
        let one = address("192.0.2.1");
        assert!((0..1000).all(|_| limits.may_push(one).is_ok()));
        (0..30).for_each(|_| limits.changed_nothing(one));
        assert!(limits.may_push(one).is_err());
        assert_eq!(limits.may_push(address("192.0.2.2")), Ok(()));
    }
}
