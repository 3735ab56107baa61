//! How far one change has come to the nats-servers: the journal's facts and the receipts in one.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Announcement, ChangeKind, Delivery, DeliveryProgress, Match, OwedChange, Receipt, ReplicaStand, Runs, Server,
};
use crate::clock;
use crate::gate::Via;
use crate::key::AccountKey;
use crate::node::{CUTTING_OFF, Node};
use crate::store::StoreError;
use crate::store::journal::Fact;

/// The way of one change to the nats-servers. Its JSON form is what clients are shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Propagation {
    /// The account.
    pub account: String,
    /// The change's place in the order.
    pub serial: u64,
    /// Issue time of the JWT, or of the delete request, unix seconds.
    pub iat: i64,
    /// SHA-256 of what its signer signed, 64 hexadecimal digits.
    pub identity: String,
    /// When it was committed, unix milliseconds.
    pub committed_at: i64,
    /// When it was first announced, unix milliseconds.
    pub announced_at: Option<i64>,
    /// Whether every nats-server that is there runs it, or has not loaded the account, and every replica has it.
    pub complete: bool,
    /// When the nats-server was compared whose comparison is longest ago, unix milliseconds; none: one of them was not.
    pub compared_at: Option<i64>,
    /// What is known at each nats-server, in the order in which it became known.
    pub servers: Vec<ServerReceipt>,
    /// The nats-servers that are there and of which nothing is known.
    pub silent: Vec<Silent>,
    /// The replicas that have not confirmed the change, 100 at most.
    pub replicas_behind: Vec<ReplicaBehind>,
    /// For people: a note on the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The same in a word.
    #[serde(skip)]
    pub stand: AnnounceState,
    /// `compared_at` by the monotonic clock: when that comparison began.
    #[serde(skip)]
    pub asked: Option<Instant>,
}

/// What is known of a change at a nats-server.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ServerReceipt {
    /// The id that it made at its start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `updated`, `current`, `not_loaded`, `incomplete`, `behind`, `cannot_unload` or `error`.
    pub outcome: Cow<'static, str>,
    /// Milliseconds from the announcement to the moment when this was known.
    pub after_ms: f64,
    /// When it was compared, unix milliseconds.
    pub compared_at: Option<i64>,
    /// Why it rejected the JWT, or why what it runs is rejected here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it runs, if that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<RunningJwt>,
    /// Why the account is not served here, if it cannot be unloaded there: `deleted`, `removed`, `withheld` or `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// Imports that are not in effect there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_imports: Vec<String>,
    /// Connections there that go on with what the change took from them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_left: Option<u64>,
    /// Claims of the change that connected clients do not feel on its release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_live: Vec<Cow<'static, str>>,
    /// When the comparison began, by the monotonic clock.
    #[serde(skip)]
    pub asked: Option<Instant>,
}

/// A version that a nats-server runs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunningJwt {
    /// Issue time, unix seconds.
    pub iat: i64,
    /// SHA-256 of what its signer signed, 64 hexadecimal digits.
    pub identity: String,
}

impl From<Runs> for RunningJwt {
    fn from(runs: Runs) -> Self {
        Self { iat: runs.iat, identity: HEXLOWER.encode(&runs.identity) }
    }
}

/// A nats-server of which nothing is known.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Silent {
    /// The id that it made at its start.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A replica that has not confirmed a change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplicaBehind {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Up to which change it, and those behind it, are current.
    pub serial: u64,
    /// When it was last heard, unix milliseconds.
    pub heard_at: i64,
    /// Names of replicas behind it that are behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<String>,
}

