//! What can be asked of this server, whichever role it has.
//!
//! The edges (HTTP, NATS) speak to a [`Node`] and know neither the roles nor each other. The roles implement the traits of
//! this port: [`Backend`], and [`Ledger`] or [`Upstream`]. What one edge needs of the other is here as well: [`Announce`] and
//! [`Sign`] are implemented over NATS and used over HTTP, and in [`Receipts`] NATS notes what became of each change.

mod accounts;
mod answer;
mod backend;
mod check;
mod delivery;
mod expiry;
#[cfg(test)]
pub(crate) mod fake;
mod follow;
mod health;
mod journal_feed;
mod keys;
mod ledger;
mod links;
mod measure;
mod operator;
mod outgoing;
mod read;
mod signing;
mod status;
mod upstream;
mod whole;
mod write;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub use accounts::{
    AccountDetail, AccountFilter, AccountPage, AccountState, ActivationPage, Glob, LONGEST_PATTERN, ListedAccount,
    ListedActivation, listed_name,
};
pub use answer::{
    ActivationAnswer, Ages, Answer, History, LookupError, LookupNow, Miss, Now, OldText, Stamp, Unavailable, Withheld,
};
pub use backend::Backend;
pub use check::{Checked, CheckedKind, CheckedOutcome, NotChecked, SharingCode, SharingEffect, SharingEffects};
pub use delivery::{
    AnnounceState, Announcement, CaughtUp, ChangeKind, Claim, Compare, Compared, Counts, Delivery, DeliveryProgress,
    Difference, Ended, FETCH_TIMEOUT, FleetReport, Gone, Loaded, Match, OperatorThere, Outcome, Overflow, OwedChange,
    Present, Propagation, Receipt, Receipts, ReplicaStand, Replicas, ReportRefused, Runs, Server, ServerReceipt,
    ServerStanding, Silent, Turned, Withdrawn, not_live,
};
pub use expiry::Expiries;
pub use follow::{Digested, Feed, FeedPiece, FeedPlace, FeedSource, Located, RecentChanges};
pub use health::{CheckStatus, CodedCheck};
pub use journal_feed::JournalFeed;
pub use keys::{KeyList, NoKeyList};
pub use ledger::{Ledger, Lookup, PackVerdict, ReplacedVersion, Submitted, SubmittedActivation};
pub use links::{Again, Announce, Connection, Links, Policy};
pub use operator::OperatorFile;
pub use outgoing::Outgoing;
pub use signing::{NoAnswer, Pushed, Sign, SignError};
pub use status::Check;
pub use upstream::{
    Ahead, AheadPage, ForwardError, ForwardTarget, Question, Relayed, SyncState, Upstream, Write, Writes,
};
pub use whole::Whole;
pub use write::{CUTTING_OFF, Submitting, WriteError};

// The audit log, as HTTP shows it.
pub use crate::audit::{TailAsk, TailError, TailPlace};
// What is stored, as the edges pass it on.
pub use crate::store::StoreError;
pub use crate::store::journal::{
    AccountHead, Fact, HeadChange, HeadState, NatsServer, NatsServerChange, Served, Stored, StoredVersion,
    WeighedAgainst,
};

use crate::feed::wire::new_name;
use crate::gate::{Gate, Trust};
use crate::key::{AccountKey, PublicKey};
use crate::metrics::Metrics;
use crate::tls::TlsFiles;

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
    links: Links,
    signing: Option<signing::Signing>,
    operator_file: Mutex<Option<OperatorFile>>,
    receipts: Arc<Receipts>,
    replicas: Arc<Replicas>,
    last_key_list: keys::LastKeyList,
    leaving: AtomicBool,
    draining: CancellationToken,
    /// The files of HTTPS, if it is served.
    https: OnceLock<Arc<TlsFiles>>,
}

/// What a node consists of besides its role.
#[derive(Debug)]
pub struct NodeParts {
    /// Decides which JWTs are accepted.
    pub gate: Arc<Gate>,
    /// The metric handles.
    pub metrics: Arc<Metrics>,
    /// A replica that is silent for so long counts no more.
    pub replica_forget: Duration,
    /// The configured operator JWT, if there is one.
    pub operator_file: Option<OperatorFile>,
    /// The NATS edge.
    pub links: Links,
}

impl NodeParts {
    /// Without NATS and without a configured operator JWT. Replicas count for ever.
    pub fn new(gate: Arc<Gate>, metrics: Arc<Metrics>) -> Self {
        let links = Links::default();
        Self { gate, metrics, replica_forget: Duration::MAX, operator_file: None, links }
    }
}

impl Node {
    /// A primary.
    pub fn primary(ledger: Arc<dyn Ledger>, parts: NodeParts) -> Self {
        let node = Self::new(Role::Primary(ledger.clone()), ledger, new_name(), parts);
        if node.nats().is_none() {
            node.receipts.switch_off();
        }
        node
    }

    /// A replica. `name`: by what this process knows itself.
    pub fn replica(upstream: Arc<dyn Upstream>, name: String, parts: NodeParts) -> Self {
        Self::new(Role::Replica(upstream.clone()), upstream, name, parts)
    }

    fn new(role: Role, backend: Arc<dyn Backend>, name: String, parts: NodeParts) -> Self {
        let NodeParts { gate, metrics, replica_forget, operator_file, links } = parts;
        Self {
            backend,
            role,
            name,
            gate,
            metrics,
            signing: links.signer.clone().map(signing::Signing::new),
            links,
            operator_file: Mutex::new(operator_file),
            receipts: Arc::default(),
            replicas: Arc::new(Replicas::new(replica_forget)),
            last_key_list: keys::LastKeyList::default(),
            leaving: AtomicBool::new(false),
            draining: CancellationToken::new(),
            https: OnceLock::new(),
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

    /// The connection to NATS, if that is configured.
    pub fn nats(&self) -> Option<&Arc<dyn Connection>> {
        self.links.connection.as_ref()
    }

    /// The system account: as it is configured, or as the operator's JWT names it.
    pub fn system_account(&self) -> Option<AccountKey> {
        self.gate.system_account()
    }

    /// The way to announce a JWT again: on a primary, if NATS is configured.
    pub fn announcer(&self) -> Option<&Arc<dyn Announce>> {
        self.links.announcer.as_ref()
    }

    /// The way to compare nats-servers with the store: on a primary, if NATS is configured and comparing is not switched off.
    pub fn comparer(&self) -> Option<&Arc<dyn Compare>> {
        self.links.comparer.as_ref()
    }

    /// What is known of the way of changes to the nats-servers.
    pub const fn receipts(&self) -> &Arc<Receipts> {
        &self.receipts
    }

    /// The replicas that follow this server, and up to where each is current.
    pub const fn replicas(&self) -> &Arc<Replicas> {
        &self.replicas
    }

    /// Says with which files HTTPS is served. Only the first call counts.
    pub fn serves_https(&self, files: Arc<TlsFiles>) {
        let _ = self.https.set(files);
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
}
