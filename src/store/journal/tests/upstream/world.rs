//! An upstream, a mirror of it, and what is under way between them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::digests::crashed;
use super::super::*;
use super::check::Served;
use super::primary::{Upstream, fed};
use super::{ACCOUNTS, Commit, Made, Step};
use crate::feed::{Head, Subject, SubjectKind};
use crate::gate::{OperatorChain, Position};
use crate::key::AccountKey;
use crate::store::journal::upstream::{
    Answered, AnsweredContent, Compared, ComparedContent, Early, EarlyWay, FedContent, Still, UpstreamWrite,
};
use crate::store::journal::{AccountNow, Effect, Role, head};

/// An answer under way, and what had happened when it was asked for.
struct Asked {
    key: AccountKey,
    content: AnsweredContent,
    era: u64,
    touched: u64,
    removed: u64,
}

/// A comparison under way.
enum Part {
    Read(Vec<Compared>),
    /// Read when it is delivered.
    Later(Subject),
}

pub(super) struct World {
    pub(super) upstream: Upstream,
    folder: tempfile::TempDir,
    pub(super) history: usize,
    pub(super) mirror: Journal,
    /// Whether upstream says which version left a read-only folder.
    pub(super) says_what_left: bool,
    parts: Option<Vec<Part>>,
    asked: Vec<Asked>,
    /// How often something happened to an account here, and how often it was removed.
    touched: HashMap<AccountKey, (u64, u64)>,
    pub(super) served: HashMap<AccountKey, Served>,
    pub(super) copies: Copies,
}

/// By which order a read cache takes each account for current. It follows what the writes say.
#[derive(Clone, Default)]
pub(super) struct Copies(Arc<Mutex<HashMap<AccountKey, u64>>>);

impl Copies {
    pub(super) fn follow(&self, effects: &[Effect]) {
        let mut copies = self.0.lock();
        for Effect { key, now, .. } in effects {
            match now {
                AccountNow::Served(_, currency) | AccountNow::Unchanged(currency) => copies.insert(*key, currency.era),
                AccountNow::Gone | AccountNow::Elsewhere => copies.remove(key),
            };
        }
    }

    pub(super) fn era(&self, key: &AccountKey) -> Option<u64> {
        self.0.lock().get(key).copied()
    }
}

impl World {
    pub(super) async fn new(history: usize) -> Self {
        let mut upstream = Upstream::new();
        upstream.commit(&Commit::Operator(100)).await;
        let folder = tempfile::tempdir().expect("a folder");
        let copies = Copies::default();
        let mirror = open_mirror(&folder, history, &copies);
        let (parts, asked) = (None, Vec::new());
        let (touched, served) = (HashMap::new(), HashMap::new());
        Self { upstream, folder, history, mirror, says_what_left: true, parts, asked, touched, served, copies }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("journal.sqlite")
    }

    pub(super) async fn step(&mut self, step: &Step) {
        match step {
            Step::Upstream(commit) => _ = self.upstream.commit(commit).await,
            Step::RollBack { lost, is_same_session } => self.upstream.roll_back(*lost, *is_same_session).await,
            Step::Feed(count) => self.feed(*count).await,
            Step::Reject => self.feed_one(true).await,
            Step::Compare { is_early } => self.compare(*is_early).await,
            Step::Skip => {
                self.begin(self.upstream.journal.head()).await;
                self.compare(false).await;
            }
            Step::StandStill => {
                if let Some(reach) = self.mirror.awaited() {
                    self.write(UpstreamWrite::StoodStill(reach)).await.expect("noted");
                }
            }
            Step::Pieces(count) => self.pieces(*count).await,
            Step::Ask(account) => self.ask(*account),
            Step::Answer(number) => self.answer(*number).await,
            Step::Repeat(account) => self.repeat(*account).await,
            Step::Early(made, way) => self.early(*made, *way).await,
            Step::Forward(made) => {
                if self.upstream.commit(&Commit::Put(*made)).await {
                    self.early(*made, EarlyWay::Accepted).await;
                }
            }
            Step::Reopen => {
                self.mirror.close().await;
                self.opened();
            }
            Step::Crash => {
                let after = crashed(&self.path());
                self.mirror.close().await;
                self.folder = after;
                self.opened();
            }
        }
    }

    fn opened(&mut self) {
        let trees = |mirror: &Journal| mirror.trees().expect("readable").0;
        let before = trees(&self.mirror);
        self.copies.0.lock().clear();
        self.mirror = open_mirror(&self.folder, self.history, &self.copies);
        assert!(trees(&self.mirror) == before, "the tree is the same after a restart");
        // Nobody remembers what was asked.
        self.asked.clear();
        self.parts = None;
    }

