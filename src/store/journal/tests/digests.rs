//! The digest tree of a journal is that of what its feed tells, whatever happens to the journal.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::pack::{ACCOUNTS, Attempt, Keys, attempt, let_fail, open_under};
use super::*;
use crate::feed::Subject;
use crate::feed::digest::{Ask, Difference, Leaf, LeafState, Prefix, Short, Toggle, Tree, ViewParts};
use crate::gate::{Activation, Held, OperatorChain, Record, Standing, Version};
use crate::jwt::HashId;
use crate::key::{AccountKey, Kind, PublicKey};

#[derive(Debug, Clone)]
pub(super) enum Change {
    Attempt(Attempt),
    Activation {
        subject: u8,
        iat: i64,
        exp: i64,
    },
    /// Forget what has expired at this time.
    Forget(i64),
    /// Another operator takes over.
    Other {
        iat: i64,
    },
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Change>),
    /// In a transaction that the disk does not take.
    Fail(Vec<Change>),
    Reopen,
    /// Without a close.
    Crash,
}

fn change() -> impl Strategy<Value = Change> {
    let activation = |(subject, iat, exp)| Change::Activation { subject, iat, exp };
    prop_oneof![
        10 => attempt().prop_map(Change::Attempt),
        3 => (0..3u8, 100..104i64, prop_oneof![Just(0), 1..9i64]).prop_map(activation),
        1 => (1..9i64).prop_map(Change::Forget),
        1 => (100..108i64).prop_map(|iat| Change::Other { iat }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = || prop::collection::vec(change(), 1..5);
    let step = prop_oneof![
        8 => changes().prop_map(Step::Commit),
        1 => changes().prop_map(Step::Fail),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..15)
}

/// Who signs, and which versions there are, by the digests of their texts.
pub(super) struct World {
    pub(super) keys: Keys,
    other: Keys,
    exporter: KeyPair,
    versions: HashMap<[u8; 32], Version>,
}

impl World {
    pub(super) fn new() -> Self {
        let (keys, other, exporter) = (Keys::new(), Keys::new(), KeyPair::new_account());
        Self { keys, other, exporter, versions: HashMap::new() }
    }

    pub(super) fn write(&mut self, change: &Change) -> Write {
        let write = match change {
            Change::Attempt(attempt) => self.keys.write(attempt),
            Change::Activation { subject, iat, exp } => {
                let activation = self.activation(*subject, *iat, *exp);
                Write::Activation { activation: Arc::new(activation), via: Via::Post, limit: 100 }
            }
            Change::Forget(now) => {
                let ids = (0..3).map(|subject| *self.activation(subject, 100, 0).id()).collect();
                Write::Forget { ids, now: *now }
            }
            Change::Other { iat } => {
                let keys = if iat % 2 == 0 { &self.other } else { &self.keys };
                let chain = OperatorChain::begin(Arc::new(keys.trust(&[], *iat)));
                Write::Operator(OperatorWrite::Set(Arc::new(chain)))
            }
        };
        match &write {
            Write::Put(entry, _) => _ = self.versions.insert(*entry.digest(), entry.version()),
            Write::Activation { activation, .. } => {
                self.versions.insert(*activation.digest(), activation.version());
            }
            _ => {}
        }
        write
    }

    fn activation(&self, subject: u8, iat: i64, exp: i64) -> Activation {
        let importer = AccountKey::from_raw([1; 32]).text();
        let claims = testkit::activation(&importer, &format!("subject{subject}"), iat);
        let token = sign(&testkit::with(claims, json!({ "exp": exp })), &self.exporter);
        Activation::reopen(token.as_bytes(), &Sha256::digest(&token).into()).expect("an activation")
    }

    /// What a follower has that applied the feed from its beginning, and the serials by which it stands.
    fn follow(&self, journal: &Journal, standing: &Standing) -> BTreeMap<Subject, Leaf> {
        let mut standing = standing.clone();
        let mut accounts: BTreeMap<AccountKey, (Held, bool)> = BTreeMap::new();
        let mut others: BTreeMap<Subject, Version> = BTreeMap::new();
        for change in journal.read_from_disk(0).expect("readable") {
            let put = match &change.content {
                Content::Put(entry) => Some((*entry.key(), entry.version())),
                Content::Superseded { key, digest } => Some((*key, self.versions[digest])),
                Content::Removed { key, .. } => {
                    accounts.get_mut(key).expect("it was there").1 = true;
                    None
                }
                Content::Delete(tombstone) => {
                    for key in tombstone.keys() {
                        accounts.entry(*key).or_default().0.delete(tombstone.deletion(), &standing);
                    }
                    None
                }
                Content::Operator(chain) => {
                    let trust = chain.in_force();
                    let (place, issuer) = (Subject::Operator(*trust.identity()), *trust.identity());
                    others.retain(|key, _| key.kind() != place.kind());
                    others.insert(place, Version { iat: trust.iat(), identity: *trust.version(), issuer });
                    standing = standing.after(chain.clone());
                    None
                }
                Content::Activation(activation) => {
                    others.insert(Subject::Activation(*activation.id()), activation.version());
                    None
                }
                Content::PastActivation { id, digest } => {
                    others.insert(Subject::Activation(*id), self.versions[digest]);
                    None
                }
                Content::Forgotten { id, digest } => {
                    let gone = others.remove(&Subject::Activation(*id)).expect("it was there");
                    assert_eq!(gone, self.versions[digest]);
                    None
                }
                Content::Passed(item) => panic!("a primary passes nothing on: {item:?}"),
            };
            if let Some((key, version)) = put {
                let (held, removed) = accounts.entry(key).or_default();
                held.put(version, None, &standing);
                *removed = false;
            }
        }
        let of_account = |(key, (held, removed)): (&AccountKey, &(Held, bool))| {
            let state = match (held.deleted(), held.identity()) {
                (Some(deletion), _) if !held.is_live() => LeafState::Deleted(*deletion),
                (_, Some(identity)) if *removed => LeafState::Left(*identity),
                (_, identity) => LeafState::Held(*identity.expect("something stands")),
            };
            let key = Subject::Account(*key);
            (key, Leaf::of(&key, &state))
        };
        let leaves = accounts.iter().map(of_account);
        leaves
            .chain(others.iter().map(|(key, version)| (*key, Leaf::of(key, &LeafState::Held(version.identity)))))
            .collect()
    }
}

pub(super) fn tree(leaves: &BTreeMap<Subject, Leaf>) -> Tree {
    let mut tree = Tree::default();
    leaves.iter().for_each(|(key, leaf)| tree.toggle(&Toggle::between(key, None, Some(*leaf))));
    tree
}

/// Everything that is told of one bucket after another.
fn leaves(journal: &Journal) -> BTreeMap<Subject, Leaf> {
    let mut all = BTreeMap::new();
    let sums = |prefix| match journal.digests(prefix).expect("readable").below {
        ViewParts::Sums(sums) => sums,
        ViewParts::Leaves(leaves) => panic!("{leaves:?}"),
    };
    for (high, _) in sums(None) {
        for (low, sum) in sums(Some(Prefix::Node(high))) {
            let bucket = journal.digests(Some(Prefix::Bucket(u16::from_be_bytes([high, low])))).expect("readable");
            assert_eq!((bucket.sum, bucket.head), (sum, journal.head()));
            match bucket.below {
                ViewParts::Leaves(leaves) => all.extend(leaves),
                ViewParts::Sums(sums) => panic!("{sums:?}"),
            }
        }
    }
    all
}

/// The changes of all pieces, by key; a delete request by each of the accounts for which it stands.
fn compare(journal: &Journal, mut ask: Ask) -> BTreeMap<Subject, Vec<crate::feed::Change>> {
    let mut all: BTreeMap<Subject, Vec<_>> = BTreeMap::new();
    loop {
        let comparison = journal.compare(&ask).expect("readable").expect("it has all");
        assert_eq!(comparison.head, journal.head());
        for difference in comparison.differences {
            match difference {
                Difference::Nothing(key) => assert!(all.insert(key, Vec::new()).is_none()),
                Difference::Deletion(change, stands) => {
                    for key in stands {
                        all.entry(Subject::Account(key)).or_default().push(change.clone());
                    }
                }
                Difference::Change(change) => {
                    let mut keys: Vec<_> = change.keys().iter().map(|key| Subject::Account(*key)).collect();
                    match &change.content {
                        Content::Operator(chain) => keys.push(Subject::Operator(*chain.in_force().identity())),
                        Content::Activation(activation) => keys.push(Subject::Activation(*activation.id())),
                        _ => {}
                    }
                    for key in keys {
                        all.entry(key).or_default().push(change.clone());
                    }
                }
            }
        }
        ask.after = comparison.next;
        if ask.after.is_none() {
            return all;
        }
    }
}

/// The leaf that a change makes, if the text of a JWT is its own identity, as here.
fn made(key: &Subject, content: &Content) -> Leaf {
    let state = match content {
        Content::Put(entry) => LeafState::Held(*entry.identity()),
        Content::Removed { digest, .. } => LeafState::Left(*digest),
        Content::Delete(tombstone) => LeafState::Deleted(tombstone.deletion()),
        Content::Operator(chain) => LeafState::Held(*chain.in_force().version()),
        Content::Activation(activation) => LeafState::Held(activation.version().identity),
        other => panic!("{other:?} is nothing that stands"),
    };
    Leaf::of(key, &state)
}

fn check(world: &World, journal: &Journal, standing: &Standing) {
    let (kept, computed) = journal.trees().expect("readable");
    assert_eq!(kept.toggles(), computed.toggles());
    let expected = world.follow(journal, standing);
    assert_eq!(kept.toggles(), tree(&expected).toggles());
    assert_eq!(leaves(journal), expected);
    leaves::check(journal, &expected);

    // Of each second key something else is known, and of one that is nowhere.
    let wrong = Short::parse("0123456789abcdef").expect("a digest");
    let nowhere = Subject::Activation(HashId::from_raw([255; 32]));
    let mut have: BTreeMap<Subject, Short> = expected.iter().map(|(key, leaf)| (*key, leaf.short())).collect();
    have.values_mut().step_by(2).for_each(|digest| *digest = wrong);
    have.insert(nowhere, wrong);
    let found = compare(journal, Ask { have: have.clone(), ..Ask::default() });
    let is_told = |found: &BTreeMap<Subject, Vec<crate::feed::Change>>, key: &Subject| {
        let changes = found.get(key).into_iter().flatten();
        changes.filter(|change| made(key, &change.content) == expected[key]).count() == 1
    };
    let is_nothing = |found: &BTreeMap<Subject, Vec<_>>, key: &Subject| found.get(key).is_some_and(Vec::is_empty);
    assert!(is_nothing(&found, &nowhere));
    assert!(expected.keys().step_by(2).all(|key| is_told(&found, key)));
    // Under each prefix, of which only some are named.
    for node in 0..=u8::MAX {
        let prefix = Prefix::Node(node);
        let have = have.iter().filter(|(key, _)| prefix.contains(key)).map(|(key, digest)| (*key, *digest));
        let have: BTreeMap<_, _> = have.skip(1).step_by(2).collect();
        let mut under = expected.keys().filter(|key| prefix.contains(key)).peekable();
        if have.is_empty() && under.peek().is_none() {
            continue;
        }
        let found = compare(journal, Ask { have: have.clone(), prefix: Some(prefix), after: None });
        for key in under {
            let same = have.get(key).is_some_and(|digest| *digest == expected[key].short());
            assert!(same || is_told(&found, key), "{key:?}");
        }
        let unknown = have.keys().filter(|key| !expected.contains_key(key));
        assert!(unknown.into_iter().all(|key| is_nothing(&found, key)));
    }
}

/// What a crash leaves: the files as they are at a time when nobody writes.
pub(super) fn crashed(path: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for ending in ["", "-wal"] {
        let name = format!("journal.sqlite{ending}");
        std::fs::copy(path.with_file_name(&name), folder.path().join(&name)).expect("copied");
    }
    folder
}

async fn run(steps: &[Step]) {
    let mut folder = tempfile::tempdir().expect("a folder");
    let place = |folder: &tempfile::TempDir| folder.path().join("journal.sqlite");
    let mut world = World::new();
    let gate = Arc::new(Gate::new(Some(world.keys.trust(&[1, 2], 100)), None, 3600));
    let standing = Standing::clone(&gate.standing());
    let mut journal = open_under(&place(&folder), &gate);
    for step in steps {
        match step {
            Step::Commit(changes) => {
                journal.commit_all(changes.iter().map(|change| world.write(change)).collect()).await;
            }
            Step::Fail(changes) => {
                let_fail(&place(&folder), true);
                journal.commit_all(changes.iter().map(|change| world.write(change)).collect()).await;
                let_fail(&place(&folder), false);
            }
            Step::Reopen => {
                journal.close().await;
                journal = open_under(&place(&folder), &gate);
            }
            Step::Crash => {
                let after = crashed(&place(&folder));
                journal.close().await;
                folder = after;
                journal = open_under(&place(&folder), &gate);
            }
        }
        check(&world, &journal, &standing);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_is_that_of_what_the_feed_tells_whatever_happens(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(run(&steps));
    }
}

/// An account that is live, one that is deleted, one that left, an activation, and the operator's JWT.
pub(super) async fn of_everything(world: &mut World, journal: &Journal) {
    let put = |account, iat| Attempt::Put { account, key: 0, iat, exp: 0, via: Via::Post };
    for change in [
        Change::Attempt(Attempt::Operator { listed: vec![1], iat: 101 }),
        Change::Attempt(put(0, 101)),
        Change::Attempt(put(1, 101)),
        Change::Attempt(put(2, 101)),
        Change::Attempt(Attempt::Delete { accounts: vec![1, 3], key: 0, iat: 102 }),
        Change::Attempt(Attempt::Remove(2)),
        Change::Activation { subject: 0, iat: 101, exp: 0 },
    ] {
        journal.commit(world.write(&change)).await.expect("a change");
    }
}

#[tokio::test]
async fn a_tree_that_is_not_what_was_saved_is_computed_anew() {
    let (folder, mut world) = (tempfile::tempdir().expect("a folder"), World::new());
    let path = folder.path().join("journal.sqlite");
    let gate = Arc::new(Gate::new(Some(world.keys.trust(&[1], 100)), None, 3600));
    let standing = Standing::clone(&gate.standing());
    let mut journal = open_under(&path, &gate);
    of_everything(&mut world, &journal).await;
    for damage in [
        "DELETE FROM digest",
        "UPDATE digest SET toggles = x'00'",
        "UPDATE digest SET serial = 1000",
        "UPDATE digest SET serial = 5, toggles = x''; UPDATE change SET toggles = NULL WHERE serial = 6",
    ] {
        journal.close().await;
        rusqlite::Connection::open(&path).expect("opens").execute_batch(damage).expect("damaged");
        journal = open_under(&path, &gate);
        check(&world, &journal, &standing);
    }
}

#[tokio::test]
async fn who_got_the_same_in_another_order_has_the_same_root() {
    let mut world = World::new();
    let mut roots = Vec::new();
    for turn in 0..2 {
        let journal = Journal::open(&Options::primary(None, 2, 1), |_, _| {}).expect("opens");
        let mut changes: Vec<_> = (0..ACCOUNTS)
            .map(|account| Change::Attempt(Attempt::Put { account, key: 0, iat: 100, exp: 0, via: Via::Post }))
            .collect();
        changes.push(Change::Attempt(Attempt::Delete { accounts: vec![1], key: 0, iat: 100 }));
        changes.push(Change::Attempt(Attempt::Put { account: 2, key: 0, iat: 101, exp: 0, via: Via::Post }));
        if turn == 1 {
            changes.reverse();
        }
        let writes: Vec<_> = changes.iter().map(|change| world.write(change)).collect();
        journal.commit_all(writes).await;
        roots.push(journal.digests(None).expect("readable").sum);
    }
    assert_eq!(roots[0], roots[1]);
    assert!(!roots[0].is_empty());
}

#[tokio::test]
async fn a_comparison_comes_in_pieces_and_tells_a_request_once() {
    let (world, keys) = (World::new(), 5);
    let journal = Journal::open(&Options::primary(None, 2, 1), |_, _| {}).expect("opens");
    let account = |n: u8| AccountKey::from_raw([vec![7, 7], vec![n; 30]].concat().try_into().expect("32 bytes"));
    for n in 0..keys {
        let token = vec![b'x'; 400_000 + usize::from(n)];
        let digest = Sha256::digest(&token).into();
        let issuer = PublicKey::from_raw(Kind::Operator, [9; 32]);
        let record =
            Record { key: account(n), token: token.into(), digest, identity: digest, issuer, iat: 101, exp: 0 };
        journal.commit(put(&Arc::new(Entry::reopen(record).expect("sound")))).await.expect("new");
    }
    let ask = |prefix: &str| Ask { prefix: Some(Prefix::parse(prefix).expect("a prefix")), ..Ask::default() };
    let first = journal.compare(&ask("07")).expect("readable").expect("it has all");
    assert_eq!((first.differences.len(), first.next), (3, Some(Subject::Account(account(2)))), "1 MiB is full");
    assert_eq!(compare(&journal, ask("07")).len(), usize::from(keys));
    assert_eq!(compare(&journal, ask("0707")).len(), usize::from(keys));
    assert!(compare(&journal, ask("0708")).is_empty() && compare(&journal, ask("06")).is_empty());

    let request = world.keys.delete(&[0, 1, 2, 3], 0, 200);
    journal.commit(Write::Delete(request.clone(), Via::Post)).await.expect("deleted");
    let have =
        (0..ACCOUNTS).map(|n| (Subject::Account(AccountKey::from_raw([n; 32])), Short::parse("00".repeat(8).as_str())));
    let have = have.map(|(key, digest)| (key, digest.expect("a digest"))).collect();
    let told = journal.compare(&Ask { have, ..Ask::default() }).expect("readable").expect("it has all").differences;
    assert!(matches!(&told[..], [Difference::Deletion(_, stands)] if stands == request.keys()), "{told:?}");
}
