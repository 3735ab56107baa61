//! Announces changes: one claims update per change of the journal. Other account servers get activations in the same way.
//!
//! A nats-server with a URL resolver never asks again for an account that it has loaded, so only an announcement brings it a
//! change. It applies an older JWT as readily as a newer one. So the announcer follows the journal, and publishes a change
//! only while it is the account's newest.
//!
//! A message that was written to a socket may still be lost with the connection. A change counts as announced once its
//! connection has lived on for longer than a dead one goes unnoticed. If the connection breaks before, the announcer
//! repeats everything since. If the nats-servers are compared, it repeats accounts only where a comparison finds them
//! missing, because a nats-server may run something newer by now.
//!
//! The journal keeps how far the announcer came. So changes that were committed while NATS was away, or while this server
//! was stopped, are announced later. What a scan of the folder at start finds is never announced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::delete;
use super::discovery::RollCall;
use super::link::Connected;
use super::link::Link;
use super::progress::AnnounceProgress;
use super::receipts::ReceiptCollector;
use super::reconcile::Comparer;
use super::subjects;
use crate::gate::{Activation, Entry};
use crate::metrics::Metrics;
use crate::node::{Again, Announce, Announcement, ChangeKind, Compare as _, Fact, Feed, Node, Outgoing, OwedChange};

/// The name of the announcer's cursor in the journal.
pub const CURSOR: &str = "nats";
/// Changes that are announced between two looks at the connection.
const BATCH: usize = 256;
/// The cursor is written at most this often. A crash repeats a few announcements, which does no harm.
const CURSOR_EVERY: Duration = Duration::from_secs(1);
/// How long the connection may take to send a batch.
const FLUSH: Duration = Duration::from_secs(5);
/// Requests to announce something again that may wait.
const REQUESTS: usize = 256;

/// Asks the announcer to announce something again.
#[derive(Debug)]
pub(super) struct Announcer {
    requests: mpsc::Sender<Again>,
    link: Arc<Link>,
}

impl Announce for Announcer {
    fn announce(&self, what: Again) -> Result<(), &'static str> {
        let everyday = self.link.everyday().ok_or("this server is connecting to NATS; try again in a second")?;
        let is_sent = everyday.is_connected() && self.requests.try_send(what).is_ok();
        if is_sent { Ok(()) } else { Err("there is no connection to NATS now") }
    }
}

impl Announcer {
    /// The handle, and what is asked of it.
    pub(super) fn new(link: Arc<Link>) -> (Arc<Self>, mpsc::Receiver<Again>) {
        let (requests, asked) = mpsc::channel(REQUESTS);
        (Arc::new(Self { requests, link }), asked)
    }

    /// Where to ask for announcements.
    pub(super) fn requests(&self) -> mpsc::Sender<Again> {
        self.requests.clone()
    }
}

/// Announces every change of the primary's journal, and what is `asked` for, as long as the process lives. `comparer`:
/// compares the nats-servers with the store, unless that is switched off.
pub(super) fn start(
    connected: Arc<Connected>,
    node: &Arc<Node>,
    asked: mpsc::Receiver<Again>,
    comparer: Option<Arc<Comparer>>,
) {
    let task = AnnounceTask {
        inbox: connected.client().new_inbox(),
        number: AtomicU64::new(0),
        receipts: Arc::new(ReceiptCollector::new(node.receipts().clone(), node.metrics().clone(), comparer.clone())),
        receipts_timeout: connected.link().setup.receipts_timeout,
        metrics: node.metrics().clone(),
        connected,
        node: node.clone(),
        comparer,
    };
    tokio::spawn(task.run(asked));
}

/// The work itself.
struct AnnounceTask {
    connected: Arc<Connected>,
    node: Arc<Node>,
    inbox: String,
    number: AtomicU64,
    receipts: Arc<ReceiptCollector>,
    receipts_timeout: Duration,
    metrics: Arc<Metrics>,
    comparer: Option<Arc<Comparer>>,
}

