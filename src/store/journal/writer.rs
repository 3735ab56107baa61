//! The writer's thread: group commit.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::super::error::StoreError;
use super::super::followers;
use super::checkpoint;
use super::digests::{Digests, ToggleSet};
use super::effect::Effect;
use super::files::Files;
use super::index::Index;
use super::mend;
use super::nats_servers;
use super::pool::Readers;
use super::schema::{Meta, Role};
use super::signers::{Signed, Stats, Tally};
use super::state::JournalState;
use super::tail::{CacheSize, Tail};
use super::transaction::Transaction;
use super::upstream::{Touched, TouchedNow};
use super::write::{CommitError, Outcome, Request, Write};
use crate::clock;
use crate::feed::{Change, Head};
use crate::gate::{Gate, Standing};
use crate::key::PublicKey;
use crate::metrics::CommitMetrics;

/// Writes that may wait, and so the most that one transaction can have.
pub(super) const QUEUE: usize = 256;

/// The callback that gets what each transaction did, after it is durable and before the callers are answered.
pub(super) type OnCommit = Box<dyn Fn(&[Arc<Change>], &[Effect]) + Send>;

/// What a transaction has changed.
struct Transacted {
    meta: Meta,
    /// Which keys count now, if that has changed.
    standing: Option<Arc<Standing>>,
    /// What has become of the keys whose live accounts have changed.
    signers: Vec<(PublicKey, Signed)>,
    changes: Vec<Arc<Change>>,
    effects: Vec<Effect>,
    toggles: ToggleSet,
    /// Where another order began, if one did.
    begun: Option<Head>,
    /// Whether the digest tree was saved.
    is_saved: bool,
    touched: TouchedNow,
    size: CacheSize,
    /// Of each write, in order.
    outcomes: Vec<Result<Outcome, CommitError>>,
    /// Whether there is anything to commit.
    wrote: bool,
    /// How long it took to make it durable.
    sync: Duration,
}

pub(super) struct Writer {
    pub(super) connection: Arc<Mutex<Connection>>,
    pub(super) readers: Arc<Readers>,
    pub(super) path: PathBuf,
    pub(super) files: Arc<Files>,
    pub(super) meta: Meta,
    pub(super) history: usize,
    pub(super) gate: Arc<Gate>,
    pub(super) state: Arc<JournalState>,
    /// What the feed has touched lately.
    pub(super) touched: Touched,
    /// What a cache keeps of its log.
    pub(super) tail: Tail,
    pub(super) index: Arc<Index>,
    pub(super) digests: Arc<Digests>,
    pub(super) stats: Arc<Stats>,
    pub(super) on_commit: OnCommit,
    /// Set once there are metrics.
    pub(super) measures: Arc<OnceLock<CommitMetrics>>,
}

