//! The sum of what is served, and the list of it, whatever happens to accounts, keys, the clock and the journal.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::gate::{Record, Tombstone};
use crate::key::{AccountKey, Kind, PublicKey};

/// When the clock starts; JWTs expire around it.
pub(super) const START: i64 = 200;
pub(super) const ACCOUNTS: u8 = 4;

pub(super) fn account(n: u8) -> AccountKey {
    AccountKey::from_raw([n; 32])
}

/// The operator, whose own key is the first of these, and its signing keys.
pub(super) struct Keys([KeyPair; 3]);

impl Keys {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| KeyPair::new_operator()))
    }

    fn public(&self, n: usize) -> PublicKey {
        PublicKey::parse_kind(&self.0[n].public_key(), Kind::Operator).expect("a key")
    }

    pub(super) fn trust(&self, listed: &[usize], iat: i64) -> Trust {
        let listed: Vec<_> = listed.iter().map(|n| &self.0[*n]).collect();
        let jwt = sign(&testkit::operator(&self.0[0], iat, &listed), &self.0[0]);
        Trust::from_operator_jwt(&jwt, iat).expect("an operator")
    }

    /// As an earlier admission left it: the journal looks at no signature.
    pub(super) fn entry(&self, n: u8, key: usize, iat: i64, exp: i64) -> Arc<Entry> {
        let token = format!("{n} {} {iat} {exp}", self.0[key].public_key());
        let digest = Sha256::digest(&token).into();
        let (key, issuer) = (account(n), self.public(key));
        let record = Record { key, token: token.into(), digest, identity: digest, issuer, iat, exp };
        Arc::new(Entry::reopen(record).expect("sound"))
    }

    pub(super) fn delete(&self, accounts: &[u8], key: usize, iat: i64) -> Arc<Tombstone> {
        let accounts: Vec<_> = accounts.iter().map(|n| account(*n).text()).collect();
        let jwt = sign(&testkit::delete_request(&self.0[key], &accounts, iat), &self.0[key]);
        Arc::new(Tombstone::reopen(jwt.into()).expect("a request"))
    }

    pub(super) fn write(&self, attempt: &Attempt) -> Write {
        match attempt {
            Attempt::Put { account, key, iat, exp, via } => Write::Put(self.entry(*account, *key, *iat, *exp), *via),
            Attempt::Delete { accounts, key, iat } => Write::Delete(self.delete(accounts, *key, *iat), Via::Post),
            Attempt::Remove(n) => Write::Remove(account(*n), Via::EditedFile),
            Attempt::Operator { listed, iat } => offer(self.trust(listed, *iat)),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Attempt {
    Put { account: u8, key: usize, iat: i64, exp: i64, via: Via },
    Delete { accounts: Vec<u8>, key: usize, iat: i64 },
    Remove(u8),
    Operator { listed: Vec<usize>, iat: i64 },
}

#[derive(Debug, Clone)]
enum Step {
    /// In one transaction.
    Commit(Vec<Attempt>),
    /// In a transaction that the disk does not take.
    Fail(Vec<Attempt>),
    Clock(i64),
    Reopen,
}

pub(super) fn attempt() -> impl Strategy<Value = Attempt> {
    let put = |(account, key, iat, exp, via)| Attempt::Put { account, key, iat, exp, via };
    let exp = prop_oneof![2 => Just(0), 5 => START - 3..START + 4];
    let via = prop_oneof![Just(Via::Post), Just(Via::FirstScan), Just(Via::Feed)];
    prop_oneof![
        8 => (0..ACCOUNTS, 0..3usize, 100..108i64, exp, via).prop_map(put),
        2 => (prop::collection::vec(0..ACCOUNTS, 1..3), 0..3usize, 100..108i64)
            .prop_map(|(accounts, key, iat)| Attempt::Delete { accounts, key, iat }),
        2 => (0..ACCOUNTS).prop_map(Attempt::Remove),
        2 => (prop::collection::vec(1..3usize, 0..3), 100..108i64)
            .prop_map(|(listed, iat)| Attempt::Operator { listed, iat }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let attempts = || prop::collection::vec(attempt(), 1..4);
    let step = prop_oneof![
        8 => attempts().prop_map(Step::Commit),
        1 => attempts().prop_map(Step::Fail),
        3 => (START - 4..START + 5).prop_map(Step::Clock),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..20)
}

pub(super) fn open_under(path: &Path, gate: &Arc<Gate>) -> Journal {
    let options = Options::primary(Some(path.to_owned()), 2, 1);
    Journal::open_under(&options, gate.clone(), |_, _| {}).expect("opens")
}

fn sum<'a>(tokens: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    tokens.into_iter().fold([0; 32], |sum, token| {
        let digest: [u8; 32] = Sha256::digest(token).into();
        std::array::from_fn(|n| sum[n] ^ digest[n])
    })
}

/// All that is served, piece by piece.
fn list(journal: &Journal, now: i64) -> BTreeMap<AccountKey, Vec<u8>> {
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let piece = journal.served(after.as_ref(), 2, now).expect("readable");
        assert_eq!(piece.damaged, 0);
        all.extend(piece.accounts.iter().map(|stored| (*stored.entry.key(), stored.entry.token().to_vec())));
        after = piece.next;
        if after.is_none() {
            return all;
        }
    }
}

