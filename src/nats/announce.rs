//! Telling the nats-servers: one claims update per change, from the journal.
//!
//! nats-servers with a URL resolver never ask again for an account that they have loaded, so a change reaches them only
//! because we say so; and they apply an older JWT as readily as a newer one. So the announcer follows the journal, and
//! publishes a change only while it is the account's newest.
//!
//! A message that was written to a socket may still be lost with the connection. What was sent counts as announced when
//! the connection has lived on for longer than a dead one goes unnoticed; if it breaks before, everything since is
//! announced again. How far that is, is kept in the journal: what was committed while NATS was away, or while we were
//! stopped, is announced when it is back. What a scan of the folder at start brings is no news, and notifies nobody,
//! however often that scan is begun anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::connect::{Connected, SILENCE};
use super::receipts::Receipts;
use crate::feed::{Change, Content};
use crate::gate::{Entry, Via};
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::node::{Announce, Connection as _};
use crate::primary::Primary;

/// The name of the announcer's cursor in the journal.
const CURSOR: &str = "nats";
/// Changes that are announced between two looks at the connection.
const BATCH: usize = 256;
/// The cursor is written at most this often: a crash repeats a little, which harms nobody.
const CURSOR_EVERY: Duration = Duration::from_secs(1);
/// How long the connection may take to send a batch.
const FLUSH: Duration = Duration::from_secs(5);
/// Requests to announce one account again that may wait.
const REQUESTS: usize = 64;

/// Asks the announcer to announce an account again.
#[derive(Debug)]
pub struct Announcer {
    requests: mpsc::Sender<AccountKey>,
    connected: Arc<Connected>,
}

impl Announce for Announcer {
    fn announce(&self, key: &AccountKey) -> bool {
        self.connected.is_connected() && self.requests.try_send(*key).is_ok()
    }
}

impl Announcer {
    /// Starts announcing every change of the primary's journal, for as long as the process lives.
    pub fn start(
        connected: Arc<Connected>,
        primary: Arc<Primary>,
        metrics: Arc<Metrics>,
        receipts_timeout: Duration,
    ) -> Arc<Self> {
        let (requests, asked) = mpsc::channel(REQUESTS);
        let task = Task {
            inbox: connected.client().new_inbox(),
            number: AtomicU64::new(0),
            receipts: Arc::new(Receipts::new(metrics.clone())),
            receipts_timeout,
            metrics,
            connected: connected.clone(),
            primary,
        };
        tokio::spawn(task.run(asked));
        Arc::new(Self { requests, connected })
    }
}

/// The work itself.
struct Task {
    connected: Arc<Connected>,
    primary: Arc<Primary>,
    inbox: String,
    number: AtomicU64,
    receipts: Arc<Receipts>,
    receipts_timeout: Duration,
    metrics: Arc<Metrics>,
}

/// How far the journal is announced.
struct Progress {
    /// Sent up to here.
    sent: u64,
    /// Sent, and the connection has lived on since: this is what the journal keeps.
    confirmed: u64,
    /// When each serial was sent, on which connection.
    pending: VecDeque<(u64, Instant, u64)>,
    /// What the journal keeps, and since when.
    written: (u64, Instant),
}

impl Progress {
    /// Looks at what was sent earlier: either it has arrived, or the connection broke and it is sent again.
    fn settle(&mut self, connection: u64) {
        if self.pending.iter().any(|(.., on)| *on != connection) {
            self.pending.clear();
            self.sent = self.confirmed;
        }
        while let Some((serial, at, _)) = self.pending.front()
            && at.elapsed() > SILENCE
        {
            self.confirmed = *serial;
            self.pending.pop_front();
        }
    }
}

impl Task {
    async fn run(self, mut asked: mpsc::Receiver<AccountKey>) {
        let client: &Client = self.connected.client();
        let Ok(answers) = client.subscribe(format!("{}.*", self.inbox)).await else { return };
        tokio::spawn(collect(self.receipts.clone(), answers, self.receipts_timeout));
        let mut watch = self.primary.ring().watch();
        let mut progress = self.begin().await;
        loop {
            progress.settle(self.connected.generation());
            self.remember(&mut progress).await;
            let head = watch.borrow_and_update().serial;
            self.metrics.announce_pending.set(i64::try_from(head.saturating_sub(progress.sent)).unwrap_or(i64::MAX));
            if progress.sent < head && self.connected.is_connected() {
                if !self.advance(&mut progress).await {
                    sleep(Duration::from_millis(100)).await;
                }
                continue;
            }
            // While NATS is away, or something is not settled yet, look again soon.
            let pause = if progress.sent < head { Duration::from_millis(50) } else { CURSOR_EVERY };
            tokio::select! {
                moved = watch.changed(), if progress.sent >= head => if moved.is_err() { return },
                key = asked.recv() => match key {
                    Some(key) => self.announce_again(key).await,
                    None => return,
                },
                () = sleep(pause) => {}
            }
        }
    }

