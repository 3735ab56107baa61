//! What can be asked of this server, whichever role it has.
//!
//! The edges (HTTP, NATS) speak to a [`Node`] and know neither a role's insides nor each other. What one edge needs of
//! the other stands here: [`Announce`] and [`Sign`] are small traits that are implemented over NATS and used over HTTP, and
//! [`Receipts`] is where NATS notes what became of each change and HTTP reads it.

mod activations;
mod ahead;
mod changes;
mod checks;
mod delivery;
mod digests;
mod elsewhere;
mod keys;
mod listing;
mod lookup;
mod merge;
mod names;
mod operator;
mod signing;
mod writes;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

pub use crate::primary::OperatorError;
pub use activations::ActivationAnswer;
pub use changes::{Changes, Feed, Piece, Place, Recent};
pub use checks::Check;
pub use delivery::{CaughtUp, Counts, Ended, Overflow, ReplicaStand, Replicas, ReportRefused, Turned};
pub use digests::Digested;
pub use elsewhere::{ToPrimary, Writes};
pub use keys::{KeyList, NoKeyList};
pub use lookup::Found;
pub use operator::{OperatorFile, PushOperatorError, Withheld};

use tokio_util::sync::CancellationToken;

pub use delivery::{
    Announcement, Claim, Compare, Compared, Delivery, Difference, FETCH_TIMEOUT, Gone, Loaded, Match, OperatorThere,
    Outcome, Present, Progress, Propagation, Receipt, Receipts, Runs, Server, Silent, Stand, Standing, Told, Withdrawn,
    not_live,
};
pub use signing::{NoAnswer, PushError, Pushed, Sign, SignError};
pub use writes::{CUTTING_OFF, Submitting, WriteError};

use crate::clock;
use crate::epoch::Epoch;
use crate::feed::wire::new_name;
use crate::gate::{Entry, Gate, Position, Trust};
use crate::jwt::{Called, HashId};
use crate::key::{AccountKey, PublicKey};
use crate::metrics::Metrics;
use crate::primary::{Lookup, Mirrored, Primary};
pub use crate::replica::{Ages, Ahead, AheadPage, ForwardError, Miss, Question, Relayed, Target, Write};
use crate::replica::{Replica, Slot, Unavailable};
use crate::store::StoreError;
use crate::store::journal::{Presence, Stored, Version};

/// The role of this server.
#[derive(Debug, Clone)]
pub enum Role {
    /// Owns the journal.
    Primary(Arc<Primary>),
    /// Caches what a primary owns.
    Replica(Arc<Replica>),
}

/// A connection to NATS.
pub trait Connection: std::fmt::Debug + Send + Sync {
    /// Whether it is there now.
    fn is_connected(&self) -> bool;

    /// What its user was found not to be permitted, as in `subscribe to $SYS.REQ.CLAIMS.LIST`.
    fn denied(&self) -> Vec<String>;

    /// Why the latest attempt to connect failed. It names no file.
    fn failure(&self) -> Option<String>;

    /// Why it is of no use although it is there. It names no file.
    fn problem(&self) -> Option<String>;

    /// Uses this credentials file from now on, and reads it at once.
    fn reload(&self, creds: Option<PathBuf>);
}

/// How this server behaves among the nats-servers that host account JWTs as well.
pub trait Manners: std::fmt::Debug + Send + Sync {
    /// For people: what it answers, and why.
    fn describe(&self) -> String;
}

/// What can be announced again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Again {
    /// What an account holds now, to the nats-servers.
    Account(AccountKey),
    /// The activation of a hash, to other account servers.
    Activation(HashId),
}

/// Tells others about a JWT. Only a primary does: what a replica holds may be out of date, and nats-servers apply an old
/// JWT as readily as a new one.
pub trait Announce: std::fmt::Debug + Send + Sync {
    /// Asks for an announcement of what is held now. `false`: there is no connection to NATS, or too many ask.
    fn announce(&self, what: Again) -> bool;
}

/// This server, as its edges see it.
#[derive(Debug)]
pub struct Node {
    role: Role,
    name: String,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    nats: OnceLock<Arc<dyn Connection>>,
    manners: OnceLock<Arc<dyn Manners>>,
    announcer: OnceLock<Arc<dyn Announce>>,
    comparer: OnceLock<Arc<dyn Compare>>,
    signing: OnceLock<signing::Signing>,
    mirrored: OnceLock<Arc<Mirrored>>,
    operator_file: Mutex<Option<OperatorFile>>,
    receipts: Arc<Receipts>,
    replicas: Arc<Replicas>,
    last_key_list: keys::LastKeyList,
    leaving: AtomicBool,
    draining: CancellationToken,
}

