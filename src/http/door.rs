//! The door: whether a request may do what it asks for, decided before anything is answered.
//!
//! The route and the method say which scopes a request needs ([`Route::needs`]), and [`crate::access`] which ones its client
//! has. A plain GET of a JWT is decided by what the worker remembers ([`WorkerDoor`]); everything else by [`enter`].
//!
//! What is refused is refused in the same words whether or not there is anything behind the door.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use super::connection::Shown;
use super::peer::counted;
use super::query::Params;
use super::route::{Needs, Route};
use super::{Shared, caching, client, cors, reply};
use crate::access::{AccessControl, Denied, InForce, Presented, Principal, Scopes, Standing, Stated, Verdict};
use crate::config::Scope;

/// Two headers, because older clients read the first challenge of each.
const CHALLENGES: [&str; 2] =
    ["Basic realm=\"nats-account-server\", charset=\"UTF-8\"", "Bearer realm=\"nats-account-server\""];
const ON_BEHALF_OF: HeaderName = HeaderName::from_static(Stated::HEADER);
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Credentials that a worker remembers. When there are more, it forgets all of them.
const REMEMBERED: usize = 512;

/// What one worker remembers of who may read.
#[derive(Debug)]
pub(super) struct WorkerDoor {
    access: Arc<AccessControl>,
    in_force: Arc<InForce>,
    /// Whether everybody may read, if all clients are alike.
    all_may_read: Option<bool>,
    /// The headers of credentials that are right, and what they are good for.
    known: HashMap<Box<[u8]>, Scopes>,
}

impl WorkerDoor {
    pub(super) fn of(access: &Arc<AccessControl>) -> Self {
        let mut door =
            Self { access: access.clone(), in_force: access.in_force(), all_may_read: None, known: HashMap::new() };
        door.remember();
        door
    }

    /// Whether an answer depends on who asks.
    pub(super) const fn is_private(&self) -> bool {
        self.all_may_read.is_none()
    }

    /// Whether a plain GET of a JWT may be answered here and now. If not, [`enter`] says why.
    pub(super) fn may_read(&mut self, request: &HttpRequest, shared: &Shared) -> bool {
        if self.access.generation() != self.in_force.generation {
            self.in_force = self.access.in_force();
            self.remember();
        }
        self.all_may_read.unwrap_or_else(|| self.scopes(request, shared).has(Scope::Read))
    }

    fn remember(&mut self) {
        self.all_may_read = self.in_force.policy.for_all().map(|scopes| scopes.has(Scope::Read));
        self.known.clear();
    }

    fn scopes(&mut self, request: &HttpRequest, shared: &Shared) -> Scopes {
        let mut shown = request.headers().get_all(header::AUTHORIZATION);
        if self.in_force.policy.knows_credentials()
            && let Some(credential) = shown.next()
        {
            let credential = credential.as_bytes();
            return match self.known.get(credential) {
                _ if shown.next().is_some() => Scopes::NONE,
                Some(scopes) => *scopes,
                None => self.look(request, shared, credential),
            };
        }
        let sans = request.conn_data::<Shown>().map_or(&[][..], |shown| &shown.sans);
        self.in_force.policy.scopes_without_credential(sans, client::address(request, shared))
    }

    /// A credential that this worker has not seen lately.
    fn look(&mut self, request: &HttpRequest, shared: &Shared, credential: &[u8]) -> Scopes {
        let presented = presented(request, shared);
        let Some(verdict) = self.access.judge_now(&self.in_force, &presented) else { return Scopes::NONE };
        warn_of_plain_text(request, shared, &verdict.principal);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(credential.into(), verdict.scopes);
        verdict.scopes
    }
}

/// A client that may do what it asks for, and what it may do besides. It is kept with the request.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) verdict: Verdict,
    needed: Scopes,
    standing: Option<Standing>,
    /// Whether the answer depends on who asks.
    is_private: bool,
}

/// Lets a request in, or answers it.
pub(super) async fn enter(request: &HttpRequest, shared: &Shared, route: &Route<'_>) -> Result<Guest, HttpResponse> {
    let needs = match &shared.cors {
        // A browser asks that of itself, before it may show anything.
        Some(_) if cors::is_preflight(request) => Needs::Nothing,
        _ => route.needs(request.method(), &Params::of(request)),
    };
    let (presented, in_force) = (presented(request, shared), shared.access.in_force());
    let is_private = in_force.policy.for_all().is_none();
    if needs == Needs::Nothing {
        // A probe gets its answer whatever it shows, and costs no hash.
        let nobody = || Verdict { principal: Principal::Anonymous, scopes: Scopes::NONE };
        let verdict = shared.access.judge_now(&in_force, &presented).unwrap_or_else(nobody);
        return Ok(Guest { verdict, needed: Scopes::NONE, standing: None, is_private });
    }
    let judged = shared.access.judge(&presented).await;
    let (mut verdict, mut standing) =
        judged.map_err(|denied| refused(request, shared, &Refused::Credential(denied)))?;
    if presented.authorization[0].is_some() {
        warn_of_plain_text(request, shared, &verdict.principal);
    }
    if let Some(stated) = stated(request, route) {
        verdict = verdict.on_behalf(&stated);
        standing.bound = Some(verdict.scopes);
    }
    let needed = match needs {
        Needs::All(scopes) => scopes,
        _ if verdict.scopes.is_empty() => Scopes::one(Scope::Read),
        _ => Scopes::NONE,
    };
    match verdict.scopes.lacks(needed) {
        None => Ok(Guest { verdict, needed, standing: Some(standing), is_private }),
        Some(missing) => Err(refused(request, shared, &Refused::Scope(&verdict.principal, missing))),
    }
}