    /// Where to begin: where we stopped.
    async fn begin(&self) -> Progress {
        loop {
            let primary = self.primary.clone();
            match tokio::task::spawn_blocking(move || primary.journal().cursor(CURSOR)).await {
                Ok(Ok(cursor)) => {
                    let at = cursor.unwrap_or(0);
                    return Progress {
                        sent: at,
                        confirmed: at,
                        pending: VecDeque::new(),
                        written: (at, Instant::now()),
                    };
                }
                Ok(Err(error)) => tracing::error!("cannot tell which changes were announced already: {error}"),
                Err(_) => {}
            }
            sleep(CURSOR_EVERY).await;
        }
    }

    async fn remember(&self, progress: &mut Progress) {
        if progress.written.0 != progress.confirmed && progress.written.1.elapsed() >= CURSOR_EVERY {
            self.primary.journal().set_cursor(CURSOR, progress.confirmed).await;
            progress.written = (progress.confirmed, Instant::now());
        }
    }

    /// Announces the next changes. `false`: they could not be read or sent.
    async fn advance(&self, progress: &mut Progress) -> bool {
        let connection = self.connected.generation();
        let (primary, after) = (self.primary.clone(), progress.sent);
        let read = tokio::task::spawn_blocking(move || {
            let changes = primary.journal().changes_after(after, BATCH)?;
            let news = changes.iter().filter_map(|change| match &change.content {
                Content::Put(entry) if change.via != Via::FirstScan => Some((change, entry)),
                _ => None,
            });
            let current = news
                .map(|(change, entry)| Ok(is_newest(&primary, change, entry)?.then(|| entry.clone())))
                .filter_map(Result::transpose)
                .collect::<Result<Vec<_>, crate::store::StoreError>>()?;
            Ok::<_, crate::store::StoreError>((changes.last().map(|change| change.serial), current))
        });
        let (reached, entries) = match read.await {
            Ok(Ok((Some(reached), entries))) => (reached, entries),
            Ok(Err(error)) => {
                tracing::error!("cannot read the changes to announce: {error}");
                sleep(CURSOR_EVERY).await;
                return false;
            }
            Ok(Ok((None, _))) | Err(_) => return false,
        };
        for entry in &entries {
            self.publish(entry).await;
        }
        if !entries.is_empty() && !matches!(timeout(FLUSH, self.connected.client().flush()).await, Ok(Ok(()))) {
            return false;
        }
        progress.sent = reached;
        progress.pending.push_back((reached, Instant::now(), connection));
        true
    }

    /// Announces what an account holds now.
    async fn announce_again(&self, key: AccountKey) {
        let primary = self.primary.clone();
        if let Ok(Ok(Some(stored))) = tokio::task::spawn_blocking(move || primary.journal().get(&key)).await {
            self.publish(&stored.entry).await;
        }
    }

    async fn publish(&self, entry: &Arc<Entry>) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        self.receipts.expect(number, *entry.key());
        // No headers: nats-server takes them for a part of the JWT.
        let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", entry.key());
        let reply = format!("{}.{number}", self.inbox);
        match self.connected.client().publish_with_reply(subject, reply, entry.token().clone()).await {
            Ok(()) => self.metrics.announced.inc(),
            // Not sent, and it never will be: the token is larger than the nats-server takes.
            Err(error) => tracing::error!(
                account = %entry.key(),
                "the JWT of {} ({} bytes) cannot be announced: {error}; raise max_payload of the nats-servers",
                entry.key(),
                entry.token().len()
            ),
        }
    }
}

/// Whether nothing has replaced a change since. Blocks for a query if the account is not in the body cache.
fn is_newest(primary: &Primary, change: &Change, entry: &Entry) -> Result<bool, crate::store::StoreError> {
    if let Some(stored) = primary.cached(entry.key()) {
        return Ok(stored.serial == change.serial);
    }
    Ok(primary.journal().serial_of(entry.key())? == Some(change.serial))
}

/// Collects the answers.
async fn collect(receipts: Arc<Receipts>, mut answers: Subscriber, after: Duration) {
    let mut sweep = interval(Duration::from_millis(250));
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = true;
    loop {
        tokio::select! {
            answer = answers.next(), if open => match answer {
                // The status "no responders" has no body: nobody was there to answer.
                Some(answer) if answer.status.is_none() => {
                    if let Some(number) = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok()) {
                        receipts.take(number, &answer.payload);
                    }
                }
                Some(_) => {}
                None => open = false,
            },
            _ = sweep.tick() => receipts.close(after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress { sent: 0, confirmed: 0, pending: VecDeque::new(), written: (0, Instant::now()) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_counts_only_when_its_connection_has_lived_on() {
        let mut progress = progress();
        progress.pending.push_back((5, Instant::now(), 1));
        progress.sent = 5;
        tokio::time::advance(SILENCE / 2).await;
        progress.pending.push_back((9, Instant::now(), 1));
        progress.sent = 9;
        progress.settle(1);
        assert_eq!((progress.confirmed, progress.sent), (0, 9));
        tokio::time::advance(SILENCE / 2 + Duration::from_secs(1)).await;
        progress.settle(1);
        assert_eq!((progress.confirmed, progress.sent), (5, 9));
        // The connection breaks: what is not confirmed is sent again.
        progress.settle(2);
        assert_eq!((progress.confirmed, progress.sent), (5, 5));
    }
}