/// An account JWT to be served.
#[derive(Debug, Clone)]
pub enum Answer {
    /// From the journal.
    Owned(Arc<Stored>, [u8; 16]),
    /// From a replica's cache.
    Cached(Arc<Slot>),
}

impl Answer {
    /// The JWT.
    pub fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Owned(stored, _) => &stored.entry,
            Self::Cached(slot) => slot.entry(),
        }
    }

    /// Where the primary committed it, if that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Owned(stored, session) => Some(Position { session: *session, serial: stored.serial }),
            Self::Cached(slot) => slot.position(),
        }
    }
}

/// What is found without waiting.
#[derive(Debug)]
pub enum Now {
    /// This JWT.
    Served(Answer),
    /// Nothing that can be served yet. [`Miss::Ask`] on a primary: [`Node::get`] looks for it.
    Miss(Miss),
}

/// Why a JWT could not be looked up. Not the same as unknown.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The journal failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The primary could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It is held, and may not be served.
    #[error(transparent)]
    Withheld(Withheld),
}

impl LookupError {
    /// Whether it passes by itself: the folder is still being imported.
    pub fn is_importing(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_importing())
    }

    /// The reason as the clients of this server may read it: see [`StoreError::for_clients`].
    pub fn for_clients(&self) -> String {
        match self {
            Self::Store(error) => error.for_clients(),
            Self::Unavailable(_) | Self::Withheld(_) => self.to_string(),
        }
    }
}

/// What is known of an account's past.
#[derive(Debug, Clone)]
pub struct History {
    /// Its versions that are kept, oldest first.
    pub versions: Vec<Version>,
    /// Whether the last of them is served.
    pub is_live: bool,
    /// Whether the account is deleted.
    pub is_deleted: bool,
}

impl Node {
    /// A server of the given role. A replica that is silent for `replica_forget` counts no more.
    pub fn new(role: Role, gate: Arc<Gate>, metrics: Arc<Metrics>, replica_forget: Duration) -> Self {
        let name = match &role {
            Role::Primary(_) => new_name(),
            Role::Replica(replica) => replica.name().to_owned(),
        };
        Self {
            role,
            name,
            gate,
            metrics,
            nats: OnceLock::new(),
            manners: OnceLock::new(),
            announcer: OnceLock::new(),
            comparer: OnceLock::new(),
            signing: OnceLock::new(),
            mirrored: OnceLock::new(),
            operator_file: Mutex::default(),
            receipts: Arc::default(),
            replicas: Arc::new(Replicas::new(replica_forget)),
            last_key_list: keys::LastKeyList::default(),
            leaving: AtomicBool::new(false),
            draining: CancellationToken::new(),
        }
    }