impl Guest {
    /// Keeps it with a request, for what is decided later.
    pub(super) fn keep(&self, request: &HttpRequest) {
        request.extensions_mut().insert(self.clone());
    }

    /// Its name for the audit log and the history. `None`: nobody in particular.
    pub(super) fn audited(&self) -> Option<Box<str>> {
        let principal = &self.verdict.principal;
        let is_nobody = principal.shown().is_anonymous();
        (!is_nobody).then(|| principal.to_string().into())
    }

    /// Answers a read, unless the client loses the right to it before. A change is answered in any case: it may be made.
    pub(super) async fn answered(
        &self,
        request: &HttpRequest,
        shared: &Shared,
        answer: impl Future<Output = HttpResponse>,
    ) -> HttpResponse {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer.await;
        }
        tokio::select! {
            // An answer that is there costs no look at the policy.
            biased;
            response = answer => response,
            missing = self.lost(&shared.access) => {
                refused(request, shared, &Refused::Scope(&self.verdict.principal, missing))
            }
        }
    }

    /// Keeps an answer from other clients, and ends one that goes on when the client loses the right to it.
    pub(super) fn guarded(self, mut response: HttpResponse, access: &Arc<AccessControl>) -> HttpResponse {
        if self.is_private {
            caching::make_private(response.headers_mut());
        }
        if self.needed.is_empty() || !matches!(response.body().size(), BodySize::Stream) {
            return response;
        }
        let access = access.clone();
        let lost = Box::pin(async move {
            self.lost(&access).await;
        });
        response.map_body(|_, body| BoxBody::new(WatchedBody { body, lost }))
    }

    /// Waits until the client may no longer do what it asked for. Returns what it lacks.
    async fn lost(&self, access: &AccessControl) -> Scope {
        match &self.standing {
            Some(standing) => access.lost(standing, self.needed).await,
            None => std::future::pending().await,
        }
        self.needed.iter().next().unwrap_or(Scope::Read)
    }
}

/// The client of a request that was let in.
pub(super) fn guest(request: &HttpRequest) -> Option<Guest> {
    request.extensions().get::<Guest>().cloned()
}

/// Whether the client of a request may do something that its answer depends on.
pub(super) fn may(request: &HttpRequest, scope: Scope) -> bool {
    request.extensions().get::<Guest>().is_some_and(|guest| guest.verdict.scopes.has(scope))
}

/// Waits for something on behalf of the client of a request, for as long as it may do what it asked for. `None`: it no longer may.
pub(super) async fn while_allowed<T>(
    request: &HttpRequest,
    shared: &Shared,
    work: impl Future<Output = T>,
) -> Option<T> {
    let Some(guest) = guest(request) else { return Some(work.await) };
    tokio::select! {
        biased;
        done = work => Some(done),
        _ = guest.lost(&shared.access) => None,
    }
}

/// What goes with a request that is forwarded.
pub(super) struct Onward {
    /// The value of [`Stated::HEADER`].
    pub(super) on_behalf_of: Option<String>,
    /// Whether this server has decided by its own settings who the client is, and lends it its own credentials.
    pub(super) is_known_here: bool,
}

/// What goes with a request of a client that is forwarded.
pub(super) fn onward(request: &HttpRequest, shared: &Shared) -> Onward {
    let in_force = shared.access.in_force();
    let policy = &in_force.policy;
    let shows_credential = request.headers().contains_key(header::AUTHORIZATION);
    if shows_credential && !policy.knows_credentials() {
        // The next server judges the credential itself. What another replica said of its client stays.
        let on_behalf_of = read_stated(request).map(|stated| stated.value());
        return Onward { on_behalf_of, is_known_here: false };
    }
    let on_behalf_of = guest(request).map(|guest| Stated::of(&guest.verdict).value());
    Onward { on_behalf_of, is_known_here: policy.for_all().is_none() }
}

/// What a replica states about its client. Reads that a replica makes for itself carry nothing.
fn stated(request: &HttpRequest, route: &Route<'_>) -> Option<Stated> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && !matches!(route, Route::Digests) { None } else { read_stated(request) }
}

fn read_stated(request: &HttpRequest) -> Option<Stated> {
    Stated::read(request.headers().get_all(&ON_BEHALF_OF).map(|value| value.as_bytes()))
}

fn presented<'r>(request: &'r HttpRequest, shared: &Shared) -> Presented<'r> {
    let mut shown = request.headers().get_all(header::AUTHORIZATION).map(|value| value.as_bytes());
    let address = client::address(request, shared);
    Presented {
        authorization: [shown.next(), shown.next()],
        sans: request.conn_data::<Shown>().map(|shown| &shown.sans),
        address,
        counts_as: counted(address),
    }
}

