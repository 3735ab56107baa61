//! What can be asked of this server, whichever role it has.
//!
//! The edges (HTTP, NATS) speak to a [`Node`] and know neither the roles nor each other. The roles implement the traits of
//! this port: [`Backend`], and [`Ledger`] or [`Upstream`]. What one edge needs of the other is here as well: [`Announce`] and
//! [`Sign`] are implemented over NATS and used over HTTP, and in [`Receipts`] NATS notes what became of each change.

mod activations;
mod answer;
mod backend;
mod changes;
mod checks;
mod delivery;
mod digests;
#[cfg(test)]
pub(crate) mod fake;
mod keys;
mod ledger;
mod links;
mod listing;
mod lookup;
mod merge;
mod names;
mod news;
mod operator;
mod signing;
mod upstream;
mod writes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use answer::{
    ActivationAnswer, Ages, Answer, Found, History, LookupError, Miss, Now, Stamp, Unavailable, Withheld,
};
pub use backend::Backend;
pub use changes::{Changes, Feed, FeedSource, Located, Piece, Place, Recent};
pub use checks::Check;
pub use delivery::{
    Announcement, CaughtUp, Claim, Compare, Compared, Counts, Delivery, Difference, Ended, FETCH_TIMEOUT, Gone, Loaded,
    Match, OperatorThere, Outcome, Overflow, Present, Progress, Propagation, Receipt, Receipts, ReplicaStand, Replicas,
    ReportRefused, Runs, Server, Silent, Stand, Standing, Told, Turned, Withdrawn, not_live,
};
pub use digests::Digested;
pub use keys::{KeyList, NoKeyList};
pub use ledger::{Ledger, Lookup, Replaced, Submitted, SubmittedActivation, Verdict};
pub use links::{Again, Announce, Connection, Manners};
pub use news::News;
pub use operator::OperatorFile;
pub use signing::{NoAnswer, Pushed, Sign, SignError};
pub use upstream::{Ahead, AheadPage, ForwardError, Question, Relayed, Target, Upstream, Write, Writes};
pub use writes::{CUTTING_OFF, Submitting, WriteError};

// What is stored, as the edges pass it on.
pub use crate::store::StoreError;
pub use crate::store::journal::{Fact, NatsServer, NatsServerChange, Served, Stored, StoredVersion};

use crate::clock;
use crate::epoch::Epoch;
use crate::feed::wire::new_name;
use crate::gate::{Gate, Trust};
use crate::jwt::Called;
use crate::key::{AccountKey, PublicKey};
use crate::metrics::{Metrics, gauge};
use crate::store::journal::AccountStatus;

/// What this server is.
#[derive(Debug, Clone)]
enum Role {
    Primary(Arc<dyn Ledger>),
    Replica(Arc<dyn Upstream>),
}

/// This server, as its edges see it.
#[derive(Debug)]
pub struct Node {
    /// The role, as far as both have something to do. The same as in `role`: a hot read costs one call.
    backend: Arc<dyn Backend>,
    role: Role,
    name: String,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    nats: OnceLock<Arc<dyn Connection>>,
    manners: OnceLock<Arc<dyn Manners>>,
    announcer: OnceLock<Arc<dyn Announce>>,
    comparer: OnceLock<Arc<dyn Compare>>,
    signing: OnceLock<signing::Signing>,
    operator_file: Mutex<Option<OperatorFile>>,
    receipts: Arc<Receipts>,
    replicas: Arc<Replicas>,
    last_key_list: keys::LastKeyList,
    leaving: AtomicBool,
    draining: CancellationToken,
}

impl Node {
    /// A primary. A replica that is silent for `replica_forget` counts no more.
    pub fn primary(ledger: Arc<dyn Ledger>, gate: Arc<Gate>, metrics: Arc<Metrics>, replica_forget: Duration) -> Self {
        Self::new(Role::Primary(ledger.clone()), ledger, new_name(), gate, metrics, replica_forget)
    }