    async fn write(&self, write: UpstreamWrite) -> Result<Outcome, CommitError> {
        let outcome = self.mirror.commit(Write::Upstream(write)).await;
        if let Err(CommitError::Failed(error)) = &outcome {
            panic!("{error}");
        }
        outcome
    }

    pub(super) fn is_following(&self) -> bool {
        self.upstream.has(&self.mirror.head())
    }

    async fn begin(&mut self, at: Head) {
        self.write(UpstreamWrite::Begin(at)).await.expect("begins");
        assert_eq!(self.mirror.head(), at);
        self.parts = None;
        // What was asked before may be of an earlier position.
        self.touched.values_mut().for_each(|(touched, _)| *touched += 1);
    }

    async fn follow(&mut self) {
        if !self.is_following() {
            self.begin(self.upstream.journal.head()).await;
            self.compare(true).await;
        }
    }

    async fn feed(&mut self, count: usize) {
        self.follow().await;
        for _ in 0..count {
            self.feed_one(false).await;
            // An account may leave, and come back with the next change.
            self.check();
        }
    }

    async fn feed_one(&mut self, is_rejected: bool) {
        self.follow().await;
        let Some(change) = self.upstream.change(self.mirror.head().serial) else { return };
        for key in change.keys() {
            let (touched, removed) = self.touched.entry(*key).or_default();
            *touched += 1;
            *removed += u64::from(matches!(change.content, Content::Removed { .. }));
        }
        if let Content::Operator(chain) = &change.content {
            self.trust(chain).await;
        }
        let mut fed = fed(&change, is_rejected);
        if let FedContent::Removed(_, identity) = &mut fed.content {
            *identity = identity.filter(|_| self.says_what_left);
        }
        // Upstream decides, whatever it is.
        let _ = self.write(UpstreamWrite::Fed(Box::new(fed))).await;
        assert_eq!((self.mirror.head().serial, self.mirror.head().chain), (change.serial, change.chain));
    }

    /// A chain that was judged elsewhere.
    async fn trust(&self, chain: &Arc<OperatorChain>) {
        let ours = self.mirror.operator().expect("readable");
        if ours.is_none_or(|ours| ours.in_force().iat() <= chain.in_force().iat()) {
            self.mirror.commit(Write::Operator(OperatorWrite::Follow(chain.clone()))).await.expect("follows");
        }
    }

    async fn compare(&mut self, is_early: bool) {
        if !self.is_following() {
            self.begin(self.upstream.journal.head()).await;
        }
        self.write(UpstreamWrite::CompareAgain).await.expect("begins");
        let part = |key: Subject| if is_early { Part::Read(self.difference(key)) } else { Part::Later(key) };
        self.parts = Some(self.upstream.subjects().into_iter().map(part).collect());
    }

    /// How upstream differs in one key from what its digest tree has here.
    fn difference(&self, key: Subject) -> Vec<Compared> {
        let log = self.mirror.state.log();
        let row = self.mirror.read(|connection| head::load(connection, &log, &key)).expect("readable");
        let mut found = self.upstream.compare(key, row.and_then(|row| row.leaf(&key)).map(|leaf| leaf.short()));
        for compared in &mut found {
            if let ComparedContent::Removed { identity, .. } = &mut compared.content {
                *identity = identity.filter(|_| self.says_what_left);
            }
        }
        found
    }

    async fn pieces(&mut self, count: usize) {
        if !self.is_following() {
            return;
        }
        for _ in 0..count {
            let Some(parts) = &mut self.parts else { return };
            let pieces = match parts.pop() {
                Some(Part::Read(pieces)) => pieces,
                Some(Part::Later(key)) => self.difference(key),
                None => {
                    let unmentioned = self.mirror.unmentioned(None, 99).expect("readable");
                    self.write(UpstreamWrite::Unmentioned(unmentioned)).await.expect("noted");
                    self.write(UpstreamWrite::Level { era: self.mirror.era(), is_whole: true }).await.expect("ends");
                    self.parts = None;
                    return;
                }
            };
            if let Some(chain) = self.upstream.journal.operator().expect("readable") {
                self.trust(&Arc::new(chain)).await;
            }
            for piece in pieces {
                let _ = self.write(UpstreamWrite::Compared(piece)).await;
            }
        }
    }

    fn is_doubted(&self, account: u8) -> bool {
        let key = Subject::Account(self.upstream.key(account));
        self.rows().get(&key).is_some_and(|row| row.must_ask(&key))
    }

