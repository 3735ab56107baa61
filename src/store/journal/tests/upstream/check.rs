//! What must be true of a mirror at any time, and what at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::Connection;

use super::super::*;
use super::ACCOUNTS;
use super::world::World;
use crate::feed::digest::{Ask, Difference, Prefix, Toggle, Tree};
use crate::feed::{Head, Subject, SubjectKind};
use crate::gate::{Digest, Standing, Version};
use crate::key::AccountKey;
use crate::store::journal::head::{self, NO_CHANGE, Row};
use crate::store::journal::{promote, schema};

/// What an account had that must not come back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Served {
    version: Option<Version>,
    deleted: Option<i64>,
    /// The orders that had begun when it was served.
    era: i64,
}

impl World {
    /// What is true at any time.
    pub(super) fn check(&mut self) {
        let (tree, computed) = self.mirror.trees().expect("readable");
        assert!(tree == computed, "the tree is that of all heads");
        let rows = self.rows();
        self.check_order(&rows);
        self.check_currency();
        self.check_log(&rows);
        let connection = Connection::open(self.path()).expect("opens");
        check_pointers(&connection, &rows);
        check_texts(&connection, &rows, self.history);
        self.check_counts(&connection, &rows);
        for (key, row) in &rows {
            let ordered = row.ordered;
            assert!(ordered.is_none_or(|ordered| ordered.leaf != row.own_leaf(key)), "{key:?} is what was ordered");
            assert!(!row.is_ahead || ordered.is_some(), "{key:?} cannot be ahead of itself");
        }
    }

    pub(super) fn rows(&self) -> BTreeMap<Subject, Row> {
        rows(&self.mirror)
    }

    /// Nothing goes back.
    fn check_order(&mut self, rows: &BTreeMap<Subject, Row>) {
        let log = self.mirror.state.log();
        for (key, row) in rows {
            let Subject::Account(account) = key else { continue };
            let before = self.served.entry(*account).or_default();
            let stored = self.mirror.get(account).expect("readable");
            let deleted = row.held.deleted().map(|deletion| deletion.iat);
            assert!(deleted >= before.deleted, "{key:?}: a deletion is undone");
            before.deleted = deleted;
            assert_eq!(stored.is_some(), row.is_live(), "{key:?}: what is served");
            if row.removed != 0 {
                // What was only heard is forgotten with what left.
                before.version = row.held.version().copied();
            }
            let Some(stored) = stored else { continue };
            let version = stored.entry.version();
            assert!(deleted.is_none_or(|deleted| version.iat > deleted), "{key:?}: a deletion is undone");
            if let Some(earlier) = before.version.filter(|earlier| *earlier != version) {
                assert!(version.iat >= earlier.iat, "{key:?}: an older version is served");
                // Of one second, the order tells in which both were seen.
                let place = |of: &Version| {
                    let tie = row.held.ties().iter().find(|tie| tie.identity == of.identity).and_then(|tie| tie.at);
                    if row.held.version() == Some(of) { row.held.position() } else { tie }
                };
                // Places in earlier orders all have a session of zeros.
                if let (Some(now), Some(then)) = (place(&version), place(&earlier))
                    && now.session == then.session
                    && now.session == log.session.0
                    && version.iat == earlier.iat
                    && before.era == log.era
                {
                    assert!(now.serial > then.serial, "{key:?}: upstream replaced this version");
                }
            }
            (before.version, before.era) = (Some(version), log.era);
        }
    }

    /// What counts as ordered in this order is there, or was replaced there.
    fn check_currency(&self) {
        if !self.is_following() {
            return;
        }
        let upstream = rows(&self.upstream.journal);
        for account in (0..ACCOUNTS).map(|account| self.upstream.key(account)) {
            let Some(stored) = self.mirror.get(&account).expect("readable") else { continue };
            if ![Some(stored.currency.era), self.copies.era(&account)].contains(&Some(self.mirror.era())) {
                continue;
            }
            let held = upstream.get(&Subject::Account(account)).map(|row| &row.held);
            let is_there = held.is_some_and(|held| {
                held.version().is_some_and(|version| version.iat >= stored.entry.iat())
                    || held.deleted().is_some_and(|deletion| deletion.iat >= stored.entry.iat())
            });
            assert!(is_there, "{account}: upstream never had it in this order");
        }
    }

    /// The log has what the feed brought, and nothing else.
    fn check_log(&self, rows: &BTreeMap<Subject, Row>) {
        assert_eq!(chain_of(&self.mirror), self.mirror.head().chain);
        let mut newest = HashMap::new();
        for change in self.mirror.read_changes(self.mirror.floor(), 1000).expect("readable") {
            change.keys().iter().for_each(|key| _ = newest.insert(*key, change.clone()));
        }
        // What the feed still stands for has its text.
        for (key, change) in newest {
            let row = rows.get(&Subject::Account(key));
            if let (Content::Superseded { .. }, Some(row)) = (&change.content, row) {
                assert_ne!(row.row, self.mirror.state.log().id(change.serial), "{key:?} lost its text");
            }
        }
    }

