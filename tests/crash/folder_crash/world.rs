//! What all who take part in the storm share, and what is remembered of what they did.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::digest;
use crate::support::{Account, Http, Operator, now};

/// Accounts whose files nobody edits: what a reader finds there is ours, at any moment.
const QUIET: usize = 4;
/// Accounts that everybody works on.
pub(super) const BUSY: usize = 12;
/// Accounts in each round that are pushed once, and left alone or deleted: what a kill leaves undone for them, nobody
/// makes up for by chance.
const PASSING: usize = 200;

/// The stage.
pub(super) struct World {
    pub(super) operator: Operator,
    pub(super) accounts: Vec<Subject>,
    pub(super) dir: PathBuf,
    used: AtomicUsize,
    server: watch::Sender<Option<Http>>,
    over: AtomicBool,
    ledger: Mutex<Ledger>,
}

/// One account, and how far its versions have come.
pub(super) struct Subject {
    pub(super) account: Account,
    iat: AtomicI64,
    /// Held by who edits the file, until it is known what became of that.
    pub(super) editing: tokio::sync::Mutex<()>,
}

/// What was done.
#[derive(Default)]
pub(super) struct Ledger {
    /// Every JWT that the operator signed, by its digest.
    pub(super) minted: HashMap<String, Minted>,
    /// Requests to change something.
    pub(super) asked: Vec<Asked>,
    /// Every text that an editor wrote.
    pub(super) written: HashSet<Vec<u8>>,
    /// Texts that lay in their place long enough to be judged.
    pub(super) judged: Vec<Judged>,
    /// Texts that were written over before that.
    pub(super) raced: usize,
    /// Answers other than a change, by their status.
    pub(super) refusals: HashMap<u16, usize>,
    /// JWTs and files that were read.
    pub(super) read: usize,
}

/// A JWT that the operator signed.
#[derive(Clone)]
pub(super) struct Minted {
    pub(super) account: usize,
    pub(super) iat: i64,
    pub(super) text: String,
}

/// A push or a delete request.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) digest: String,
    /// Empty for a push.
    pub(super) deletes: Vec<usize>,
    pub(super) iat: i64,
    pub(super) sent: Instant,
    pub(super) acknowledged: Option<Instant>,
}

/// A text that lay in an account's place.
pub(super) struct Judged {
    pub(super) account: usize,
    pub(super) text: Vec<u8>,
}

impl World {
    pub(super) fn new(dir: &Path, rounds: usize) -> Arc<Self> {
        let subject = |_| Subject {
            account: Account::new(),
            iat: AtomicI64::new(now() - 50_000),
            editing: tokio::sync::Mutex::default(),
        };
        Arc::new(Self {
            operator: Operator::new(),
            accounts: (0..BUSY + rounds * PASSING).map(subject).collect(),
            used: AtomicUsize::new(BUSY),
            dir: dir.to_owned(),
            server: watch::Sender::new(None),
            over: AtomicBool::new(false),
            ledger: Mutex::default(),
        })
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    /// An account that nobody has heard of; `None`: there are no more.
    pub(super) fn next(&self) -> Option<usize> {
        let next = self.used.fetch_add(1, Ordering::Relaxed);
        (next < self.accounts.len()).then_some(next)
    }

    /// How many accounts somebody may have heard of.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed).min(self.accounts.len())
    }

    pub(super) fn any(&self) -> usize {
        rand::random_range(0..BUSY)
    }

    /// One whose file may be edited.
    pub(super) fn any_edited(&self) -> usize {
        rand::random_range(QUIET..BUSY)
    }

    pub(super) fn is_quiet(account: usize) -> bool {
        account < QUIET
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Sends everybody home.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Tells everybody where the server is; `None`: it is down.
    pub(super) fn announce(&self, server: Option<&Http>) {
        self.server.send_replace(server.cloned());
    }

    /// The server, as soon as there is one. `None`: it is over.
    pub(super) async fn server(&self) -> Option<Http> {
        let mut watch = self.server.subscribe();
        while !self.is_over() {
            let there = watch.borrow_and_update().clone();
            if there.is_some() {
                return there;
            }
            let _ = tokio::time::timeout(std::time::Duration::from_millis(50), watch.changed()).await;
        }
        None
    }

    /// The issue time of the next JWT of an account: mostly later than all before, at times the same second, at times
    /// an earlier one.
    pub(super) fn iat(&self, account: usize) -> i64 {
        let iat = &self.accounts[account].iat;
        match rand::random_range(0..10) {
            0 => iat.load(Ordering::Relaxed),
            1 => iat.load(Ordering::Relaxed) - rand::random_range(1..4),
            _ => iat.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// A JWT that nobody has seen yet.
    pub(super) fn mint(&self, account: usize) -> String {
        let iat = self.iat(account);
        let claims = self.accounts[account].account.with_connections(iat, rand::random_range(0..i64::MAX));
        let text = self.operator.sign(&claims);
        self.ledger().minted.insert(digest(&text), Minted { account, iat, text: text.clone() });
        text
    }

    /// One of the JWTs that an account has, or may have, had.
    pub(super) fn earlier(&self, account: usize) -> Option<String> {
        let ledger = self.ledger();
        let of_account = ledger.minted.values().filter(|minted| minted.account == account);
        let nth = rand::random_range(0..64);
        of_account.take(nth + 1).last().map(|minted| minted.text.clone())
    }
}