    /// The role.
    pub const fn role(&self) -> &Role {
        &self.role
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

    /// Installs the view on how far the token folder is. The first one stays.
    pub fn set_mirrored(&self, mirrored: Arc<Mirrored>) {
        // Called once, at start.
        let _ = self.mirrored.set(mirrored);
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
        match &self.role {
            Role::Primary(primary) => primary.cached(key).map(|stored| Answer::Owned(stored, primary.session())),
            Role::Replica(replica) => replica.cached(key).map(Answer::Cached),
        }
    }

    /// An account for people: with its name, if its JWT is at hand.
    pub fn called(&self, key: &AccountKey) -> Called {
        match &self.role {
            Role::Primary(primary) => primary.called(key),
            Role::Replica(_) => self.get_now(key).map_or_else(|| (*key).into(), |answer| answer.entry().called()),
        }
    }

    /// What there is to say or do about an account for which [`Node::get_now`] has nothing. A primary reads its journal on
    /// the caller's thread, while the journal answers quickly.
    pub fn look_now(&self, key: &AccountKey) -> Now {
        match &self.role {
            Role::Primary(primary) => match primary.lookup_now(key) {
                Some(Lookup::Served(stored)) => Now::Served(Answer::Owned(stored, primary.session())),
                Some(Lookup::Absent) => Now::Miss(Miss::Absent),
                Some(Lookup::Withheld(_)) | None => Now::Miss(Miss::Ask),
            },
            Role::Replica(replica) => Now::Miss(match replica.miss(key) {
                // The long way says why.
                Miss::Absent if replica.is_withheld(key) => Miss::Ask,
                miss => miss,
            }),
        }
    }

    /// Moves whenever something happens to an account: an answer from before may no longer be right.
    pub fn epoch(&self, key: &AccountKey) -> Epoch {
        match &self.role {
            Role::Primary(primary) => primary.epoch(key),
            Role::Replica(replica) => replica.epoch(key),
        }
    }

    /// Whether an answer, if nothing happened to its account since, can be given again without asking anybody.
    pub fn is_fresh(&self, answer: &Answer) -> bool {
        match (&self.role, answer) {
            (Role::Replica(replica), Answer::Cached(slot)) => replica.is_fresh(slot),
            _ => true,
        }
    }

    /// How old an answer is; `None` on the primary itself.
    pub fn ages(&self, answer: &Answer) -> Option<Ages> {
        match (&self.role, answer) {
            (Role::Replica(replica), Answer::Cached(slot)) => Some(replica.ages(slot)),
            _ => None,
        }
    }

    /// Whether the feed, as this server passes it on, says when an answer changes.
    pub fn is_confirmed(&self, answer: &Answer) -> bool {
        match (&self.role, answer) {
            (Role::Replica(replica), Answer::Cached(slot)) => replica.is_confirmed(slot),
            _ => true,
        }
    }

    /// Seconds since the primary was last heard; `None`: never, or this is the primary.
    pub fn primary_age(&self) -> Option<u64> {
        match &self.role {
            Role::Primary(_) => None,
            Role::Replica(replica) => replica.silence().and_then(|silence| u64::try_from(silence / 1000).ok()),
        }
    }

    /// The JWT of an account. `Ok(None)`: there is none.
    pub async fn get(&self, key: &AccountKey) -> Result<Option<Answer>, LookupError> {
        match &self.role {
            Role::Primary(primary) => match primary.lookup(key).await? {
                Lookup::Served(stored) => Ok(Some(Answer::Owned(stored, primary.session()))),
                Lookup::Withheld(issuer) => Err(Withheld { account: *key, issuer }.into()),
                Lookup::Absent => Ok(None),
            },
            Role::Replica(replica) => match replica.get(key).await? {
                Some(slot) => Ok(Some(Answer::Cached(slot))),
                None => match replica.withheld_by(key) {
                    Some(issuer) => Err(Withheld { account: *key, issuer }.into()),
                    None => Ok(None),
                },
            },
        }
    }

    /// The versions that an account had. `Ok(None)`: this server keeps no history.
    pub async fn history(&self, key: &AccountKey) -> Result<Option<History>, LookupError> {
        let Role::Primary(primary) = &self.role else { return Ok(None) };
        // Until it is looked up, its file may not be imported.
        primary.lookup(key).await?;
        let (primary, key) = (primary.clone(), *key);
        let read = move || {
            let standing = primary.journal().presence(&key)?;
            Ok(Some(History {
                versions: primary.journal().versions(&key)?,
                is_live: primary.served(&key)?.is_some(),
                is_deleted: matches!(standing, Presence::Deleted),
            }))
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
    }

    /// The text of one version of an account, if it is kept. The outer `Ok(None)`: this server keeps no history.
    pub async fn text_of(&self, key: &AccountKey, serial: u64) -> Result<Option<Option<Vec<u8>>>, LookupError> {
        let Role::Primary(primary) = &self.role else { return Ok(None) };
        let (primary, key) = (primary.clone(), *key);
        let read = tokio::task::spawn_blocking(move || primary.journal().text_of(&key, serial));
        Ok(Some(read.await.map_err(|_| StoreError::Closed)??))
    }

    fn primary(&self) -> Result<&Arc<Primary>, StoreError> {
        match &self.role {
            Role::Primary(primary) => Ok(primary),
            Role::Replica(_) => Err(StoreError::Closed),
        }
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
        match &self.role {
            Role::Primary(primary) => {
                self.metrics.accounts.set(gauge(primary.journal().count()));
                self.metrics.serial.set(gauge(primary.journal().head().serial));
            }
            Role::Replica(replica) => {
                let (entries, bytes) = replica.size();
                self.metrics.replica_cache_entries.set(gauge(entries));
                self.metrics.replica_cache_bytes.set(gauge(bytes));
                self.metrics.serial.set(gauge(replica.serial()));
                self.metrics.replica_ahead.set(replica.ahead());
                self.metrics.clock_difference(replica.clock_difference());
                // Of the primary itself, whatever is between.
                let heard = replica.silence().map_or(0, |silence| (clock::unix_millis() - silence) / 1000);
                self.metrics.replica_heard.set(heard);
            }
        }
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

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
