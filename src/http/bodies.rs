//! The bodies of requests in transit, bounded for all of them together.
//!
//! A body counts from before it is read until its request is answered, so also while it waits for the journal or is forwarded.
//! With its length it counts as a whole, so those that begin can also end; without one it counts in steps.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use actix_http::{HttpMessage as _, Request, Response};
use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use parking_lot::Mutex;

use super::peer::counted;
use super::{Shared, reply};
use crate::metrics::Metrics;

const NO_ROOM: &str = "too many request bodies are in transit\nnothing was changed; send it again";
/// In seconds.
const RETRY_AFTER: &str = "1";

/// All bodies together, in bytes: sixty of the largest, or many thousands of the usual ones.
const ALL: usize = 64 << 20;
/// A body up to this size is a usual one, in bytes.
const USUAL: usize = 64 << 10;
/// What larger bodies can take of it, in bytes: the rest is for usual ones.
const LARGE: usize = ALL - ALL / 8;
/// The bodies of one client, in bytes.
const OF_A_CLIENT: usize = ALL / 4;

/// How many bytes of bodies are in transit.
#[derive(Debug)]
pub(super) struct Bodies {
    taken: Mutex<TakenBytes>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct TakenBytes {
    all: usize,
    clients: HashMap<IpAddr, usize>,
}

/// Room for a body, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    bodies: Arc<Bodies>,
    client: IpAddr,
    bytes: usize,
}

/// A body that was read. It counts until this is dropped.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) _room: Room,
}

impl Bodies {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), metrics })
    }

    /// Room for a body of a client. `None`: there is none.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr, bytes: usize) -> Option<Room> {
        let mut room = Room { bodies: self.clone(), client: counted(client), bytes: 0 };
        room.grow(bytes).then_some(room)
    }

    /// Whether a body of this size would find room now.
    fn has_room(&self, bytes: usize) -> bool {
        self.taken.lock().all.saturating_add(bytes) <= bound(bytes)
    }
}

impl Room {
    /// Makes it larger. `false`: it stays as it is.
    pub(super) fn grow(&mut self, by: usize) -> bool {
        let mut taken = self.bodies.taken.lock();
        let own = taken.clients.get(&self.client).copied().unwrap_or(0);
        let (all, own) = (taken.all.saturating_add(by), own.saturating_add(by));
        if all > bound(self.bytes.saturating_add(by)) || own > OF_A_CLIENT {
            self.bodies.metrics.http.reject_body();
            return false;
        }
        taken.all = all;
        taken.clients.insert(self.client, own);
        self.bytes += by;
        self.bodies.metrics.http.body_bytes.set(i64::try_from(all).unwrap_or(i64::MAX));
        true
    }

    /// How large it is, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.bodies.taken.lock();
        taken.all = taken.all.saturating_sub(self.bytes);
        if let Some(own) = taken.clients.get_mut(&self.client) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                taken.clients.remove(&self.client);
            }
        }
        self.bodies.metrics.http.body_bytes.set(i64::try_from(taken.all).unwrap_or(i64::MAX));
    }
}

impl Deref for Body {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// The answer where there is no room. The body is not read, so the connection cannot be used again.
pub(super) fn no_room(request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::ServiceUnavailable();
    let response = response.insert_header((header::RETRY_AFTER, RETRY_AFTER)).force_close();
    let mut response = reply::error_with(request, response, StatusCode::SERVICE_UNAVAILABLE, NO_ROOM);
    reply::give_reason(&mut response, "bodies");
    response
}

/// Asks for the body of a request that waits for that, or answers it.
pub(super) async fn expected(request: Request, shared: Arc<Shared>) -> Result<Request, Response<BoxBody>> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if shared.bodies.has_room(length.unwrap_or(0)) {
        return Ok(request);
    }
    shared.node.metrics().http.reject_body();
    let mut response = Response::build(StatusCode::SERVICE_UNAVAILABLE);
    response
        .insert_header((header::RETRY_AFTER, RETRY_AFTER))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .force_close();
    Err(response.body(format!("{NO_ROOM}\n")).map_into_boxed_body())
}

/// What all bodies may take together if one of this size is among them, in bytes.
const fn bound(bytes: usize) -> usize {
    if bytes > USUAL { LARGE } else { ALL }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Profile;

    fn bodies() -> Arc<Bodies> {
        Bodies::new(Arc::new(Metrics::new(Profile::primary()).unwrap()))
    }

    fn client(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn all_together_have_a_bound_and_so_has_each_client() {
        let bodies = bodies();
        let large = OF_A_CLIENT / 2;
        let mut held: Vec<_> = (0..7).map(|number| bodies.enter(client(number / 2), large).unwrap()).collect();
        assert!(bodies.enter(client(9), USUAL + 1).is_none() && !bodies.has_room(USUAL + 1));
        held.extend((0..ALL / 8 / USUAL).map(|number| bodies.enter(client(20 + number as u32), USUAL).unwrap()));
        assert!(bodies.enter(client(9), 1).is_none() && !bodies.has_room(1));
        held.drain(6..);
        assert!(bodies.has_room(large) && bodies.enter(client(0), 1).is_none());
        assert!(bodies.enter(client(9), large + 1).is_none());
        let mut room = bodies.enter(client(9), large - 1).unwrap();
        assert!(room.grow(1) && !room.grow(1) && room.bytes() == large);
        drop((held, room));
        let taken = bodies.taken.lock();
        assert_eq!((taken.all, taken.clients.len()), (0, 0));
        drop(taken);
        assert_eq!(bodies.metrics.http.body_bytes.get(), 0);
        assert!(bodies.metrics.render().unwrap().contains("http_bodies_rejected_total 5\n"));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let bodies = bodies();
        let _held = bodies.enter("2001:db8::1".parse().unwrap(), OF_A_CLIENT).unwrap();
        assert!(bodies.enter("2001:db8::ffff:1".parse().unwrap(), 1).is_none());
        assert!(bodies.enter("2001:db8:0:1::1".parse().unwrap(), 1).is_some());
    }
}
