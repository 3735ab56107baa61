//! The client of other account servers, for replicas, imports and commands.
//!
//! A replica has a list of servers in the order of preference ([`Upstream`]): its primary, and others that can stand in
//! for it. All requests go to one of them, the current one: pulled JWTs, the feed, and forwarded changes. When the
//! current one fails and another one answers, that one becomes the current one. When a preferred one answers again
//! ([`probe`]), requests return to it. A request that fails or is slow goes to the next server at once ([`race`]), so
//! no client waits for that decision.
//!
//! Commands speak to one server ([`remote`]), and imports read packs ([`pack_lines`]).
//!
//! Nothing here is trusted. The gate decides which JWT counts, whichever server sent it.

mod answer;
mod belief;
pub(crate) mod body;
mod clients;
mod clock_difference;
mod digests;
mod explain;
mod found;
mod health;
mod marks;
mod pack;
pub(crate) mod pack_lines;
mod places;
mod probe;
mod race;
pub(crate) mod remote;
mod report;
mod server;
mod setup;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

pub(crate) use clients::bearer;
pub use clients::{MOST_REQUESTS, client};
pub use setup::{Access, Setup};

pub(crate) use answer::{AnswerSource, Fetched, UpstreamAnswer, UpstreamError};
pub(crate) use digests::MAX_ANSWER;
pub(crate) use places::Class;
pub(crate) use server::UpstreamServer;
pub(crate) use stream::FeedBody;

use crate::feed::Head;
use crate::gate::Gate;
use crate::key::PublicKey;
use crate::metrics::Metrics;
use crate::tls::TlsFiles;
use clients::Clients;
use health::ServerVerdict;

/// The time limit for the start of the feed.
const OPENING: Duration = Duration::from_secs(5);
/// The same limit if there are other servers.
const OPENING_OF_MANY: Duration = Duration::from_secs(2);

/// All servers, and which of them is the current one.
#[derive(Debug)]
pub(crate) struct Upstream {
    servers: Vec<UpstreamServer>,
    /// The index of the current one.
    current: watch::Sender<usize>,
    /// The index of the server whose feed was opened last.
    followed: AtomicUsize,
    clients: Arc<Clients>,
    tls_files: Arc<TlsFiles>,
    timeout: Duration,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
}