impl Writer {
    pub(super) fn spawn(
        mut self,
        mut requests: mpsc::Receiver<Request>,
    ) -> Result<std::thread::JoinHandle<()>, StoreError> {
        let path = self.path.clone();
        std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || {
                let mut group = Vec::with_capacity(QUEUE);
                while requests.blocking_recv_many(&mut group, QUEUE) > 0 {
                    if group.iter().any(|request| matches!(request, Request::Close)) {
                        requests.close();
                    }
                    let asked: Vec<_> = group.extract_if(.., |request| request.is_question()).collect();
                    if !group.is_empty() {
                        self.commit(&mut group);
                    }
                    asked.into_iter().for_each(|question| self.answer(question));
                }
                let connection = self.connection.lock();
                self.save_digests(&connection);
                checkpoint::fold_log(&connection, &self.readers, &self.path);
            })
            .map_err(StoreError::io("start the writer of", &path))
    }

    /// Commits everything in `group` in one transaction, then answers.
    fn commit(&mut self, group: &mut Vec<Request>) {
        // Writes to a file without a name are lost with the process, so they must not be acknowledged.
        let began = Instant::now();
        let result = self.check_files().and_then(|()| self.transact(group));
        let outcomes = match result {
            Ok(Transacted {
                meta,
                standing,
                signers: changed,
                changes,
                effects,
                toggles,
                begun,
                is_saved,
                touched,
                size,
                outcomes,
                wrote,
                sync,
            }) => {
                if wrote {
                    self.measure(group, began, sync);
                }
                self.readers.has_committed();
                self.meta = meta;
                touched.commit(&mut self.touched);
                self.tail.set(size);
                self.stats.set_count(self.meta.count);
                self.stats.with_signers(|signers| signers.keys.extend(changed));
                self.digests.follow(&toggles, self.meta.head, is_saved);
                // Before the caches: what enters one from now on is judged by the new operator JWT.
                if let Some(standing) = standing {
                    self.gate.set_standing(Standing::clone(&standing));
                }
                self.state.set(&self.meta, begun);
                self.state.set_texts(self.tail.texts());
                if !changes.is_empty() || !effects.is_empty() {
                    // Durable. Caches and followers come before the answers, so that a client reads its own write.
                    if self.meta.role == Role::Primary {
                        changes.iter().for_each(|change| self.index.follow(change, self.meta.log.id(change.serial)));
                    }
                    effects.iter().for_each(|effect| self.index.set(&effect.key, effect.row));
                    (self.on_commit)(&changes, &effects);
                    self.state.ring().extend(changes);
                }
                // It may have been taken away during the commit.
                self.check_files().map(|()| outcomes)
            }
            Err(error) => Err(error),
        };
        match outcomes {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                group.drain(..).for_each(|request| {
                    request.answer(|| outcomes.next().unwrap_or_else(|| Err(CommitError::closed())));
                });
            }
            Err(error) => {
                if self.meta.role != Role::Primary && error.is_damage() {
                    // The next start brings what is sound of it to a new file.
                    mend::note(&self.path);
                }
                let error = Arc::new(error);
                tracing::error!(writes = group.len(), "cannot commit: {error}");
                group.drain(..).for_each(|request| request.answer(|| Err(error.clone().into())));
            }
        }
    }

    /// Notes how long a group of writes took until it was durable.
    fn measure(&self, group: &[Request], began: Instant, sync: Duration) {
        let Some(measures) = self.measures.get() else { return };
        let (writes, took) = (group.iter().map(Request::writes).sum(), began.elapsed());
        if writes == 0 {
            return;
        }
        measures.committed(writes, took, sync);
        for since in group.iter().filter_map(Request::pushed) {
            measures.pushed(began.saturating_duration_since(since), took);
        }
    }

    /// Answers a question, with everything that was committed before.
    fn answer(&self, question: Request) {
        // The caller may have gone.
        match question {
            Request::PackHash(now, reply) => drop(reply.send(self.pack_hash(now))),
            Request::Ping(reply) => drop(reply.send(())),
            _ => {}
        }
    }

    /// Runs a query on the connection that writes.
    pub(super) fn with_connection<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        query(&self.connection.lock()).map_err(StoreError::sqlite(&self.path))
    }

    /// Whether what is written is still in its place.
    fn check_files(&self) -> Result<(), StoreError> {
        self.files.check().map_err(|lost| {
            if lost.is_news && lost.can_be_saved() {
                // Acknowledged writes may be only in a log that has lost its name.
                checkpoint::save(&self.connection.lock(), &self.path);
            }
            lost.into()
        })
    }

    fn transact(&self, group: &[Request]) -> Result<Transacted, StoreError> {
        let sqlite = StoreError::sqlite(&self.path);
        let connection = self.connection.lock();
        checkpoint::bound_log(&connection, &self.readers, &self.path);
        run_prepared(&connection, "BEGIN IMMEDIATE").map_err(sqlite)?;
        let mut result = self.run(&connection, group);
        match &mut result {
            Ok(done) => {
                let began = Instant::now();
                let ended = run_prepared(&connection, if done.wrote { "COMMIT" } else { "ROLLBACK" });
                if let Err(error) = ended {
                    roll_back(&connection);
                    return Err(sqlite(error));
                }
                done.sync = began.elapsed();
            }
            Err(_) => roll_back(&connection),
        }
        result.map_err(sqlite)
    }

    /// What lives no longer than its process is not saved.
    fn save_when_due(
        &self,
        connection: &Connection,
        meta: &Meta,
        toggles: &ToggleSet,
        has_begun: bool,
    ) -> rusqlite::Result<bool> {
        if self.files.is_on_disk() {
            self.digests.save_when_due(connection, meta, toggles, has_begun)
        } else {
            Ok(false)
        }
    }

    fn save_digests(&self, connection: &Connection) {
        // Otherwise the next start reads a little more.
        if self.files.is_on_disk()
            && let Err(error) = self.digests.save(connection, &self.meta)
        {
            tracing::warn!("journal {}: the digests are not saved: {error}", self.path.display());
        }
    }

    fn run(&self, connection: &Connection, group: &[Request]) -> rusqlite::Result<Transacted> {
        let standing = Arc::clone(&self.gate.standing());
        let tally = Tally::new(self.stats.with_signers(|signers| signers.expired_at));
        let (meta, history) = (self.meta.clone(), self.history);
        let mut transaction = Transaction::begin(connection, meta, history, standing.clone(), tally, &self.touched);
        let mut wrote = false;
        let mut outcomes = Vec::with_capacity(group.len());
        let at = clock::unix_millis();
        for request in group {
            match request {
                Request::Write(write, actor, ..) => {
                    transaction.actor.clone_from(actor);
                    outcomes.push(transaction.apply(write, at)?);
                    transaction.actor = None;
                }
                Request::Batch(writes, _) => {
                    for write in writes {
                        outcomes.push(transaction.apply(write, at)?);
                    }
                }
                Request::Cursor(name, serial) => {
                    connection
                        .prepare_cached("INSERT OR REPLACE INTO cursor (name, serial) VALUES (?1, ?2)")?
                        .execute((name, serial))?;
                    wrote = true;
                }
                Request::ReplicaId(id) => {
                    connection.prepare_cached("UPDATE meta SET replica = ?1")?.execute([id])?;
                    wrote = true;
                }
                Request::Followers(changes) => {
                    followers::save(connection, changes)?;
                    wrote = true;
                }
                Request::NatsServers(changes) => {
                    nats_servers::save(connection, changes)?;
                    wrote = true;
                }
                Request::Prune(before) => wrote |= transaction.prune(*before)?,
                Request::PackHash(..) | Request::Ping(_) | Request::Close => {}
            }
        }
        let size = self.tail.shorten(&mut transaction)?;
        if transaction.forgot.get() {
            // The next start counts again.
            mend::note(&self.path);
        }
        let signers = self.stats.with_signers(|signers| signers.after(&transaction.tally));
        wrote |= transaction.repaired.get() || !transaction.changes.is_empty();
        if wrote {
            transaction.write_meta(&signers)?;
        }
        let Transaction {
            meta,
            changes,
            effects,
            toggles,
            loose_toggles,
            standing: stands,
            begun,
            touched_now: touched,
            ..
        } = transaction;
        let toggles = ToggleSet { logged: toggles, loose: loose_toggles };
        let is_saved = wrote && self.save_when_due(connection, &meta, &toggles, begun.is_some())?;
        let standing = (!Arc::ptr_eq(&standing, &stands)).then_some(stands);
        Ok(Transacted {
            meta,
            standing,
            signers,
            changes,
            effects,
            toggles,
            begun,
            is_saved,
            touched,
            size,
            outcomes,
            wrote,
            sync: Duration::ZERO,
        })
    }
}

impl Transaction<'_> {
    /// Applies one write. The outer error means that the whole transaction has failed.
    fn apply(&mut self, write: &Write, at: i64) -> rusqlite::Result<Result<Outcome, CommitError>> {
        match write {
            Write::Put(entry, via) => self.put(entry, *via, at),
            Write::Delete(tombstone, via) => self.delete(tombstone, *via, at),
            Write::Remove(key, via) => self.remove(key, *via, at).map(Ok),
            Write::Operator(write) => self.operator(write, at),
            Write::Activation { activation, via, limit } => self.activation(activation, *via, *limit, at),
            Write::Forget { ids, now } => Ok(Ok(self.forget(ids, *now, at)?)),
            Write::Upstream(write) => self.upstream(write),
        }
    }
}

/// Runs a statement that was parsed before, as every transaction needs the same ones.
fn run_prepared(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

fn roll_back(connection: &Connection) {
    // After some errors SQLite has already rolled back. Then this does nothing.
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
}
