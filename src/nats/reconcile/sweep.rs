//! What one nats-server has loaded, as a whole: after it may have missed changes, and now and then.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio::time::{sleep, sleep_until};

use super::ask::AskError;
use super::schedule::Job;
use super::worker::ServerWorker;
use crate::backoff::drawn;
use crate::clock;
use crate::key::AccountKey;
use crate::node::{FETCH_TIMEOUT, OperatorThere};

/// Changes that are read at once.
const PAGE: u64 = 10_000;
/// Changes that are looked through. The sweep finds what is older.
const MAX_CHANGES: u64 = 100_000;
/// How soon a list that did not come is asked for again.
const RETRY: Duration = Duration::from_secs(2);
/// The same where our user may not ask.
const DENIED_RETRY: Duration = Duration::from_secs(60);
/// Sweeps begin no sooner after each other.
const BETWEEN: Duration = Duration::from_secs(15);
/// How often the operator JWT of a nats-server is looked at.
const OPERATOR_EVERY: Duration = Duration::from_secs(300);
/// Accounts of a sweep that are compared at the same time: waking up costs a nats-server more than the answer.
const AT_ONCE: usize = 4;

impl ServerWorker {
    /// Catches up whenever that is asked for, for as long as the nats-server is there.
    pub(super) async fn catch_up(&self) {
        loop {
            let Some(from) = self.begin_catch_up() else {
                self.catch_up_wake.notified().await;
                continue;
            };
            while let Err(error) = self.catch_up_once(from).await {
                self.note_unknown(&error);
                sleep(if matches!(error, AskError::Denied(_)) { DENIED_RETRY } else { RETRY }).await;
            }
            self.caught_up();
        }
    }

    /// Compares the accounts that changed after `from` and are loaded there. Twice: what was being fetched when the list was
    /// made is not in it.
    async fn catch_up_once(&self, from: u64) -> Result<(), AskError> {
        let mut seen = HashSet::new();
        for is_last in [false, true] {
            let asked = Instant::now();
            let loaded = self.list().await?;
            self.suspect_changed(from, &loaded, &seen, asked).await;
            if !is_last {
                seen = loaded;
                // Whatever else was asked for by then is done by the second list as well.
                sleep(FETCH_TIMEOUT + Duration::from_millis(200)).await;
            }
        }
        Ok(())
    }

    async fn list(&self) -> Result<HashSet<AccountKey>, AskError> {
        // One list at a time, of one nats-server: 100 of them with 10,000 accounts each are 59 MB.
        let _turn = self.shared.lists.acquire().await;
        let loaded: HashSet<AccountKey> = self.shared.asker.accounts(&self.server.id).await?.into_iter().collect();
        let count = loaded.len();
        self.shared.receipts.note(&self.server.id, |standing| standing.loaded = Some(count));
        Ok(loaded)
    }

    async fn suspect_changed(
        &self,
        from: u64,
        loaded: &HashSet<AccountKey>,
        seen: &HashSet<AccountKey>,
        asked: Instant,
    ) {
        let head = self.shared.node.head_serial();
        let mut after = from.max(head.saturating_sub(MAX_CHANGES));
        loop {
            let pending = match self.shared.node.pending(after, PAGE).await {
                Ok(pending) => pending,
                Err(error) => {
                    tracing::error!("cannot read which accounts changed since change {after}: {error}");
                    sleep(RETRY).await;
                    continue;
                }
            };
            for (key, serial) in pending.keys {
                if loaded.contains(&key) {
                    if !seen.contains(&key) {
                        self.suspect(key, serial);
                    }
                } else if self.shared.receipts.keeps(serial) {
                    self.not_loaded(key, serial, asked);
                }
            }
            if pending.reached <= after {
                return;
            }
            after = pending.reached;
        }
    }

    /// Compares all that is loaded there, again and again, at a bounded rate.
    pub(super) async fn sweep(&self) {
        let mut operator_looked_at: Option<Instant> = None;
        loop {
            let began = Instant::now();
            if self.is_catching_up() {
                sleep(RETRY).await;
                continue;
            }
            if operator_looked_at.is_none_or(|at| at.elapsed() >= OPERATOR_EVERY) {
                operator_looked_at = Some(began);
                self.look_at_operator().await;
            }
            match self.list().await {
                Ok(loaded) => {
                    self.sweep_over(loaded).await;
                    self.shared.receipts.note(&self.server.id, |standing| {
                        standing.swept_at = Some(clock::unix_millis());
                        standing.unknown = None;
                    });
                }
                Err(error) => {
                    self.note_unknown(&error);
                    sleep(if matches!(error, AskError::Denied(_)) { DENIED_RETRY } else { RETRY }).await;
                    continue;
                }
            }
            // Spread, so that nats-servers are not all asked in the same moment.
            let pause = drawn(BETWEEN, 0.9..=1.1);
            sleep_until((began + pause).into()).await;
        }
    }

    async fn sweep_over(&self, loaded: HashSet<AccountKey>) {
        let rate = self.shared.rate.max(1);
        let mut left = loaded.into_iter();
        loop {
            let until = Instant::now() + Duration::from_secs(1);
            let batch: Vec<AccountKey> = left.by_ref().filter(|key| !self.passes_over(key)).take(rate).collect();
            let is_last = batch.len() < rate;
            let jobs = stream::iter(batch).map(|key| self.step(Job { key, serial: 0, attempts: 0 }));
            jobs.buffer_unordered(AT_ONCE).collect::<()>().await;
            if is_last {
                return;
            }
            sleep_until(until.into()).await;
        }
    }

    /// Notes which operator JWT the nats-server runs. Without permission to ask, that stays unknown.
    async fn look_at_operator(&self) {
        let Ok(tokens) = self.shared.asker.operators(&self.server.id).await else { return };
        let Some(trust) = self.shared.node.trust() else { return };
        let there = tokens.iter().find_map(|token| {
            let decoded = crate::jwt::OperatorJwt::decode(token).ok()?;
            (trust.is_identity(&decoded.claims.sub))
                .then(|| OperatorThere { iat: decoded.claims.iat, is_current: token.as_bytes() == trust.token() })
        });
        self.shared.receipts.note(&self.server.id, |standing| standing.operator = there);
    }
}