impl Upstream {
    /// The servers of a setup; the first one is the current one. `name`: the name of this process on the wire. The
    /// error says which URL or TLS file is unusable.
    pub(crate) fn new(
        setup: &Setup,
        name: &Arc<str>,
        gate: &Arc<Gate>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        let (clients, tls_files) =
            Clients::load(setup, name.clone(), metrics.clone()).map_err(|error| error.to_string())?;
        let servers: Vec<UpstreamServer> =
            setup.primaries.iter().map(|base| UpstreamServer::new(base, clients.clone())).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err("a replica needs a primary: set primary".to_owned());
        }
        let upstream = Self {
            servers,
            current: watch::Sender::new(0),
            followed: AtomicUsize::new(0),
            clients,
            tls_files,
            timeout: setup.timeout,
            gate: gate.clone(),
            metrics: metrics.clone(),
        };
        upstream.show();
        Ok(upstream)
    }

    /// The TLS files, to be watched.
    pub(crate) const fn tls_files(&self) -> &Arc<TlsFiles> {
        &self.tls_files
    }

    /// Uses another token and other TLS files from the next request on. An unusable file is logged and changes nothing.
    /// Blocks.
    pub(crate) fn set_access(&self, access: &Access) {
        self.clients.set_token(access.token.clone());
        self.tls_files.reload(access.tls.clone());
    }

    /// The server that all requests go to.
    pub(crate) fn current(&self) -> &UpstreamServer {
        &self.servers[self.place()]
    }

    pub(crate) fn shown(&self) -> &str {
        self.current().shown()
    }

    /// The known servers on the way from this one, the nearest first.
    pub(crate) fn route(&self) -> Vec<String> {
        self.current().route.names()
    }

    /// How many seconds later it is here than there. `None`: not known yet.
    pub(crate) fn clock_difference(&self) -> Option<f64> {
        self.current().clock.seconds()
    }

    /// The clock difference in words, if it is too large.
    pub(crate) fn clock_problem(&self) -> Option<String> {
        self.current().clock.describe()
    }

    /// The fault of the current server, if it has one.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        self.current().health.fault()
    }

    pub(crate) fn public(&self) -> &str {
        &self.current().public
    }

    /// Whether all servers failed so recently that a copy is better than a wait for them.
    pub(crate) fn is_resting(&self) -> bool {
        self.servers.iter().all(|server| server.health.is_foreign() || server.health.is_resting())
    }

    /// Whether the current server has room for a request that no client waits for.
    pub(crate) fn has_room(&self) -> bool {
        self.current().places.has_room()
    }

    /// Whether a request could be sent at once.
    pub(crate) fn has_place(&self, class: Class) -> bool {
        self.current().places.has_place(class)
    }

    /// Whether a request would probably be answered in time.
    pub(crate) fn accepts(&self, class: Class) -> bool {
        self.current().places.accepts(class, Self::deadline())
    }

    /// Whether a server has ever answered as a primary does, with or without a feed.
    pub(crate) fn was_reached(&self) -> bool {
        self.servers.iter().any(UpstreamServer::was_reached)
    }

    /// Requests the operator JWTs in force, oldest first. `Ok(None)`: the server has none.
    pub(crate) async fn operator_chain(&self) -> Result<Option<Vec<String>>, UpstreamError> {
        let mut failed = None;
        for place in self.candidates() {
            match self.servers[place].operator_chain().await {
                Err(error) if error.is_failing() => _ = failed.get_or_insert(error),
                answer => return answer,
            }
        }
        Err(failed.unwrap_or_else(|| self.all_foreign()))
    }

    /// Opens the change feed, from a position or from the current one of the server. The server that gives it becomes
    /// the current one.
    pub(crate) async fn changes(&self, after: Option<&Head>) -> Result<FeedBody, UpstreamError> {
        let operator = self.operator_wanted();
        let limit = if self.has_others() { OPENING_OF_MANY } else { OPENING };
        let mut failed = None;
        for place in self.candidates() {
            let server = &self.servers[place];
            let opened = tokio::time::timeout(limit, async {
                // The server may be another one since the last feed ended.
                match operator.as_ref() {
                    Some(operator) => self.noted(place, server.vet_anew(operator).await),
                    None => Ok(()),
                }
            });
            let opened = match opened.await.unwrap_or_else(|_| Err(UpstreamError::no_answer())) {
                Ok(()) => server.changes(after, limit).await,
                Err(error) => Err(error),
            };
            match opened {
                Err(error) if error.is_failing() => {
                    server.health.fail(&error.to_string());
                    failed.get_or_insert(error);
                }
                answer => {
                    server.health.answered();
                    self.go(place, |health| health.fault().unwrap_or_else(|| "it gives no feed".into()));
                    self.followed.store(place, Ordering::Release);
                    return answer.map(|response| FeedBody::new(response, place, self.current.subscribe()));
                }
            }
        }
        Err(failed.unwrap_or_else(|| self.all_foreign()))
    }

    /// Marks the server whose feed the replica follows as failing.
    pub(crate) fn feed_failed(&self, reason: &str) {
        self.followed().health.fail(reason);
    }

    /// The server whose feed the replica follows.
    pub(crate) fn followed(&self) -> &UpstreamServer {
        &self.servers[self.followed.load(Ordering::Acquire)]
    }

    fn place(&self) -> usize {
        *self.current.borrow()
    }

    fn has_others(&self) -> bool {
        self.servers.len() > 1
    }

    /// The operator whose accounts a server must host. `None`: there is only one server, or no operator is known.
    fn operator_wanted(&self) -> Option<PublicKey> {
        self.has_others().then(|| self.gate.trust().map(|trust| *trust.identity()))?
    }

    /// The usable servers, in this order: the current one, the others, and last those that are known to fail.
    fn candidates(&self) -> Vec<usize> {
        let current = self.place();
        let mut places: Vec<usize> =
            (0..self.servers.len()).filter(|place| !self.servers[*place].health.is_foreign()).collect();
        places.sort_by_key(|place| (self.servers[*place].health.fault().is_some(), *place != current));
        places
    }

    fn all_foreign(&self) -> UpstreamError {
        let fault = self.fault();
        UpstreamError::Transport(fault.map_or_else(|| "no server can be reached".to_owned(), |fault| fault.to_string()))
    }

    /// Takes a server out of use that hosts another operator's accounts.
    fn noted<T>(&self, place: usize, result: Result<T, UpstreamError>) -> Result<T, UpstreamError> {
        if let Err(error @ UpstreamError::Foreign(_)) = &result {
            let before = self.servers[place].health.judge(ServerVerdict::Foreign(error.to_string().into()));
            if !matches!(before, ServerVerdict::Foreign(_)) {
                self.metrics.replica.foreign_upstreams.inc();
                tracing::error!("{} is put aside, and checked again later: {error}", self.servers[place].shown());
            }
        }
        result
    }

    /// A server has answered. If the current one has a fault, requests go to this one.
    fn answered(&self, place: usize) {
        let current = self.place();
        if place != current
            && let Some(fault) = self.servers[current].health.fault()
        {
            self.go(place, |_| fault);
        }
    }

    /// Makes a server the current one. `why` gives the fault of the earlier one.
    fn go(&self, place: usize, why: impl FnOnce(&health::Health) -> Arc<str>) {
        let mut left = None;
        self.current.send_if_modified(|current| {
            left = (*current != place).then_some(*current);
            *current = place;
            left.is_some()
        });
        let Some(left) = left else { return };
        let (from, to) = (&self.servers[left], &self.servers[place]);
        let why = why(&from.health);
        from.health.leave();
        to.health.prefer();
        self.show();
        self.metrics.replica.failovers.inc();
        if place < left {
            tracing::info!("requests go to {} again instead of {}: {why}", to.shown(), from.shown());
        } else {
            tracing::warn!("requests now go to {} instead of {}: {why}", to.shown(), from.shown());
        }
    }

    fn show(&self) {
        let current = self.place();
        for (place, server) in self.servers.iter().enumerate() {
            self.metrics.replica.upstream.with_label_values(&[server.shown()]).set(i64::from(place == current));
        }
        // A server that is listed twice has one series.
        self.metrics.replica.upstream.with_label_values(&[self.shown()]).set(1);
    }
}