    fn ask(&mut self, account: u8) {
        let key = self.upstream.key(account);
        let head = self.upstream.journal.head();
        let content = match self.upstream.journal.get(&key).expect("readable") {
            Some(stored) => {
                let at = Position { session: head.session.0, serial: stored.serial };
                AnsweredContent::Put(stored.entry, Some(at), Via::Upstream)
            }
            None => AnsweredContent::Absent { is_comparable: true },
        };
        let (touched, removed) = *self.touched.entry(key).or_default();
        self.asked.push(Asked { key, content, era: self.mirror.era(), touched, removed });
    }

    async fn answer(&mut self, number: usize) {
        if number >= self.asked.len() {
            return;
        }
        let Asked { key, content, era, touched, removed } = self.asked.remove(number);
        let now = self.touched.entry(key).or_default();
        let (is_undisturbed, is_kept) = (Still::always(now.0 == touched), Still::always(now.1 == removed));
        now.0 += 1;
        let (is_followed, was_live, is_of_primary) = (true, true, true);
        let answer = Answered { key, content, era, is_followed, was_live, is_of_primary, is_undisturbed, is_kept };
        let _ = self.write(UpstreamWrite::Answered(answer)).await;
    }

    /// A hub, which does not confirm it, gives what is held here.
    async fn repeat(&mut self, account: u8) {
        let key = self.upstream.key(account);
        let Some(stored) = self.mirror.get(&key).expect("readable") else { return };
        self.touched.entry(key).or_default().0 += 1;
        let content = AnsweredContent::Put(stored.entry, None, Via::Upstream);
        let (is_followed, was_live, is_of_primary) = (false, false, false);
        let (is_undisturbed, is_kept, era) = (Still::always(true), Still::always(true), self.mirror.era());
        let answer = Answered { key, content, era, is_followed, was_live, is_of_primary, is_undisturbed, is_kept };
        let _ = self.write(UpstreamWrite::Answered(answer)).await;
    }

    async fn early(&mut self, made: Made, way: EarlyWay) {
        let entry = self.upstream.entry(made);
        self.touched.entry(*entry.key()).or_default().0 += 1;
        let early = Early { entry: entry.clone(), way, is_asked: Still::always(false) };
        let before = (self.mirror.head(), self.mirror.digests(None).expect("readable").sum);
        let outcome = self.write(UpstreamWrite::Early(early)).await;
        let after = (self.mirror.head(), self.mirror.digests(None).expect("readable").sum);
        assert_eq!(before, after, "what is early is in neither log nor tree");
        if let Ok(Outcome::Early) = outcome {
            let stored = self.mirror.get(entry.key()).expect("readable").expect("it is served");
            assert_eq!(stored.entry.identity(), entry.identity());
        }
    }

    /// Everything arrives: then nothing differs. The mirror can be promoted.
    pub(super) async fn end(&mut self) {
        self.arrive().await;
        let accounts: Vec<_> = (0..ACCOUNTS).map(|account| self.upstream.key(account)).collect();
        self.check_promotion(&accounts).await;
        self.upstream.journal.close().await;
    }

    /// Everything arrives: then nothing differs.
    pub(super) async fn arrive(&mut self) {
        self.follow().await;
        while self.mirror.head() != self.upstream.journal.head() {
            self.feed(1).await;
            self.check();
        }
        self.compare(true).await;
        while self.parts.is_some() {
            self.pieces(1).await;
            self.check();
        }
        // What only upstream can tell, it is asked.
        for account in (0..ACCOUNTS).filter(|account| self.is_doubted(*account)).collect::<Vec<_>>() {
            self.asked.clear();
            self.ask(account);
            self.answer(0).await;
            self.check();
        }
        let rows = self.rows();
        for (key, row) in rows.iter().filter(|(key, row)| key.kind() != SubjectKind::Account && row.must_ask(key)) {
            let found = self.upstream.compare(*key, row.leaf(key).map(|leaf| leaf.short()));
            assert!(found.is_empty(), "the comparison has told everything of {key:?}: {found:?}");
            let as_of = self.mirror.head().position(self.mirror.head().serial);
            let same = Compared { as_of, serial: 0, content: ComparedContent::Same(*key) };
            self.write(UpstreamWrite::Compared(same)).await.expect("applied");
        }
        self.check_is_level();
    }
}

fn open_mirror(folder: &tempfile::TempDir, history: usize, copies: &Copies) -> Journal {
    let path = Some(folder.path().join("journal.sqlite"));
    let options = Options { role: Role::Mirror, ..Options::primary(path, history, 1) };
    let copies = copies.clone();
    Journal::open_under(&options, Arc::new(Gate::new(None, None, 0)), move |_, effects| copies.follow(effects))
        .expect("opens")
}
