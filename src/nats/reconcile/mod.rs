//! Reconciliation: what each nats-server has loaded is compared with the store, and what differs is announced again.
//!
//! A nats-server with a URL resolver never asks again for an account that it has loaded, and an announcement is sent at
//! most once to a server that is cut off, frozen, or just fetching the account. So announcements are not enough. For each
//! nats-server there is a [`worker`] that asks it what it runs (`ACCOUNTZ`):
//!
//! * each account that changed, after the change was announced ([`schedule`]);
//! * what changed while the nats-server may have missed announcements, or may have been answered by a stale replica:
//!   when it appears, when it is back, when we reconnect, when a replica was out of sync ([`sweep`]);
//! * everything else that it has loaded, at a slow rate ([`sweep`]).
//!
//! A repair is an ordinary announcement of what is stored at the moment of sending, by the one task that sends
//! announcements. How far each nats-server was compared is kept in the journal, so a restart forgets nothing.

mod answer;
mod ask;
mod comparer;
mod connections;
mod pace;
mod schedule;
mod stored;
mod sweep;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join3;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};

pub(super) use answer::AccountList;
use ask::{AskError, Asker};
pub(super) use comparer::Comparer;
use comparer::RunningWorker;
use connections::Proofs;
use stored::Looks;
use worker::ServerWorker;

use super::link::Connected;
use super::resolver::peers::Peers;
use crate::calendar::utc_time;
use crate::clock;
use crate::key::{AccountKey, Kind, PublicKey};
use crate::metrics::{Histograms, Metrics};
use crate::node::{Again, Compared, Match, NatsServer, NatsServerChange, Node, OwedChange, Receipts, Server};

/// How often the progress of comparisons is written to the journal, and lasting differences are looked for.
const EVERY: Duration = Duration::from_secs(5);
/// How long a difference lasts before it is logged.
const LASTING: Duration = Duration::from_secs(60);
/// Such lines at once.
const MAX_LINES: usize = 10;
/// The latest changes with which a nats-server begins that was never compared. The others wait for the sweep.
const NEW_SERVER: u64 = 10_000;
/// The largest JWT that a leafnode is asked about, in bytes.
const LEAFNODE_JWT: usize = 350_000;
/// Comparisons under way at all nats-servers.
const AT_ONCE: usize = 64;
/// Nats-servers that are gone of which is remembered how far they were compared.
const MAX_CURSORS: usize = 1000;
/// A nats-server that is gone for this many milliseconds at a start is forgotten.
const FORGET_GONE: i64 = 7 * 24 * 3600 * 1000;

/// How nats-servers are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reconcile {
    /// Loaded accounts of each nats-server that a sweep compares in a second.
    pub(super) rate: usize,
    /// Whether connections that go on with what a change took from them are closed.
    pub(super) kick: bool,
}

/// What all workers share.
#[derive(Debug)]
pub(super) struct CompareContext {
    asker: Asker,
    node: Arc<Node>,
    receipts: Arc<Receipts>,
    metrics: Arc<Metrics>,
    announcements: mpsc::Sender<Again>,
    /// A turn for each list of accounts.
    lists: Semaphore,
    /// A turn for each comparison.
    turns: Semaphore,
    rate: usize,
    kick: bool,
    proofs: Proofs,
    peers: Peers,
    looks: Looks,
}

/// Gives each nats-server that is there a worker.
#[derive(Debug)]
struct Reconciler {
    shared: Arc<CompareContext>,
    comparer: Arc<Comparer>,
    /// How far nats-servers were compared that have no worker now.
    cursors: Mutex<HashMap<String, u64>>,
    /// Changes of nats-servers that are gone, not written down yet.
    noted: Mutex<Vec<NatsServerChange>>,
}

/// Starts comparing, for as long as the process lives. `announcements`: where to ask for announcements.
pub(super) fn start(
    connected: Arc<Connected>,
    node: Arc<Node>,
    comparer: Arc<Comparer>,
    announcements: mpsc::Sender<Again>,
    options: Reconcile,
) {
    let shared = CompareContext {
        asker: Asker::new(connected.clone()),
        receipts: node.receipts().clone(),
        metrics: node.metrics().clone(),
        node,
        announcements,
        lists: Semaphore::new(1),
        turns: Semaphore::new(AT_ONCE),
        rate: options.rate,
        kick: options.kick,
        proofs: Proofs::default(),
        peers: Peers::new(connected),
        looks: Looks::default(),
    };
    let (cursors, noted) = (Mutex::default(), Mutex::default());
    let reconciler = Arc::new(Reconciler { shared: Arc::new(shared), comparer, cursors, noted });
    tokio::spawn(reconciler.clone().run());
    tokio::spawn(reconciler.clone().follow_replicas());
    tokio::spawn(reconciler.suspect_what_was_stale());
}