fn list_keys(journal: &Journal, now: i64) -> Vec<AccountKey> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let piece = journal.served_keys(after.as_ref(), 3, now).expect("readable");
        all.extend(piece.keys);
        after = piece.next;
        if after.is_none() {
            return all;
        }
    }
}

async fn check(journal: &Journal, gate: &Gate, now: i64) {
    let live: Vec<_> = (0..ACCOUNTS).filter_map(|n| journal.get(&account(n)).expect("readable")).collect();
    let vouched = |entry: &Entry| gate.vouches(entry.issuer());
    let expected: BTreeMap<_, _> = live
        .iter()
        .filter(|stored| vouched(&stored.entry) && !stored.entry.is_expired(now))
        .map(|stored| (*stored.entry.key(), stored.entry.token().to_vec()))
        .collect();
    let listed = list(journal, now);
    assert_eq!(listed, expected);
    assert_eq!(list_keys(journal, now), listed.keys().copied().collect::<Vec<_>>());
    assert_eq!(journal.pack_hash(now).await.expect("open"), sum(listed.values().map(Vec::as_slice)));
    let withheld = live.iter().filter(|stored| !vouched(&stored.entry)).count();
    assert_eq!((journal.count(), journal.withheld(&gate.standing())), (live.len() as u64, withheld as u64));
    for key in (0..ACCOUNTS).map(account) {
        let is_deleted = matches!(journal.status(&key), Ok(super::super::AccountStatus::Deleted));
        let tombstone = journal.tombstone(&key).expect("readable");
        assert_eq!(tombstone.is_some(), is_deleted);
        assert!(tombstone.is_none_or(|tombstone| tombstone.keys().contains(&key)));
        assert_eq!(journal.are_all_deleted(&[key]).expect("readable"), is_deleted);
    }
}

/// Makes transactions fail that change something, or lets them through again.
pub(super) fn let_fail(path: &Path, fail: bool) {
    let other = rusqlite::Connection::open(path).expect("opens");
    other
        .execute_batch(if fail {
            "CREATE TRIGGER fail BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'no'); END"
        } else {
            "DROP TRIGGER fail"
        })
        .expect("done");
}