    /// A replica. `name`: by what this process knows itself.
    pub fn replica(
        upstream: Arc<dyn Upstream>,
        name: String,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
        replica_forget: Duration,
    ) -> Self {
        Self::new(Role::Replica(upstream.clone()), upstream, name, gate, metrics, replica_forget)
    }

    fn new(
        role: Role,
        backend: Arc<dyn Backend>,
        name: String,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
        replica_forget: Duration,
    ) -> Self {
        Self {
            backend,
            role,
            name,
            gate,
            metrics,
            nats: OnceLock::new(),
            manners: OnceLock::new(),
            announcer: OnceLock::new(),
            comparer: OnceLock::new(),
            signing: OnceLock::new(),
            operator_file: Mutex::default(),
            receipts: Arc::default(),
            replicas: Arc::new(Replicas::new(replica_forget)),
            last_key_list: keys::LastKeyList::default(),
            leaving: AtomicBool::new(false),
            draining: CancellationToken::new(),
        }
    }

    /// The metric handles.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The operator that is trusted now.
    pub fn trust(&self) -> Option<Arc<Trust>> {
        self.gate.trust()
    }

    /// Whether the operator that is trusted now vouches for a key.
    pub fn vouches(&self, issuer: &PublicKey) -> bool {
        self.gate.vouches(issuer)
    }

    /// Installs the connection to NATS. The first one stays.
    pub fn set_nats(&self, connection: Arc<dyn Connection>) {
        // Called once, at start.
        let _ = self.nats.set(connection);
    }

    /// Installs the view on how NATS requests are answered. The first one stays.
    pub fn set_manners(&self, manners: Arc<dyn Manners>) {
        // Called once, at start.
        let _ = self.manners.set(manners);
    }

    /// The connection to NATS, if that is configured.
    pub fn nats(&self) -> Option<&Arc<dyn Connection>> {
        self.nats.get()
    }

    /// The system account: as it is configured, or as the operator's JWT names it.
    pub fn system_account(&self) -> Option<AccountKey> {
        self.gate.system_account()
    }

    /// Installs the way to tell nats-servers. The first one stays.
    pub fn set_announcer(&self, announcer: Arc<dyn Announce>) {
        // Called once, at start.
        let _ = self.announcer.set(announcer);
    }

    /// Installs the way to compare nats-servers with what is stored. The first one stays.
    pub fn set_comparer(&self, comparer: Arc<dyn Compare>) {
        // Called once, at start.
        let _ = self.comparer.set(comparer);
    }

    /// The way to tell nats-servers: on a primary, if NATS is configured.
    pub fn announcer(&self) -> Option<&Arc<dyn Announce>> {
        self.announcer.get()
    }

    /// Whether this server has a connection to NATS, or tries to have one.
    pub fn is_on_nats(&self) -> bool {
        self.nats.get().is_some()
    }

    /// The way to compare nats-servers with what is stored: on a primary, if NATS is configured and it is not switched off.
    pub fn comparer(&self) -> Option<&Arc<dyn Compare>> {
        self.comparer.get()
    }

    /// What is known of the way of changes to the nats-servers.
    pub const fn receipts(&self) -> &Arc<Receipts> {
        &self.receipts
    }

    /// The replicas that follow this server, and up to where each is current.
    pub const fn replicas(&self) -> &Arc<Replicas> {
        &self.replicas
    }

    /// A JWT that can be served without waiting for anything.
    pub fn get_now(&self, key: &AccountKey) -> Option<Answer> {
        self.backend.at_hand(key)
    }

    /// An account for people: with its name, if its JWT is at hand.
    pub fn called(&self, key: &AccountKey) -> Called {
        self.backend.called(key)
    }

    /// What to say or do about an account for which [`Node::get_now`] has nothing. A primary reads its journal on the
    /// caller's thread while the journal answers quickly.
    pub fn look_now(&self, key: &AccountKey) -> Now {
        self.backend.look(key)
    }

