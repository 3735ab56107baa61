//! A primary as the port sees it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Primary;
use super::feed::PrimaryFeed;
use crate::audit::AuditLog;
use crate::clock;
use crate::feed::Subject;
use crate::feed::digest::{Ask, Comparison, LeafPage, Prefix, View};
use crate::gate::operator::Way;
use crate::gate::{Actor, Entry, Held, Judged, OperatorChange, Sender, SentFor, Tombstone, Trust};
use crate::generation::Generation;
use crate::jwt::{Called, HashId};
use crate::key::AccountKey;
use crate::metrics::{Metrics, gauge};
use crate::node::{
    Answer, Backend, Check, Digested, Feed, JournalFeed, KeyList, Ledger, Lookup, LookupError, LookupNow, Miss,
    NoKeyList, Now, PackVerdict, Submitted, SubmittedActivation, Whole, Withheld, WriteError,
};
use crate::store::journal::{CommitError, Committing, DiskFigures, NatsServerChange, Stored};
use crate::store::{Follower, FollowerChange, JournalReader, StoreError, blocking};

impl Backend for Arc<Primary> {
    fn at_hand(&self, key: &AccountKey) -> Option<Answer> {
        Primary::cached(self, key).map(|stored| Answer::owned(&stored, self.session()))
    }

    fn look(&self, key: &AccountKey) -> Now {
        match Primary::lookup_now(self, key) {
            Some(Lookup::Served(stored)) => Now::Served(Answer::owned(&stored, self.session())),
            Some(Lookup::Absent) => Now::Miss(Miss::Absent),
            Some(Lookup::Withheld(_)) | None => Now::Miss(Miss::Ask),
        }
    }

    fn generation(&self, key: &AccountKey) -> Generation {
        Primary::generation(self, key)
    }

    fn get<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Option<Answer>, LookupError>> {
        async move {
            match Primary::lookup(self, key).await? {
                Lookup::Served(stored) => Ok(Some(Answer::owned(&stored, self.session()))),
                Lookup::Withheld(issuer) => Err(Withheld { account: *key, issuer }.into()),
                Lookup::Absent => Ok(None),
            }
        }
        .boxed()
    }

    fn called(&self, key: &AccountKey) -> Called {
        Primary::called(self, key)
    }

    fn lookup_now(&self, key: &AccountKey) -> LookupNow {
        if let Some(stored) = Primary::cached(self, key) {
            return valid(&stored.entry).map_or(LookupNow::Absent, LookupNow::Served);
        }
        match Primary::lookup_now(self, key) {
            Some(Lookup::Served(stored)) => valid(&stored.entry).map_or(LookupNow::Absent, LookupNow::Served),
            Some(Lookup::Withheld(_) | Lookup::Absent) => LookupNow::Absent,
            None => LookupNow::Unsure,
        }
    }

    fn lookup<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Option<Bytes>> {
        async move {
            match Primary::lookup(self, key).await {
                Ok(Lookup::Served(stored)) => valid(&stored.entry),
                _ => None,
            }
        }
        .boxed()
    }

    fn miss_activation(&self, _id: &HashId) -> Miss {
        Miss::Ask
    }

    fn activation<'a>(&'a self, id: &'a HashId) -> BoxFuture<'a, Result<Option<Arc<Judged>>, LookupError>> {
        async move { Ok(self.look_up_activation(id).await?) }.boxed()
    }

    fn feed(&self) -> Feed {
        Feed::Open(Arc::new(PrimaryFeed(JournalFeed::new(self.reader().clone()))))
    }

    fn digests(&self, prefix: Option<Prefix>) -> BoxFuture<'_, Result<Digested<View>, StoreError>> {
        self.once_complete(move |journal| journal.digests(prefix)).boxed()
    }

    fn leaves(
        &self,
        prefix: Option<Prefix>,
        after: Option<Subject>,
    ) -> BoxFuture<'_, Result<Digested<LeafPage>, StoreError>> {
        self.once_complete(move |journal| journal.leaves(prefix, after)).boxed()
    }

    fn compare(&self, ask: Ask) -> BoxFuture<'_, Result<Digested<Comparison>, StoreError>> {
        self.once_complete(move |journal| journal.compare(&ask)).map(|compared| Ok(compared?.flatten())).boxed()
    }

    fn whole(&self) -> Whole {
        if self.progress().is_complete() {
            Whole::Stored { journal: self.reader().clone(), is_current: true }
        } else {
            Whole::NotYet("the folder is still being imported")
        }
    }

    fn key_list(&self) -> BoxFuture<'_, Result<KeyList, NoKeyList>> {
        async move {
            if !self.progress().is_complete() {
                return Err(NoKeyList::NotYet);
            }
            let primary = self.clone();
            blocking(move || Ok(KeyList::read(primary.journal()))).await?
        }
        .boxed()
    }

    fn followers(&self) -> Result<Vec<Follower>, StoreError> {
        self.journal().followers()
    }

    fn note_followers(&self, changes: Vec<FollowerChange>) -> BoxFuture<'_, ()> {
        self.notes().set_followers(changes).boxed()
    }

    fn operator_way(&self) -> Way {
        Way::File
    }

    fn set_operator(&self, trust: Arc<Trust>) -> BoxFuture<'_, Result<OperatorChange, WriteError>> {
        Primary::set_operator(self, trust, Way::File, None, None).boxed()
    }

    fn checks(&self) -> Vec<Check> {
        std::iter::once(self.store_check()).chain(self.folder_check()).collect()
    }

    fn measure(&self, metrics: &Metrics) {
        metrics.store.accounts.set(gauge(self.journal().count()));
        metrics.store.serial.set(gauge(self.journal().head().serial));
        let (entries, bytes) = self.bodies.size();
        metrics.store.cache_entries.set(gauge(entries));
        metrics.store.cache_bytes.set(gauge(bytes));
    }

    fn disk_figures(&self) -> DiskFigures {
        self.journal().disk_figures()
    }
}