impl AnnounceTask {
    async fn run(self, mut asked: mpsc::Receiver<Again>) {
        let client: &Client = self.connected.client();
        let Ok(answers) = client.subscribe(format!("{}.*.*", self.inbox)).await else { return };
        let roll = RollCall::start(self.connected.clone(), Some(self.receipts.kept().clone())).await;
        tokio::spawn(self.receipts.clone().collect(answers, self.receipts_timeout));
        let Feed::Open(changes) = self.node.feed() else { return };
        let mut watch = changes.watch();
        let mut progress = self.begin().await;
        loop {
            // Before anything is announced on a new connection: who answers was there to hear it.
            let ready = roll.call().await;
            progress.settle(self.connected.generation());
            self.remember(&mut progress).await;
            let head = watch.borrow_and_update().serial;
            self.metrics.delivery.pending.set(i64::try_from(head.saturating_sub(progress.sent)).unwrap_or(i64::MAX));
            if progress.sent < head && !ready {
                self.owe_unsent(&mut progress).await;
            }
            if progress.sent < head && ready {
                if !self.advance(&mut progress).await {
                    sleep(Duration::from_millis(100)).await;
                }
                continue;
            }
            // While NATS is away, or the last batch may still be lost, look again soon.
            let pause = if progress.sent < head { Duration::from_millis(50) } else { CURSOR_EVERY };
            tokio::select! {
                moved = watch.changed(), if progress.sent >= head => if moved.is_err() { return },
                what = asked.recv() => match what {
                    Some(what) => self.announce_again(what).await,
                    None => return,
                },
                () = sleep(pause) => {}
            }
        }
    }

    /// Where to begin: where we stopped.
    async fn begin(&self) -> AnnounceProgress {
        loop {
            match self.node.cursor(CURSOR).await {
                Ok(cursor) => {
                    let at = cursor.unwrap_or(0);
                    self.receipts.kept().passed(at);
                    return AnnounceProgress::from(at);
                }
                Err(error) => tracing::error!("cannot read which changes were announced: {error}"),
            }
            sleep(CURSOR_EVERY).await;
        }
    }

    async fn remember(&self, progress: &mut AnnounceProgress) {
        if progress.written.0 != progress.confirmed && progress.written.1.elapsed() >= CURSOR_EVERY {
            self.node.set_cursor(CURSOR, progress.confirmed).await;
            progress.written = (progress.confirmed, Instant::now());
        }
    }

    /// Announces the next changes. `false`: they could not be read or sent.
    async fn advance(&self, progress: &mut AnnounceProgress) -> bool {
        let connection = self.connected.generation();
        let (reached, news) = match self.node.outgoing_after(progress.sent, BATCH).await {
            Ok(Some(read)) => read,
            Ok(None) => return false,
            Err(error) => {
                tracing::error!("cannot read the changes to announce: {error}");
                sleep(CURSOR_EVERY).await;
                return false;
            }
        };
        for news in &news {
            match news {
                Outgoing::Account { serial, .. } if *serial <= progress.sent_once && self.compares() => {}
                Outgoing::Account { entry, serial, fact, kind } => {
                    if *serial > progress.sent_once {
                        self.owe(entry, *serial, fact, *kind);
                    }
                    self.publish(entry, *serial, fact).await;
                }
                Outgoing::Activation(activation) => self.publish_activation(activation).await,
                Outgoing::Deletion(request) => {
                    self.receipts.kept().forget_owed(request.keys());
                    delete::send(self.connected.client(), request).await;
                }
            }
        }
        if !news.is_empty() && !matches!(timeout(FLUSH, self.connected.client().flush()).await, Ok(Ok(()))) {
            return false;
        }
        self.receipts.kept().passed(reached);
        progress.sent(reached, connection);
        true
    }