impl From<ReplicaStand> for ReplicaBehind {
    fn from(stand: ReplicaStand) -> Self {
        Self {
            id: stand.id(),
            serial: stand.serial,
            heard_at: stand.follower.heard,
            below: stand.behind.into_iter().map(|named| named.name).collect(),
            name: stand.follower.name,
        }
    }
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnnounceState {
    /// It was announced.
    Announced,
    /// It is still to be announced.
    Pending,
    /// A later change took its place, and no receipt is kept; it may never have been announced.
    Superseded,
    /// It is none that is announced.
    NotAnnounced,
    /// NATS is not configured.
    NotConfigured,
    /// No receipt is kept.
    #[default]
    Unknown,
}

impl Node {
    /// What is known of a change of an account, of its newest unless a serial is given; the nats-servers are compared
    /// for that. `Ok(None)`: there is no such change.
    pub async fn propagation(&self, key: AccountKey, serial: Option<u64>) -> Result<Option<Propagation>, StoreError> {
        let Some(fact) = self.fact(key, serial).await? else { return Ok(None) };
        let known = self.facts_and_receipts(key, &fact);
        let is_fresh = known.complete && known.asked.is_some_and(|asked| asked.elapsed() < FRESH);
        let Some(comparer) = self.comparer().filter(|_| fact.serial == fact.newest && !is_fresh) else {
            return Ok(Some(known));
        };
        self.adopt(key, &fact);
        comparer.compare(key).await;
        Ok(Some(self.facts_and_receipts(key, &fact)))
    }

    /// What is known of a change of an account already. `Ok(None)`: there is no such change.
    pub async fn known_propagation(
        &self,
        key: AccountKey,
        serial: Option<u64>,
    ) -> Result<Option<Propagation>, StoreError> {
        Ok(self.fact(key, serial).await?.map(|fact| self.facts_and_receipts(key, &fact)))
    }

    async fn fact(&self, key: AccountKey, serial: Option<u64>) -> Result<Option<Fact>, StoreError> {
        if let Some(fact) = self.read(move |ledger| ledger.journal().fact(&key, serial)).await? {
            return Ok(Some(fact));
        }
        // Until it is looked up, its file may not be imported.
        self.ledger().ok_or(StoreError::Closed)?.find(&key).await?;
        self.read(move |ledger| ledger.journal().fact(&key, serial)).await
    }

    /// Keeps receipts of a change from now on, if none are kept: it came with the folder, or before this process.
    fn adopt(&self, key: AccountKey, fact: &Fact) {
        let is_announced_later = fact.serial > self.receipts.announced_up_to();
        if is_announced_later || self.receipts.keeps(fact.serial) {
            return;
        }
        let Fact { serial, iat, identity, at, has_older, bytes, deletes, .. } = *fact;
        let age = Duration::from_millis(u64::try_from(clock::unix_millis() - at).unwrap_or(0));
        let announcement = Announcement { serial, key, iat, identity, has_older, bytes };
        self.receipts.adopt(announcement, age);
        // A deletion is not announced as a JWT, so it is measured where somebody waits for it.
        if deletes && age < MEASURED_DELETION {
            self.receipts.owe(serial, OwedChange { key, at, kind: ChangeKind::Deletion });
        }
    }

    fn facts_and_receipts(&self, key: AccountKey, fact: &Fact) -> Propagation {
        let (stand, note, delivery) = self.stand(fact);
        let complete = self.is_in_force(fact.serial);
        let (announced_at, receipts, silent) = match delivery {
            Some(Delivery { announced_at, receipts, silent, .. }) => (announced_at, receipts, silent),
            None => (None, Vec::new(), Vec::new()),
        };
        let servers: Vec<ServerReceipt> = receipts.iter().filter_map(ServerReceipt::of).collect();
        let compared_at = servers.iter().map(|server| server.compared_at).min().flatten();
        let asked = servers.iter().map(|server| server.asked).min().flatten();
        Propagation {
            account: key.text(),
            serial: fact.serial,
            iat: fact.iat,
            identity: HEXLOWER.encode(&fact.identity),
            committed_at: fact.at,
            announced_at,
            complete,
            compared_at: compared_at.filter(|_| silent.is_empty()),
            asked: asked.filter(|_| silent.is_empty()),
            servers,
            silent: silent.iter().map(|server| Silent::from(&**server)).collect(),
            replicas_behind: self.replicas_behind(fact.serial),
            note,
            stand,
        }
    }

    fn replicas_behind(&self, serial: u64) -> Vec<ReplicaBehind> {
        let behind = self.replicas().behind(serial).into_iter();
        behind.take(MAX_REPLICAS_NAMED).map(ReplicaBehind::from).collect()
    }