impl Reconciler {
    async fn run(self: Arc<Self>) {
        self.recall().await;
        let mut roster = self.shared.receipts.roster();
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            roster.mark_unchanged();
            self.follow_roster();
            tokio::select! {
                moved = roster.changed() => if moved.is_err() { return },
                _ = tick.tick() => {
                    self.report();
                    self.remember().await;
                }
            }
        }
    }

    /// Tells the receipts what all replicas have.
    async fn follow_replicas(self: Arc<Self>) {
        let replicas = self.shared.node.replicas().clone();
        let mut moved = replicas.watch();
        loop {
            moved.mark_unchanged();
            for serial in self.shared.receipts.replicas_reached(replicas.lowest().unwrap_or(u64::MAX)) {
                self.shared.note_in_force(serial);
            }
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    /// Has compared what a replica lacked for a while: nats-servers may have loaded from it what was before.
    async fn suspect_what_was_stale(self: Arc<Self>) {
        loop {
            let range = self.shared.node.replicas().next_caught_up().await;
            for running in self.comparer.workers.lock().values() {
                running.worker.catch_up_from(range.after);
            }
        }
    }

    /// Reads which nats-servers an earlier process knew, and how far it compared them. They count as there until they miss
    /// calls: one that is cut off now is not forgotten by a restart.
    async fn recall(&self) {
        let known = match self.shared.node.nats_servers().await {
            Ok(known) => known,
            Err(error) => {
                tracing::error!("cannot read how far the nats-servers were compared: {error}");
                return;
            }
        };
        let head = self.shared.node.head_serial();
        let mut cursors = self.cursors.lock();
        for server in known {
            let NatsServer { id, name, cluster, host, version, compared, noted, is_gone } = server;
            if is_gone && clock::unix_millis() - noted > FORGET_GONE {
                self.noted.lock().push((id, None));
                continue;
            }
            cursors.insert(id.clone(), compared.min(head));
            if !is_gone {
                self.shared.receipts.recall(Server { id, name, cluster, host, version });
            }
        }
    }

    /// Gives each nats-server that is there a worker, and lets those go that are not.
    fn follow_roster(&self) {
        let present = self.shared.receipts.present();
        let gone: HashSet<String> =
            self.shared.receipts.gone().into_iter().map(|(server, _)| server.id.clone()).collect();
        let mut workers = self.comparer.workers.lock();
        let mut cursors = self.cursors.lock();
        workers.retain(|id, running| {
            let stays = present.iter().any(|present| present.server.id == *id);
            if !stays {
                running.task.abort();
                let mut noted = self.noted.lock();
                // One that said that it stops never comes back.
                let may_return = gone.contains(id) && cursors.len() < MAX_CURSORS;
                if may_return {
                    cursors.insert(id.clone(), running.worker.cursor());
                    noted.push(running.worker.noted(true));
                } else {
                    noted.push((id.clone(), None));
                }
            }
            stays
        });
        for present in present {
            if let Some(running) = workers.get_mut(&present.server.id) {
                if running.presence != present.presence {
                    running.presence = present.presence;
                    running.worker.catch_up_from(running.worker.cursor());
                }
                continue;
            }
            // It becomes a part of subjects.
            if PublicKey::parse_kind(&present.server.id, Kind::Server).is_err() {
                let unknown = || Some("its id is not the public key of a nats-server".to_owned());
                self.shared.receipts.note(&present.server.id, |standing| standing.unknown = unknown());
                continue;
            }
            let head = self.shared.node.head_serial();
            let from = cursors.remove(&present.server.id).unwrap_or_else(|| head.saturating_sub(NEW_SERVER));
            let id = present.server.id.clone();
            let worker = Arc::new(ServerWorker::new(self.shared.clone(), present.server, from));
            let task = {
                let worker = worker.clone();
                tokio::spawn(async move {
                    join3(worker.compare_due(), worker.catch_up(), worker.sweep()).await;
                })
            };
            workers.insert(
                id,
                RunningWorker { worker, presence: present.presence, written: None, task: task.abort_handle() },
            );
        }
    }

    /// Writes down which nats-servers are there, and how far each was compared.
    async fn remember(&self) {
        let mut changes: Vec<NatsServerChange> = {
            let mut workers = self.comparer.workers.lock();
            let moved = workers.values_mut().filter_map(|running| {
                let compared = running.worker.cursor();
                let has_moved = running.written.replace(compared) != Some(compared);
                has_moved.then(|| running.worker.noted(false))
            });
            moved.collect()
        };
        changes.append(&mut self.noted.lock());
        if !changes.is_empty() {
            self.shared.node.set_nats_servers(changes).await;
        }
    }

    /// Says which accounts have been behind for a minute.
    fn report(&self) {
        let Some(before) = Instant::now().checked_sub(LASTING) else { return };
        let lasting = self.shared.receipts.lasting(before);
        for (server, key, difference) in lasting.iter().take(MAX_LINES) {
            let name = server.name.escape_debug();
            let why = describe(&difference.compared);
            tracing::warn!(
                account = %key,
                server = %name,
                server_id = %server.id.escape_debug(),
                "nats-server {name} has not run the current JWT of {} for a minute: {why}",
                self.shared.node.called(key)
            );
        }
        if lasting.len() > MAX_LINES {
            tracing::warn!(
                "{} more accounts have been behind on nats-servers for a minute: see /api/v1/servers",
                lasting.len() - MAX_LINES
            );
        }
    }
}

/// What a difference is, for people.
fn describe(compared: &Compared) -> String {
    match &compared.found {
        Match::Behind { runs: Some(runs) } => format!("it runs the one issued {}", utc_time(runs.iat)),
        Match::Behind { runs: None } => "it runs one that cannot be read".into(),
        Match::Rejected { error, .. } => format!("it runs a newer one, which is rejected here: {error}"),
        _ if compared.connections_left.unwrap_or(0) > 0 => {
            format!("{} connections still use what a change withdrew", compared.connections_left.unwrap_or(0))
        }
        _ if !compared.lagging.is_empty() => {
            format!("its release does not apply {} to connected clients", compared.lagging.join(", "))
        }
        other => format!("{other:?}"),
    }
}

impl CompareContext {
    /// Compares one account with one nats-server, and notes what is found. After a recent change, connections that it
    /// should have ended are looked for.
    async fn compare(&self, server: &Arc<Server>, key: AccountKey) -> Result<Compared, AskError> {
        let _turn = self.turns.acquire().await;
        self.is_answer_carried(server, key).await?;
        let (asked, at) = (Instant::now(), clock::unix_millis());
        let loaded = self.asker.account(&server.id, &key).await?;
        let weighed = self.node.weigh_loaded(key, loaded.as_ref()).await;
        let weighed = weighed.map_err(|error| AskError::Unusable(error.for_clients()))?;
        let mut compared = Compared {
            serial: weighed.serial,
            found: weighed.found,
            asked,
            at,
            connections_left: None,
            lagging: Vec::new(),
        };
        if let Some(loaded) = loaded.filter(|_| self.receipts.keeps(compared.serial))
            && matches!(compared.found, Match::Current | Match::Incomplete { .. })
        {
            self.prove(server, key, &loaded, &mut compared).await?;
        }
        self.metrics.delivery.comparisons.inc([compared.found.label()]);
        self.receipts.compared(server, key, compared.clone(), weighed.should_run);
        self.note_in_force(compared.serial);
        Ok(compared)
    }

    /// Whether the answer about an account gets here: from 2.12.7 on, a leafnode connection breaks with a message that is
    /// larger than `max_payload`, usually 1 MiB. An answer has 2 to 3 KB and up to 2.65 times the JWT.
    async fn is_answer_carried(&self, server: &Server, key: AccountKey) -> Result<(), AskError> {
        // A leafnode gives its own name for its cluster.
        if server.cluster.is_empty() || server.cluster != server.name {
            return Ok(());
        }
        let size = self.node.lookup(&key).await.map_or(0, |token| token.len());
        if size > LEAFNODE_JWT { Err(AskError::TooLarge(size)) } else { Ok(()) }
    }

    /// Notes the time that a change took to be in force everywhere, once it is.
    fn note_in_force(&self, serial: u64) {
        let note = |durations: &Histograms<1>, change: OwedChange| {
            let took = clock::unix_millis().saturating_sub(change.at).max(0);
            durations.of([change.kind.label()]).observe(took as f64 / 1000.0);
        };
        if let Some(change) = self.receipts.reached_nats(serial) {
            note(&self.metrics.delivery.in_force_nats, change);
        }
        if self.node.is_in_force(serial)
            && let Some(change) = self.receipts.completed(serial)
        {
            note(&self.metrics.delivery.in_force, change);
        }
    }
}