async fn run(steps: &[Step]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let keys = Keys::new();
    let gate = Arc::new(Gate::new(Some(keys.trust(&[1, 2], 100)), None, 3600));
    let mut journal = open_under(&path, &gate);
    let mut now = START;
    for step in steps {
        match step {
            Step::Commit(attempts) => {
                journal.commit_all(attempts.iter().map(|attempt| keys.write(attempt)).collect()).await;
            }
            Step::Fail(attempts) => {
                let serial = journal.head().serial;
                let_fail(&path, true);
                journal.commit_all(attempts.iter().map(|attempt| keys.write(attempt)).collect()).await;
                let_fail(&path, false);
                assert_eq!(journal.head().serial, serial);
            }
            Step::Clock(time) => now = *time,
            Step::Reopen => {
                journal.close().await;
                drop(journal);
                journal = open_under(&path, &gate);
            }
        }
        check(&journal, &gate, now).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_sum_is_that_of_what_is_served_whatever_happens(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(run(&steps));
    }
}

#[tokio::test]
async fn the_sum_of_nothing_is_zero_and_that_of_one_is_its_digest() {
    let signer = Signer::new();
    let journal = Journal::open(&Options::primary(None, 2, 1), |_, _| {}).expect("opens");
    assert_eq!(journal.pack_hash(NOW).await.expect("open"), [0; 32]);
    let entry = signer.entry(&KeyPair::new_account(), NOW, "a");
    journal.commit(put(&entry)).await.expect("new");
    assert_eq!(journal.pack_hash(NOW).await.expect("open"), *entry.digest());
    journal.close().await;
    assert!(matches!(journal.pack_hash(NOW).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn an_account_counts_up_to_the_second_of_its_expiry() {
    let keys = Keys::new();
    let journal = Journal::open(&Options::primary(None, 2, 1), |_, _| {}).expect("opens");
    let entry = keys.entry(1, 0, 100, START);
    journal.commit(put(&entry)).await.expect("new");
    for (now, counts) in [(START, true), (START + 1, false), (START, true), (i64::MAX, false), (0, true)] {
        let expected = if counts { *entry.digest() } else { [0; 32] };
        assert_eq!(journal.pack_hash(now).await.expect("open"), expected, "{now}");
        assert_eq!(list(&journal, now).len(), usize::from(counts), "{now}");
    }
    // An expired one that was put, and one that takes its place.
    journal.pack_hash(START + 5).await.expect("open");
    journal.commit(put(&keys.entry(1, 0, 101, START + 1))).await.expect("newer");
    assert_eq!(journal.pack_hash(START + 5).await.expect("open"), [0; 32]);
    let last = keys.entry(1, 0, 102, 0);
    journal.commit(put(&last)).await.expect("newer");
    assert_eq!(journal.pack_hash(START + 5).await.expect("open"), *last.digest());
}

#[tokio::test]
async fn a_piece_is_bounded_by_its_accounts_and_by_its_text() {
    let keys = Keys::new();
    let gate = Arc::new(Gate::new(Some(keys.trust(&[1], 100)), None, 3600));
    let options = Options::primary(None, 2, 1);
    let journal = Journal::open_under(&options, gate.clone(), |_, _| {}).expect("opens");
    for n in 0..5 {
        journal.commit(put(&keys.entry(n, 1, 100, 0))).await.expect("new");
    }
    let piece = journal.served(None, 2, START).expect("readable");
    assert_eq!((piece.accounts.len(), piece.next), (2, Some(account(1))));
    let piece = journal.served(Some(&account(1)), 10, START).expect("readable");
    assert_eq!((piece.accounts.len(), piece.next), (3, None));
    assert_eq!(journal.served(None, 0, START).expect("readable").next, Some(account(0)), "there is an end to it");

    let big = |n: u8| {
        let token = vec![b'x'; 400_000 + usize::from(n)];
        let digest = Sha256::digest(&token).into();
        let (key, issuer) = (account(n), keys.public(1));
        let record = Record { key, token: token.into(), digest, identity: digest, issuer, iat: 101, exp: 0 };
        Arc::new(Entry::reopen(record).expect("sound"))
    };
    for n in 0..5 {
        journal.commit(put(&big(n))).await.expect("newer");
    }
    let piece = journal.served(None, 10, START).expect("readable");
    assert_eq!((piece.accounts.len(), piece.next), (3, Some(account(2))), "1 MiB is full with the third");

    // Who is withheld is looked at, and does not end the list.
    gate.set_trust(keys.trust(&[], 200));
    let piece = journal.served(None, 4, START).expect("readable");
    assert_eq!((piece.accounts.len(), piece.next), (0, Some(account(3))));
    let piece = journal.served_keys(None, 4, START).expect("readable");
    assert_eq!((piece.keys.len(), piece.next), (0, Some(account(3))));
}

#[tokio::test]
async fn a_damaged_jwt_is_left_out_of_the_list_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let keys = Keys::new();
    let journal = open(&path).expect("opens");
    for n in 0..4 {
        journal.commit(put(&keys.entry(n, 0, 100, 0))).await.expect("new");
    }
    let other = rusqlite::Connection::open(&path).expect("opens");
    for damage in [
        "UPDATE change SET body = zeroblob(length(body)) WHERE serial = 1",
        "UPDATE change SET body = NULL WHERE serial = 2",
        "DELETE FROM change WHERE serial = 3",
    ] {
        other.execute_batch(damage).expect("damaged");
    }
    let piece = journal.served(None, 10, START).expect("readable");
    let whole: Vec<_> = piece.accounts.iter().map(|stored| (*stored.entry.key(), stored.serial)).collect();
    assert_eq!((whole, piece.damaged, piece.next), (vec![(account(3), 4)], 3, None));
}

#[tokio::test]
async fn what_a_lesser_deletion_brings_back_counts_again() {
    let keys = Keys::new();
    let gate = Arc::new(Gate::new(Some(keys.trust(&[1], 100)), None, 3600));
    let options = Options::primary(None, 2, 1);
    let journal = Journal::open_under(&options, gate.clone(), |_, _| {}).expect("opens");
    let entry = keys.entry(1, 0, 106, 0);
    let writes = vec![
        put(&entry),
        Write::Delete(keys.delete(&[1], 1, 107), Via::Post),
        // The key is withdrawn, so that its deletion from the future reaches no further than this.
        offer(keys.trust(&[], 103)),
    ];
    for write in writes {
        journal.commit(write).await.expect("a change");
        check(&journal, &gate, START).await;
    }
    assert_eq!(journal.count(), 0);
    journal.commit(Write::Delete(keys.delete(&[1], 0, 104), Via::Post)).await.expect("reaches further");
    check(&journal, &gate, START).await;
    assert_eq!(journal.pack_hash(START).await.expect("open"), *entry.digest());
}