/// Why a request is refused.
enum Refused<'r> {
    Credential(Denied),
    Scope(&'r Principal, Scope),
}

fn refused(request: &HttpRequest, shared: &Shared, why: &Refused<'_>) -> HttpResponse {
    let (status, reason, message) = match why {
        Refused::Credential(Denied::Wrong) => (
            StatusCode::UNAUTHORIZED,
            "wrong_credentials",
            "401 Unauthorized\nthe credentials of this request are wrong, or malformed".to_owned(),
        ),
        Refused::Credential(Denied::LockedOut(wait)) => (
            StatusCode::TOO_MANY_REQUESTS,
            "locked_out",
            format!("too many wrong passwords\ntry again in {} s", seconds(*wait)),
        ),
        Refused::Credential(Denied::Busy) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "passwords_busy",
            "too many passwords wait to be verified\ntry again".to_owned(),
        ),
        Refused::Scope(principal, missing) => match principal.shown() {
            Principal::Anonymous | Principal::Network(_) if !matches!(principal, Principal::OnBehalf(..)) => (
                StatusCode::UNAUTHORIZED,
                "no_credentials",
                "401 Unauthorized\nthis request needs credentials: a user and a password, or a token".to_owned(),
            ),
            _ => (
                StatusCode::FORBIDDEN,
                "missing_scope",
                format!("403 Forbidden\n{principal} lacks the scope {} that this request needs", missing.name()),
            ),
        },
    };
    shared.node.metrics().http.access_rejected.inc([reason]);
    let mut response = HttpResponseBuilder::new(status);
    match why {
        _ if status == StatusCode::UNAUTHORIZED => {
            for challenge in CHALLENGES {
                response.append_header((header::WWW_AUTHENTICATE, challenge));
            }
        }
        Refused::Credential(Denied::LockedOut(wait)) => {
            response.insert_header((header::RETRY_AFTER, seconds(*wait)));
        }
        Refused::Credential(Denied::Busy) => {
            response.insert_header((header::RETRY_AFTER, 1));
        }
        Refused::Credential(Denied::Wrong) | Refused::Scope(..) => {}
    }
    let mut response = reply::reasoned(request, &mut response, status, &message, reason);
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        // The body is not read, so the connection cannot be used again.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

/// Says now and then that somebody sends credentials that others on the way can read.
fn warn_of_plain_text(request: &HttpRequest, shared: &Shared, principal: &Principal) {
    if shared.is_https || !matches!(principal, Principal::User(_) | Principal::Token(_)) {
        return;
    }
    let Some(peer) = request.peer_addr().map(|peer| peer.ip().to_canonical()).filter(|peer| !peer.is_loopback()) else {
        return;
    };
    let is_proxy = shared.trusted_proxies.iter().any(|network| network.contains(&peer));
    if is_proxy && says_https(request.headers()) {
        return;
    }
    if let Some(held_back) = shared.in_plain_text.turn(Instant::now()) {
        let address = client::address(request, shared);
        tracing::warn!(
            client = %address,
            "the credentials of {principal} came from {address} over plain HTTP, where others can read them: use HTTPS{held_back}"
        );
    }
}

/// Whether a proxy says that its client speaks HTTPS with it.
fn says_https(headers: &HeaderMap) -> bool {
    let last = |name: &HeaderName| {
        let line = headers.get_all(name).last()?.to_str().ok()?;
        Some(line.rsplit(',').next()?.trim().to_ascii_lowercase())
    };
    if let Some(proto) = last(&FORWARDED_PROTO) {
        return proto == "https";
    }
    let forwarded = last(&header::FORWARDED).unwrap_or_default();
    forwarded.split(';').any(|pair| matches!(pair.trim().trim_end_matches('"'), "proto=https" | "proto=\"https"))
}

/// A body that ends when its client loses the right to it.
struct WatchedBody {
    body: BoxBody,
    lost: LocalBoxFuture<'static, ()>,
}

impl MessageBody for WatchedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the client may no longer read this".into())));
        }
        Pin::new(&mut self.body).poll_next(cx).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_says_how_its_client_speaks() {
        for (name, value, is_https) in [
            ("x-forwarded-proto", "https", true),
            ("x-forwarded-proto", "http, HTTPS", true),
            ("x-forwarded-proto", "https, http", false),
            ("x-forwarded-proto", "", false),
            ("forwarded", "for=192.0.2.1;proto=https", true),
            ("forwarded", "for=192.0.2.1; Proto=\"https\"", true),
            ("forwarded", "proto=https, for=192.0.2.1;proto=http", false),
            ("forwarded", "for=192.0.2.1", false),
            ("x-other", "https", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name.try_into().unwrap(), value.try_into().unwrap());
            assert_eq!(says_https(&headers), is_https, "{name}: {value}");
        }
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds() {
        assert_eq!([0, 1, 1_000, 1_001].map(|millis| seconds(Duration::from_millis(millis))), [0, 1, 1, 2]);
    }
}