impl Ledger for Arc<Primary> {
    fn journal(&self) -> &Arc<JournalReader> {
        self.reader()
    }

    fn is_read_only(&self) -> bool {
        Primary::is_read_only(self)
    }

    fn audit(&self) -> Option<Arc<AuditLog>> {
        Primary::audit(self).cloned()
    }

    fn activations_per_account(&self) -> u64 {
        self.activations.per_account
    }

    fn withheld(&self) -> u64 {
        Primary::withheld(self)
    }

    fn cached(&self, key: &AccountKey) -> Option<Arc<Stored>> {
        Primary::cached(self, key)
    }

    fn served(&self, key: &AccountKey) -> Result<Option<Arc<Stored>>, StoreError> {
        Primary::served(self, key)
    }

    fn newest_activation(&self, id: &HashId) -> Result<Option<Arc<Judged>>, StoreError> {
        Primary::activation(self, id)
    }

    fn find<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Primary::lookup(self, key).boxed()
    }

    fn held<'a>(&'a self, key: &'a AccountKey) -> BoxFuture<'a, Result<Held, StoreError>> {
        Primary::held(self, key).boxed()
    }

    fn admit(&self, token: &[u8], expected: Option<&AccountKey>, sender: &Sender) -> Result<Arc<Entry>, CommitError> {
        Primary::admit_from(self, token, expected, sender)
    }

    fn enqueue(&self, entry: Arc<Entry>, sender: Sender) -> BoxFuture<'_, Result<Committing, CommitError>> {
        Primary::enqueue(self, entry, sender).boxed()
    }

    fn submitted(
        &self,
        entry: Arc<Entry>,
        committing: Committing,
        sender: Sender,
    ) -> BoxFuture<'_, Result<Submitted, CommitError>> {
        async move { Primary::submitted(self, entry, committing, &sender).await }.boxed()
    }

    fn delete<'a>(
        &'a self,
        request: &'a [u8],
        expected: Option<&'a AccountKey>,
        sender: Sender,
    ) -> BoxFuture<'a, Result<(Arc<Tombstone>, bool), CommitError>> {
        Primary::delete(self, request, expected, sender).boxed()
    }

    fn submit_activation<'a>(
        &'a self,
        token: &'a [u8],
        sent_for: SentFor<'a>,
        sender: Sender,
    ) -> BoxFuture<'a, Result<SubmittedActivation, CommitError>> {
        Primary::submit_activation(self, token, sent_for, sender).boxed()
    }

    fn merge(&self, offers: Vec<(AccountKey, Bytes)>) -> BoxFuture<'_, Result<Vec<PackVerdict>, CommitError>> {
        Primary::merge(self, offers).boxed()
    }

    fn set_cursor(&self, name: &'static str, serial: u64) -> BoxFuture<'_, ()> {
        self.notes().set_cursor(name, serial).boxed()
    }

    fn set_nats_servers(&self, changes: Vec<NatsServerChange>) -> BoxFuture<'_, ()> {
        self.notes().set_nats_servers(changes).boxed()
    }

    fn push_operator(
        &self,
        trust: Arc<Trust>,
        withhold: u64,
        is_admin: bool,
        actor: Actor,
    ) -> BoxFuture<'_, Result<OperatorChange, WriteError>> {
        let way = if is_admin { Way::AdminPost } else { Way::Post };
        Primary::set_operator(self, trust, way, Some(withhold), actor).boxed()
    }
}

impl Primary {
    /// Asks the journal, if it has everything that the folder held.
    async fn once_complete<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&JournalReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Digested<T>, StoreError> {
        if !self.progress().is_complete() {
            return Ok(Digested::Incomplete);
        }
        let primary = self.clone();
        blocking(move || query(primary.journal())).await.map(Digested::Known)
    }

    fn store_check(&self) -> Check {
        let (journal, progress) = (self.journal(), self.progress());
        let head = journal.head();
        let detail = if journal.is_lost() {
            "a file of the journal was removed or replaced under this server: what it held is served, nothing can be pushed; \
             put the folder back and restart this server"
                .into()
        } else if !journal.is_open() {
            "the journal's writer has ended: nothing can be pushed; restart this server".into()
        } else if progress.is_complete() {
            let closed = match progress.closed() {
                0 => String::new(),
                count => format!("; {count} sub-folders of the token folder cannot be read"),
            };
            format!("{} accounts at serial {} of session {}{closed}", journal.count(), head.serial, head.session)
        } else {
            let (done, total) = progress.files();
            format!("importing the folder: {done} of {total} files, {} accounts so far", journal.count())
        };
        Check { name: "store", ok: progress.is_complete() && journal.is_open() && !journal.is_lost(), detail }
    }

    /// How the token folder does. It holds nothing up: what is acknowledged is in the journal.
    fn folder_check(&self) -> Option<Check> {
        let writer_progress = self.writer_progress.get()?;
        let head = self.journal().head().serial;
        let detail = match writer_progress.failure() {
            Some(failure) => failure,
            None if writer_progress.synced() >= head => format!("all files are on disk up to serial {head}"),
            None => {
                format!(
                    "files are written up to serial {}, on disk up to {}",
                    writer_progress.written(),
                    writer_progress.synced()
                )
            }
        };
        Some(Check { name: "folder", ok: true, detail })
    }
}

/// The JWT, unless it has expired: a nats-server would not load it.
fn valid(entry: &Entry) -> Option<Bytes> {
    (!entry.is_expired(clock::unix_seconds())).then(|| entry.token().clone())
}

#[cfg(test)]
mod tests;