    /// Moves whenever something happens to an account: an answer from before may no longer be right.
    pub fn epoch(&self, key: &AccountKey) -> Epoch {
        self.backend.epoch(key)
    }

    /// Whether an answer, if nothing happened to its account since, can be given again without asking upstream.
    pub fn is_fresh(&self, answer: &Answer) -> bool {
        self.backend.is_fresh(answer)
    }

    /// How old an answer is; `None` on the primary itself.
    pub fn ages(&self, answer: &Answer) -> Option<Ages> {
        self.backend.ages(answer)
    }

    /// Whether the feed, as this server passes it on, says when an answer changes.
    pub fn is_confirmed(&self, answer: &Answer) -> bool {
        self.backend.is_confirmed(answer)
    }

    /// Seconds since the primary was last heard; `None`: never, or this is the primary.
    pub fn primary_age(&self) -> Option<u64> {
        self.upstream()?.primary_age()
    }

    /// The JWT of an account. `Ok(None)`: there is none.
    pub async fn get(&self, key: &AccountKey) -> Result<Option<Answer>, LookupError> {
        self.backend.get(key).await
    }

    /// The versions that an account had. `Ok(None)`: this server keeps no history.
    pub async fn history(&self, key: &AccountKey) -> Result<Option<History>, LookupError> {
        let Some(ledger) = self.ledger() else { return Ok(None) };
        // Until it is looked up, its file may not be imported.
        ledger.find(key).await?;
        let key = *key;
        let read = self.read(move |ledger| {
            let standing = ledger.journal().status(&key)?;
            Ok(History {
                versions: ledger.journal().versions(&key)?,
                is_live: ledger.served(&key)?.is_some(),
                is_deleted: matches!(standing, AccountStatus::Deleted),
            })
        });
        Ok(Some(read.await?))
    }

    /// The text of one version of an account, if it is kept. The outer `Ok(None)`: this server keeps no history.
    pub async fn text_of(&self, key: &AccountKey, serial: u64) -> Result<Option<Option<Vec<u8>>>, LookupError> {
        if self.ledger().is_none() {
            return Ok(None);
        }
        let key = *key;
        Ok(Some(self.read(move |ledger| ledger.journal().text_of(&key, serial)).await?))
    }

    /// Says that the process will end soon: not ready any more. Everything is still answered.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the process will end soon, so that clients should turn elsewhere.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Says that the process is about to end: not ready any more, and long answers end now.
    pub fn drain(&self) {
        self.leave();
        self.draining.cancel();
    }

    /// Cancelled when the process is about to end.
    pub const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Brings the gauges up to date, before they are scraped.
    pub fn measure(&self) {
        self.metrics.operator_expiry.set(self.trust().map_or(0, |trust| trust.exp()));
        let links = self.gate.standing().chain().map_or(0, |chain| chain.len());
        self.metrics.operator_chain_links.set(i64::try_from(links).unwrap_or(i64::MAX));
        self.metrics.withheld_accounts.set(gauge(self.withheld().unwrap_or(0)));
        self.backend.measure(&self.metrics);
        let counts = self.replicas.counts(clock::uptime_millis());
        for (state, count) in [("in_sync", counts.in_sync), ("behind", counts.behind), ("silent", counts.silent)] {
            self.metrics.replicas.with_label_values(&[state]).set(gauge(count));
        }
        self.metrics.sign_requests_in_flight.set(i64::try_from(self.sign_requests()).unwrap_or(i64::MAX));
        self.measure_nats_servers();
        let connected = self.nats.get().filter(|nats| nats.is_connected());
        self.metrics.nats_connected.set(i64::from(connected.is_some()));
        self.metrics.nats_effective.set(i64::from(connected.is_some_and(|nats| nats.problem().is_none())));
    }
}