    fn check_counts(&self, connection: &Connection, rows: &BTreeMap<Subject, Row>) {
        let meta = self.mirror.state.meta();
        let count = |is: fn(&Subject, &Row) -> bool| rows.iter().filter(|(key, row)| is(key, row)).count() as u64;
        let counted = (count(|_, row| row.is_ahead), count(|key, row| row.must_ask(key)));
        assert_eq!((meta.ahead, meta.doubted), counted);
        assert_eq!(schema::count_flagged(connection).expect("readable"), (meta.ahead, meta.doubted));
        check_signers(connection, rows, self.mirror.count());
        if meta.is_level && meta.doubted == 0 {
            assert_eq!(meta.confirmed, (meta.head.serial, meta.head.chain));
        }
    }

    /// What is true after the feed and a whole comparison.
    pub(super) fn check_is_level(&self) {
        let (mirror, upstream) = (self.rows(), rows(&self.upstream.journal));
        let keys: BTreeSet<_> = mirror.keys().chain(upstream.keys()).copied().collect();
        let (mut tree, mut expected) = (Tree::default(), Tree::default());
        for key in keys {
            let ours = mirror.get(&key).cloned().unwrap_or_default();
            let theirs = upstream.get(&key).cloned().unwrap_or_default();
            // One that is not known here is not stored.
            if !self.says_what_left
                && theirs.removed != 0
                && key.kind() == SubjectKind::Account
                && theirs.held.is_live()
            {
                assert!(!ours.is_live() || ours.ordered.is_some(), "{key:?} left upstream: {ours:?}");
                continue;
            }
            assert_eq!(ours.leaf(&key), theirs.leaf(&key), "{key:?}: what upstream ordered: {ours:?}");
            if ours.ordered.is_none() {
                assert_eq!(ours.own_leaf(&key), theirs.leaf(&key), "{key:?}: what is held");
            } else if key.kind() == SubjectKind::Account && ours.is_live() {
                // The feed has reached its end, so it brings nothing that is later than what upstream has.
                let is_to_come = ours.held.position().is_some_and(|at| at.session == self.mirror.head().session.0);
                assert!(ours.is_ahead || !is_to_come, "{key:?} counts as what the feed is about to bring: {ours:?}");
            }
            tree.toggle(&Toggle::between(&key, None, ours.leaf(&key)));
            expected.toggle(&Toggle::between(&key, None, theirs.leaf(&key)));
        }
        assert!(tree == expected, "the tree is upstream's");
        let meta = self.mirror.state.meta();
        assert_eq!(meta.doubted, 0);
        assert!(meta.is_level);
        assert_eq!(self.mirror.unmentioned(None, 9).expect("readable"), [], "what is served from before this order");
        self.check_followers();
    }

    /// A follower of the mirror that knows nothing gets everything from it.
    fn check_followers(&self) {
        let mut told = BTreeSet::new();
        for node in 0..=u8::MAX {
            let ask = Ask { prefix: Some(Prefix::Node(node)), ..Ask::default() };
            for difference in
                self.mirror.compare(&ask).expect("readable").expect("every state has its text").differences
            {
                match difference {
                    Difference::Nothing(key) => panic!("{key:?} was not asked for"),
                    Difference::Deletion(_, stands) => told.extend(stands.into_iter().map(Subject::Account)),
                    Difference::Change(change) => match &change.content {
                        Content::Operator(chain) => _ = told.insert(Subject::Operator(*chain.in_force().identity())),
                        Content::Activation(activation) => _ = told.insert(Subject::Activation(*activation.id())),
                        Content::Passed(item) => told.extend(item.key.as_ref().and_then(|key| Subject::parse(key))),
                        _ => told.extend(change.keys().iter().map(|key| Subject::Account(*key))),
                    },
                }
            }
        }
        let upstream = rows(&self.upstream.journal);
        for (key, row) in upstream {
            let is_told = row.leaf(&key).is_some();
            assert!(
                (row.removed != 0 && !self.says_what_left) || told.contains(&key) == is_told,
                "{key:?} is told: {}",
                !is_told
            );
        }
    }