    /// Whether every nats-server and replica that is known is proven to have a change, and there is a nats-server.
    pub fn is_in_force(&self, serial: u64) -> bool {
        self.receipts.is_proven(serial) && self.replicas().behind(serial).is_empty() && !self.has_unknown_replicas()
    }

    /// Whether replicas report that have no room among those that are known.
    fn has_unknown_replicas(&self) -> bool {
        self.replicas().overflow().is_some_and(|overflow| clock::uptime_millis() - overflow.at < UNKNOWN_REPLICA)
    }

    /// Waits until all receipts of a change are there, for `limit` at most, or until this server stops.
    pub async fn wait_for_receipts(&self, serial: u64, limit: Duration) {
        let is_compared = self.comparer().is_some_and(|comparer| comparer.trouble().is_none());
        tokio::select! {
            () = self.receipts.settled(serial, is_compared) => {}
            () = tokio::time::sleep(limit) => {}
            () = self.draining.cancelled() => {}
        }
    }

    /// Waits until a change is proven to be in force everywhere, for `limit` at most, or until this server stops. Returns
    /// whether it is.
    pub async fn wait_until_in_force(&self, key: AccountKey, serial: u64, limit: Duration) -> bool {
        let until = tokio::time::Instant::now() + limit;
        if !self.receipts.keeps(serial)
            && let Some(comparer) = self.comparer()
            && let Ok(Some(fact)) = self.fact(key, Some(serial)).await
            && fact.serial == fact.newest
        {
            // It was not announced, so no comparison is planned.
            self.adopt(key, &fact);
            tokio::select! {
                () = comparer.compare(key) => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
        tokio::select! {
            () = self.receipts.settled(serial, true) => {}
            () = tokio::time::sleep_until(until) => {}
            () = self.draining.cancelled() => {}
        }
        self.is_in_force(serial)
    }

    /// Waits until no nats-server has a deleted account loaded, for `limit` at most, or until this server stops. Returns
    /// whether that is proven.
    pub async fn wait_until_deleted(&self, key: AccountKey, limit: Duration) -> bool {
        let until = tokio::time::Instant::now() + limit;
        loop {
            if matches!(self.propagation(key, None).await, Ok(Some(found)) if found.complete) {
                return true;
            }
            let next = tokio::time::Instant::now() + LOOK_AGAIN;
            if next > until || self.draining.is_cancelled() {
                return false;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// Why no change is ever proven to be in force, for people.
    pub fn never_proven(&self) -> Option<String> {
        if self.receipts.is_off() {
            return Some("NATS is not configured on this server, so it knows no nats-server".into());
        }
        self.comparer().is_none().then(|| "nats.reconcile is off, so nats-servers are not compared".into())
    }

    fn stand(&self, fact: &Fact) -> (AnnounceState, Option<String>, Option<Delivery>) {
        let replaced = fact.newest != fact.serial;
        let later = || format!("a later change of the account has taken its place: serial {}", fact.newest);
        let unannounced = unannounced(fact);
        let progress = self.receipts.progress(fact.serial);
        if let DeliveryProgress::Announced(delivery) = progress {
            let stand = if unannounced.is_some() { AnnounceState::NotAnnounced } else { AnnounceState::Announced };
            let note = delivery.trouble.as_ref().map(|trouble| format!("it cannot be announced: {trouble}"));
            let note = note
                .or(unannounced)
                .or_else(|| self.nats().and_then(|nats| nats.problem()))
                .or_else(|| nobody(&delivery))
                .or_else(|| self.uncompared())
                .or_else(|| replaced.then(later))
                .or_else(|| removed(fact));
            return (stand, note, Some(delivery));
        }
        let (stand, note) = match progress {
            _ if fact.deletes => (AnnounceState::NotAnnounced, unannounced.unwrap_or_default()),
            DeliveryProgress::Off => {
                (AnnounceState::NotConfigured, "NATS is not configured on this server: no nats-server is told".into())
            }
            _ if unannounced.is_some() => (AnnounceState::NotAnnounced, unannounced.unwrap_or_default()),
            _ if replaced => (AnnounceState::Superseded, format!("no receipt of it is kept, and {}", later())),
            DeliveryProgress::Pending if self.nats().is_some_and(|nats| nats.is_connected()) => {
                (AnnounceState::Pending, "it is not announced yet".into())
            }
            DeliveryProgress::Pending => {
                (AnnounceState::Pending, "it is not announced yet: there is no connection to NATS".into())
            }
            _ => (AnnounceState::Unknown, UNKNOWN.into()),
        };
        (stand, Some(note), None)
    }

    /// Why nothing is compared, and so nothing is complete.
    pub(super) fn uncompared(&self) -> Option<String> {
        match self.comparer() {
            None => Some("what nats-servers run is not compared with the store: nats.reconcile is off".into()),
            Some(comparer) => {
                let trouble = comparer.trouble()?;
                Some(format!("what nats-servers run cannot be compared with the store: {trouble}"))
            }
        }
    }
}

/// Milliseconds after the report of a replica without room in the registry during which nothing is said of all replicas.
const UNKNOWN_REPLICA: i64 = 60_000;
/// Replicas that are named at most.
const MAX_REPLICAS_NAMED: usize = 100;
/// A deletion that somebody asks about later is not measured.
const MEASURED_DELETION: Duration = Duration::from_secs(60);
/// Milliseconds after the proof of a change during which a question about it causes no comparison.
const FRESH: Duration = Duration::from_secs(1);
/// How soon nats-servers are compared again for a client that waits.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

const UNKNOWN: &str = "nothing is known of its way: receipts are kept in memory, of the latest 10000 changes and for \
                       an hour, and nats-servers are not compared";
const NOBODY: &str = "no nats-server has answered so far, nor said that it is there: is the user that nats.creds \
                      names one of the system account?";

/// Why a change is none that is announced.
fn unannounced(fact: &Fact) -> Option<String> {
    if fact.deletes {
        return Some(format!("a deletion has no receipts: {CUTTING_OFF}; push one before the deletion"));
    }
    (fact.via == Via::FirstScan)
        .then(|| "it came with the folder when this server started, which is no news: it is not announced".into())
}

fn nobody(delivery: &Delivery) -> Option<String> {
    (delivery.receipts.is_empty() && delivery.silent.is_empty()).then(|| NOBODY.into())
}

fn removed(fact: &Fact) -> Option<String> {
    fact.removed.then(|| "its file has left the folder since, which is not announced".into())
}

impl ServerReceipt {
    /// `None`: nothing is known there.
    fn of(receipt: &Receipt) -> Option<Self> {
        let mut line = Self {
            id: receipt.server.id.clone(),
            name: receipt.server.name.clone(),
            outcome: receipt.outcome()?.label().into(),
            after_ms: tenths(receipt.after()),
            error: receipt.reply.as_ref().and_then(|reply| reply.error.clone()).map(Into::into),
            ..Self::default()
        };
        let Some((compared, _)) = &receipt.compared else { return Some(line) };
        (line.compared_at, line.asked) = (Some(compared.at), Some(compared.asked));
        line.connections_left = compared.connections_left;
        line.not_live = compared.lagging.iter().map(|claim| (*claim).into()).collect();
        match &compared.found {
            Match::Behind { runs } => line.runs = runs.map(Into::into),
            Match::CannotUnload { runs, gone, .. } => {
                (line.runs, line.reason) = (runs.map(Into::into), Some(gone.label().into()));
            }
            Match::Rejected { runs, error } => {
                (line.runs, line.error) = (runs.map(Into::into), Some(error.clone()));
            }
            Match::Incomplete { missing, .. } => line.missing_imports.clone_from(missing),
            Match::NotLoaded | Match::Current | Match::Foreign => {}
        }
        Some(line)
    }
}

/// Milliseconds with one digit behind the point.
fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

impl From<&Server> for Silent {
    fn from(server: &Server) -> Self {
        Self { id: server.id.clone(), name: server.name.clone() }
    }
}