    /// Remembers a change until it is in force. `false`: too many are remembered.
    fn owe(&self, entry: &Entry, serial: u64, fact: &Fact, kind: ChangeKind) -> bool {
        let change = OwedChange { key: *entry.key(), at: fact.at, kind };
        self.comparer.is_none() || self.receipts.kept().owe(serial, change)
    }

    /// Remembers the next changes that wait for NATS, so that it shows that they are not in force.
    async fn owe_unsent(&self, progress: &mut AnnounceProgress) {
        let after = progress.owed.max(progress.sent_once);
        // What cannot be read is read again when it is sent, and that says why not.
        let Ok(Some((reached, news))) = self.node.outgoing_after(after, BATCH).await else { return };
        for news in &news {
            if let Outgoing::Account { entry, serial, fact, kind } = news
                && !self.owe(entry, *serial, fact, *kind)
            {
                return;
            }
        }
        progress.owed = reached;
    }

    /// Whether the nats-servers are compared with the store: then what may have been lost with a connection is announced
    /// again only where it is missing. A nats-server may run something newer by now.
    fn compares(&self) -> bool {
        self.comparer.as_ref().is_some_and(|comparer| comparer.trouble().is_none())
    }

    /// Announces what is held now, if it may be served.
    async fn announce_again(&self, what: Again) {
        let news = match what {
            Again::Account(key) => self.node.outgoing_account(key).await,
            Again::Activation(id) => self.node.outgoing_activation(id).await,
        };
        match news {
            Ok(Some(Outgoing::Account { entry, serial, fact, .. })) => self.publish(&entry, serial, &fact).await,
            Ok(Some(Outgoing::Activation(activation))) => self.publish_activation(&activation).await,
            Ok(Some(Outgoing::Deletion(_)) | None) => {}
            Err(error) => tracing::error!("cannot read what to announce again: {error}"),
        }
    }

    /// Announces the change `serial`, of which `fact` tells.
    async fn publish(&self, entry: &Arc<Entry>, serial: u64, fact: &Fact) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let is_first = self.receipts.kept().announced(Announcement::of(entry, serial, fact));
        if let Some(comparer) = self.comparer.as_ref().filter(|_| is_first) {
            comparer.announced(*entry.key(), serial);
        }
        self.receipts.expect(number, entry.called());
        // No headers: nats-server takes them for a part of the JWT.
        let subject = subjects::update(entry.key());
        let reply = format!("{}.{serial}.{number}", self.inbox);
        match self.connected.client().publish_with_reply(subject, reply, entry.token().clone()).await {
            Ok(()) => self.metrics.delivery.announced.inc(),
            // Not sent, and it never will be: the token is larger than the nats-server takes.
            Err(error) => {
                self.receipts.kept().unsent(serial, &format!("{error}; raise max_payload of the nats-servers"));
                tracing::error!(
                    account = %entry.key(),
                    "the JWT of {} ({} bytes) cannot be announced: {error}; raise max_payload of the nats-servers",
                    entry.called(),
                    entry.token().len()
                );
            }
        }
    }

    /// Announces an activation. nats-servers do not care for it; other account servers take it in, and answer nothing.
    async fn publish_activation(&self, activation: &Activation) {
        let subject = activation_subject(activation);
        match self.connected.client().publish(subject, activation.token().clone()).await {
            Ok(()) => self.metrics.delivery.announced_activations.inc(),
            Err(error) => tracing::error!(
                account = %activation.account(),
                "the activation {} ({} bytes) cannot be announced: {error}; raise max_payload of the nats-servers",
                activation.id(),
                activation.token().len()
            ),
        }
    }
}
/// The subject on which account servers announce an activation to each other, without an answer. It names the key that
/// signed, even if that is a signing key.
fn activation_subject(activation: &Activation) -> String {
    format!("$SYS.ACCOUNT.{}.CLAIMS.ACTIVATE.{}", activation.issuer().text(), activation.id())
}