    /// The mirror becomes a primary that serves the same.
    pub(super) async fn check_promotion(&mut self, accounts: &[AccountKey]) -> Head {
        let of = |journal: &Journal| -> Vec<_> {
            let identity = |key| journal.get(key).expect("readable").map(|stored| *stored.entry.identity());
            accounts.iter().map(identity).collect()
        };
        let (served, head) = (of(&self.mirror), self.mirror.head());
        let chain = self.mirror.operator().expect("readable");
        let standing = chain.map_or_else(Standing::default, |chain| Standing::default().after(Arc::new(chain)));
        self.mirror.close().await;
        let promoted = promote(&self.path(), &standing, self.history, ("x", 0), |found| {
            assert!(found.is_whole(), "{found:?}");
            true
        })
        .expect("promoted");
        assert_ne!(promoted.head.session, head.session);
        let verified = crate::backup::verify(&self.path(), |_, _| {}).expect("sound");
        assert_eq!((verified.head, verified.accounts), (promoted.head, promoted.accounts));
        let primary = open(&self.path()).expect("is a primary's");
        assert_eq!((of(&primary), primary.head()), (served, promoted.head));
        let (tree, computed) = primary.trees().expect("readable");
        assert!(tree == computed);
        for (key, row) in rows(&primary) {
            assert!(row.ordered.is_none() && !row.is_ahead && !row.is_doubted, "{key:?} is still an overlay");
        }
        assert_eq!(chain_of(&primary), primary.head().chain);
        primary.head()
    }
}

fn rows(journal: &Journal) -> BTreeMap<Subject, Row> {
    let mut rows = BTreeMap::new();
    journal
        .read(|connection| {
            let log = schema::meta(connection)?.log;
            SubjectKind::ALL.into_iter().try_for_each(|kind| {
                head::each_from(connection, &log, kind, &[], |key, row| {
                    rows.insert(key, row);
                    Ok(true)
                })
            })
        })
        .expect("readable");
    rows
}

/// No text outside the order is left over, and none that is needed is missing.
fn check_pointers(connection: &Connection, rows: &BTreeMap<Subject, Row>) {
    let ids: BTreeSet<i64> = connection
        .prepare("SELECT id FROM change")
        .and_then(|mut ids| ids.query_map([], |row| row.get(0))?.collect())
        .expect("readable");
    let needed: BTreeSet<i64> = rows.values().flat_map(Row::pointers).collect();
    let left: Vec<_> = ids.iter().filter(|id| **id < 0 && !needed.contains(id)).collect();
    assert!(left.is_empty(), "nobody needs {left:?}");
    for (key, row) in rows {
        let ordered = row.ordered.map_or(0, |ordered| ordered.under);
        for id in [row.row, row.deleted_row, row.removed, ordered] {
            assert!(id == 0 || id == NO_CHANGE || ids.contains(&id), "{key:?} needs {id}: {row:?}");
        }
        let once: BTreeSet<_> = row.history.iter().collect();
        assert_eq!(once.len(), row.history.len(), "{key:?}: {:?}", row.history);
        assert!(!row.history.contains(&row.row), "{key:?}: {row:?}");
    }
    let texts = |id: i64| -> Option<bool> {
        let mut kept = connection.prepare_cached("SELECT body IS NOT NULL FROM change WHERE id = ?1").expect("a query");
        kept.query_row([id], |row| row.get(0)).ok()
    };
    for (key, row) in rows.iter().filter(|(key, row)| key.kind() == SubjectKind::Account && row.row != 0) {
        assert_eq!(texts(row.row), Some(true), "{key:?}: the text of {row:?}");
    }
}

/// Of accounts and activations only the texts are kept that a head needs, and of earlier versions those of the history.
fn check_texts(connection: &Connection, rows: &BTreeMap<Subject, Row>, history: usize) {
    let texts: BTreeSet<i64> = connection
        .prepare("SELECT id FROM change WHERE kind IN (1, 3) AND op = 112 AND body IS NOT NULL")
        .and_then(|mut ids| ids.query_map([], |row| row.get(0))?.collect())
        .expect("readable");
    let mut needed = BTreeSet::new();
    for row in rows.values() {
        let beyond = row.history.len().saturating_sub(history);
        let earlier = row.history.iter().skip(beyond).copied();
        needed.extend([row.row, row.ordered.map_or(0, |ordered| ordered.under)].into_iter().chain(earlier));
    }
    let left: Vec<_> = texts.difference(&needed).collect();
    assert!(left.is_empty(), "nobody needs the texts of {left:?}: {rows:?}");
}

fn check_signers(connection: &Connection, rows: &BTreeMap<Subject, Row>, count: u64) {
    let (mut signed, mut live): (BTreeMap<[u8; 32], (u64, Digest)>, u64) = (BTreeMap::new(), 0);
    for (_, row) in rows.iter().filter(|(key, _)| key.kind() == SubjectKind::Account) {
        let Some(counted) = row.counted() else { continue };
        let (accounts, sum) = signed.entry(*counted.issuer.raw()).or_default();
        *accounts += 1;
        sum.iter_mut().zip(counted.digest).for_each(|(byte, other)| *byte ^= other);
        live += 1;
    }
    let found: BTreeMap<[u8; 32], (u64, Digest)> = connection
        .prepare("SELECT issuer, accounts, sum FROM signer WHERE accounts <> 0")
        .and_then(|mut query| query.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?.collect())
        .expect("readable");
    assert_eq!((found, count), (signed, live));
}
