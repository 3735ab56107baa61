//! What the writers know: every JWT that was signed, every deletion that was asked for, and what was found wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use data_encoding::HEXLOWER;
use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest as _, Sha256};

use super::support::{Account, Operator, now};

/// Accounts that there may be.
const ACCOUNTS: usize = 160;
/// Accounts that are there from the beginning.
pub(super) const FIRST: usize = 12;

/// What all who take part share.
pub(super) struct World {
    pub(super) operator: Operator,
    pub(super) accounts: Vec<Subject>,
    used: AtomicUsize,
    over: AtomicBool,
    /// Whether the primary went back, or began anew.
    pub(super) went_back: AtomicBool,
    ledger: Mutex<Ledger>,
    began: Instant,
}

pub(super) struct Subject {
    pub(super) account: Account,
    /// Held by who changes the account.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
pub(super) struct Ledger {
    minted: Vec<Minted>,
    numbers: HashMap<Arc<str>, usize>,
    /// The same by the digests of the texts, in hexadecimal.
    digests: HashMap<String, usize>,
    /// The times of issue of the requests for deletions.
    requests: HashMap<String, i64>,
    /// The times of issue of what was asked for of each account: the latest, and those of deletions.
    latest: Vec<i64>,
    deletions: Vec<Vec<i64>>,
    /// What happened to each account, for people.
    trail: Vec<Vec<String>>,
    faults: Vec<String>,
    /// How often what was answered.
    pub(super) counts: BTreeMap<String, usize>,
}

/// A JWT that the operator signed. It is known by its number.
#[derive(Clone)]
pub(super) struct Minted {
    pub(super) subject: usize,
    pub(super) iat: i64,
    pub(super) text: Arc<str>,
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        let subject = |_| Subject { account: Account::new(), turn: tokio::sync::Mutex::default() };
        // Long ago, about an hour ago, and almost an hour ahead.
        let first = |subject: usize| now() + [-50_000, -3_600, 2_400][subject % 3];
        let ledger = Ledger {
            latest: (0..ACCOUNTS).map(first).collect(),
            deletions: vec![Vec::new(); ACCOUNTS],
            trail: vec![Vec::new(); ACCOUNTS],
            ..Ledger::default()
        };
        Arc::new(Self {
            operator: Operator::new(),
            accounts: (0..ACCOUNTS).map(subject).collect(),
            used: AtomicUsize::new(FIRST),
            over: AtomicBool::new(false),
            went_back: AtomicBool::new(false),
            ledger: Mutex::new(ledger),
            began: Instant::now(),
        })
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    pub(super) fn path(&self, subject: usize) -> String {
        self.accounts[subject].account.path()
    }

    /// How many accounts somebody may have heard of.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed).min(ACCOUNTS)
    }

    /// An account that nobody has heard of, or, when there are no more, the last one.
    pub(super) fn next(&self) -> usize {
        self.used.fetch_add(1, Ordering::Relaxed).min(ACCOUNTS - 1)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Sends everybody home.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Seconds since the beginning, as text.
    pub(super) fn time(&self) -> String {
        format!("{:.3}", self.began.elapsed().as_secs_f64())
    }

    /// Signs a JWT of an account: `later` seconds after all that was asked for before. Returns its number.
    pub(super) fn mint(&self, subject: usize, later: i64) -> usize {
        let mut ledger = self.ledger();
        ledger.latest[subject] += later;
        let iat = ledger.latest[subject];
        let number = ledger.minted.len();
        let claims = self.accounts[subject].account.with_connections(iat, i64::try_from(number).unwrap());
        let text: Arc<str> = self.operator.sign(&claims).into();
        ledger.numbers.insert(text.clone(), number);
        ledger.digests.insert(HEXLOWER.encode(&Sha256::digest(text.as_bytes())), number);
        ledger.minted.push(Minted { subject, iat, text });
        number
    }

    /// Signs a request to delete accounts, no earlier than all that was asked for of them. Returns it and its time of issue.
    pub(super) fn mint_deletion(&self, subjects: &[usize], later: i64) -> (String, i64) {
        let mut ledger = self.ledger();
        let iat = later + subjects.iter().map(|subject| ledger.latest[*subject]).max().unwrap();
        for subject in subjects {
            ledger.latest[*subject] = iat;
            ledger.deletions[*subject].push(iat);
        }
        let accounts: Vec<&Account> = subjects.iter().map(|subject| &self.accounts[*subject].account).collect();
        let request = self.operator.delete_request_at(&accounts, iat);
        ledger.requests.insert(request.clone(), iat);
        (request, iat)
    }

    /// The account with this key.
    pub(super) fn subject(&self, key: &str) -> Option<usize> {
        self.accounts.iter().position(|subject| subject.account.key() == key)
    }

    /// Waits until nobody changes anything. Nobody begins to, while the result lives.
    pub(super) async fn all_turns(&self) -> Vec<tokio::sync::MutexGuard<'_, ()>> {
        let mut turns = Vec::new();
        for subject in &self.accounts {
            turns.push(subject.turn.lock().await);
        }
        turns
    }

    /// Adds a line to what happened to an account.
    pub(super) fn note(&self, subject: usize, line: &str) {
        let line = format!("{} {line}", self.time());
        self.ledger().trail[subject].push(line);
    }

    /// Adds a line to what happened to every account.
    pub(super) fn note_all(&self, line: &str) {
        let line = format!("{} {line}", self.time());
        self.ledger().trail.iter_mut().for_each(|trail| trail.push(line.clone()));
    }

    /// Something is wrong with an account.
    pub(super) fn fault(&self, subject: usize, what: &str) {
        let key = self.accounts[subject].account.key();
        let time = self.time();
        let mut ledger = self.ledger();
        let trail = ledger.trail[subject].join("\n    ");
        ledger.faults.push(format!("{time} {key}: {what}\n    {trail}"));
        drop(ledger);
        self.end();
    }

    /// Fails the test if anything was wrong.
    pub(super) fn judge(&self, seed: u64) {
        let faults = self.ledger().faults.clone();
        let first: Vec<&str> = faults.iter().take(3).map(String::as_str).collect();
        assert!(faults.is_empty(), "CHAOS_SEED={seed}: {} faults, such as\n{}", faults.len(), first.join("\n"));
    }
}

impl Ledger {
    pub(super) fn minted(&self, number: usize) -> &Minted {
        &self.minted[number]
    }

    /// The number of a JWT that the operator signed.
    pub(super) fn number(&self, text: &str) -> Option<usize> {
        self.numbers.get(text).copied()
    }

    /// The number of a JWT by the SHA-256 of its text, in hexadecimal.
    pub(super) fn number_of(&self, digest: &str) -> Option<usize> {
        self.digests.get(digest).copied()
    }

    /// When a deletion was asked for by this request.
    pub(super) fn deletion_by(&self, request: &str) -> Option<i64> {
        self.requests.get(request).copied()
    }

    /// All JWTs of an account, in the order in which they were signed.
    pub(super) fn versions(&self, subject: usize) -> Vec<usize> {
        (0..self.minted.len()).filter(|number| self.minted[*number].subject == subject).collect()
    }

    /// The earliest deletion that was asked for and covers what was issued at `iat`.
    pub(super) fn deletion_of(&self, subject: usize, iat: i64) -> Option<i64> {
        self.deletions[subject].iter().copied().filter(|deletion| *deletion >= iat).min()
    }

    pub(super) fn count(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }
}
