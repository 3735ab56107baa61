//! The journal on a real file: order, chain, history, restarts, and files that are not what they should be.

mod deleted;
mod digests;
mod leaves;
mod life;
mod pack;
mod upstream;

use std::sync::Arc;

use nkeys::KeyPair;
use serde_json::json;

use super::{CommitError, Journal, OperatorWrite, Options, Outcome, Write};
use crate::feed::{Chain, Content, Operation};
use crate::gate::operator::{Arrival, Way};
use crate::gate::{Entry, Gate, Origin, Refusal, Trust, Via};
use crate::store::{Follower, StoreError};
use crate::testkit::{self, sign};

const NOW: i64 = 1_800_000_000;

struct Signer {
    operator: KeyPair,
    gate: Gate,
}

impl Signer {
    fn new() -> Self {
        let operator = KeyPair::new_operator();
        let jwt = sign(&testkit::operator(&operator, NOW, &[]), &operator);
        let gate = Gate::new(Some(Trust::from_operator_jwt(&jwt, NOW).expect("an operator")), None, 3600);
        Self { operator, gate }
    }

    fn entry(&self, account: &KeyPair, iat: i64, name: &str) -> Arc<Entry> {
        let claims = testkit::with(testkit::account(account, iat), json!({ "name": name }));
        let jwt = sign(&claims, &self.operator);
        Arc::new(self.gate.admit(jwt.as_bytes(), None, Via::Post, NOW).expect("admitted"))
    }

    fn delete(&self, accounts: &[&KeyPair], iat: i64) -> Write {
        let keys: Vec<String> = accounts.iter().map(|account| account.public_key()).collect();
        let jwt = sign(&testkit::delete_request(&self.operator, &keys, iat), &self.operator);
        Write::Delete(Arc::new(self.gate.admit_delete(jwt.as_bytes(), Via::Post, NOW).expect("admitted")), Via::Post)
    }
}

fn put(entry: &Arc<Entry>) -> Write {
    Write::Put(entry.clone(), Via::Post)
}

fn open(path: &std::path::Path) -> Result<Journal, StoreError> {
    Journal::open(&Options::primary(Some(path.to_owned()), 2, 2), |_, _| {})
}

/// A JWT of the operator, as a file has it.
fn offer(trust: Trust) -> Write {
    let arrival = Arrival { way: Way::File, now: trust.iat(), max_iat_ahead: 3600 };
    Write::Operator(OperatorWrite::Offer(Arc::new(trust), arrival))
}

/// Walks all changes of the log in the database and checks every link of the chain.
fn chain_of(journal: &Journal) -> Chain {
    use sha2::{Digest as _, Sha256};
    let (mut serial, mut chain) = journal.state.log().floor;
    for change in journal.read_changes(serial, 1000).expect("readable") {
        serial += 1;
        assert_eq!(change.serial, serial);
        let (operation, body) = match &change.content {
            Content::Put(entry) => (Operation::Put, *entry.digest()),
            Content::Superseded { digest, .. } => (Operation::Put, *digest),
            Content::Removed { digest, .. } => (Operation::Remove, *digest),
            Content::Delete(tombstone) => (Operation::Delete, Sha256::digest(tombstone.request()).into()),
            Content::Operator(chain) => (Operation::Put, Sha256::digest(chain.in_force().token()).into()),
            Content::Activation(activation) => (Operation::Put, *activation.digest()),
            Content::PastActivation { digest, .. } => (Operation::Put, *digest),
            Content::Forgotten { digest, .. } => (Operation::Remove, *digest),
            Content::Passed(item) => item.link().expect("what enters the chain"),
        };
        chain = chain.next(change.serial, operation, &body);
        assert_eq!(chain, change.chain, "change {}", change.serial);
    }
    chain
}

#[tokio::test]
async fn writes_are_ordered_chained_and_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (signer, account, other) = (Signer::new(), KeyPair::new_account(), KeyPair::new_account());
    let versions: Vec<_> = (0..5).map(|n| signer.entry(&account, NOW + n, "v")).collect();
    let key = *versions[0].key();
    let session;
    {
        let journal = open(&path).expect("opens");
        session = journal.head().session;
        for (n, version) in versions.iter().enumerate() {
            let serial = n as u64 + 1;
            assert_eq!(journal.commit(put(version)).await.expect("newer"), Outcome::Changed { serial });
        }
        assert_eq!(journal.commit(put(&versions[4])).await.expect("same"), Outcome::Same { serial: 5 });
        let older = journal.commit(put(&versions[3])).await.expect_err("older");
        assert!(matches!(older, CommitError::Refused(Refusal::Older { .. })), "{older}");
        journal.commit(put(&signer.entry(&other, NOW, "o"))).await.expect("first");
        assert_eq!(journal.count(), 2);
        journal.notes().set_cursor("x", 3).await;
        journal.close().await;
    }
    let journal = open(&path).expect("opens again");
    assert_eq!((journal.head().session, journal.head().serial, journal.count()), (session, 6, 2));
    assert_eq!(journal.get(&key).expect("readable").expect("held").entry.token(), versions[4].token());
    assert_eq!(journal.cursor("x").expect("readable"), Some(3));
    assert_eq!(chain_of(&journal), journal.head().chain);
    // Two versions are kept besides the current one; of the others, the digest.
    let kept: Vec<bool> = journal
        .read_changes(0, 5)
        .expect("readable")
        .iter()
        .map(|change| matches!(change.content, Content::Put(_)))
        .collect();
    assert_eq!(kept, [false, false, true, true, true]);
}

#[tokio::test]
async fn a_head_that_was_edited_decides_about_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (signer, account) = (Signer::new(), KeyPair::new_account());
    let (held, offered) = (signer.entry(&account, NOW, "held"), signer.entry(&account, NOW + 1, "offered"));
    let journal = open(&path).expect("opens");
    journal.commit(put(&held)).await.expect("first");
    let database = || rusqlite::Connection::open(&path).expect("opens");
    for damage in ["ties = x'00'", "iat = iat - 1", "deleted = 5", "flags = 2", "leaf = x''", "row = 'text'"] {
        let column = damage.split(' ').next().expect("a column");
        let was: rusqlite::types::Value =
            database().query_row(&format!("SELECT {column} FROM head"), [], |row| row.get(0)).expect("a row");
        database().execute_batch(&format!("UPDATE head SET {damage}")).expect("damaged");
        let refused = journal.commit(put(&offered)).await.expect_err("damaged").to_string();
        assert!(refused.contains("sum of a row"), "{damage}: {refused}");
        database().execute(&format!("UPDATE head SET {column} = ?1"), [was]).expect("as it was");
    }
    journal.commit(put(&offered)).await.expect("the head is sound again");
}

#[tokio::test]
async fn one_request_deletes_all_its_accounts_or_none() {
    let (signer, a, b) = (Signer::new(), KeyPair::new_account(), KeyPair::new_account());
    let journal = Journal::open(&Options::primary(None, 2, 1), |_, _| {}).expect("opens");
    let first = signer.entry(&a, NOW, "a");
    journal.commit(put(&first)).await.expect("new");
    journal.commit(put(&signer.entry(&b, NOW + 5, "b"))).await.expect("new");
    let older = journal.commit(signer.delete(&[&a, &b], NOW + 1)).await.expect_err("b is newer");
    assert!(matches!(older, CommitError::Refused(Refusal::DeleteOlder { .. })), "{older}");
    assert_eq!(journal.count(), 2);
    let request = signer.delete(&[&a, &b, &KeyPair::new_account()], NOW + 5);
    assert_eq!(journal.commit(request.clone()).await.expect("deleted"), Outcome::Changed { serial: 3 });
    assert_eq!(journal.commit(request).await.expect("again"), Outcome::Same { serial: 3 });
    assert_eq!(journal.count(), 0);
    assert!(journal.get(first.key()).expect("readable").is_none());
    let old = journal.commit(put(&signer.entry(&a, NOW + 5, "again"))).await.expect_err("not after the deletion");
    assert!(matches!(old, CommitError::Refused(Refusal::Deleted { .. })), "{old}");
    journal.commit(put(&signer.entry(&a, NOW + 6, "again"))).await.expect("signed after the deletion");
    assert_eq!(journal.count(), 1);
    assert_eq!(chain_of(&journal), journal.head().chain);
}

#[tokio::test]
async fn of_two_versions_of_one_second_the_first_never_comes_back() {
    let (signer, account) = (Signer::new(), KeyPair::new_account());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (first, second, third) =
        (signer.entry(&account, NOW, "1"), signer.entry(&account, NOW, "2"), signer.entry(&account, NOW, "3"));
    let journal = open(&path).expect("opens");
    for version in [&first, &second, &third] {
        journal.commit(put(version)).await.expect("unseen");
    }
    journal.close().await;
    let journal = open(&path).expect("opens again");
    for version in [&first, &second] {
        let back = journal.commit(put(version)).await.expect_err("replaced");
        assert!(matches!(back, CommitError::Refused(Refusal::Replaced)), "{back}");
    }
    assert_eq!(journal.get(first.key()).expect("readable").expect("held").entry.token(), third.token());
}

#[test]
fn files_that_are_no_journal_of_ours_are_refused_with_path_and_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let refused = || open(&path).expect_err("not ours").to_string();

    std::fs::write(&path, "this is no database, however long it is made to be").expect("written");
    assert!(refused().contains("restore it from a backup"), "{}", refused());

    std::fs::remove_file(&path).expect("removed");
    let foreign = rusqlite::Connection::open(&path).expect("opens");
    foreign.execute_batch("CREATE TABLE x (y)").expect("created");
    assert!(refused().contains("another program"), "{}", refused());

    foreign.execute_batch("PRAGMA application_id = 1312903985; PRAGMA user_version = 99").expect("set");
    let text = refused();
    assert!(text.contains("newer version") && text.contains("journal.sqlite"), "{text}");
}

#[tokio::test]
async fn a_journal_whose_end_was_edited_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let signer = Signer::new();
    let journal = open(&path).expect("opens");
    for _ in 0..3 {
        journal.commit(put(&signer.entry(&KeyPair::new_account(), NOW, "a"))).await.expect("new");
    }
    journal.close().await;
    drop(journal);
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection.execute("DELETE FROM change WHERE serial = 3", []).expect("deleted");
    drop(connection);
    let text = open(&path).expect_err("edited").to_string();
    assert!(text.contains("last change"), "{text}");
}

#[tokio::test]
async fn a_body_that_rotted_is_not_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let signer = Signer::new();
    let entry = signer.entry(&KeyPair::new_account(), NOW, "a");
    let journal = open(&path).expect("opens");
    journal.commit(put(&entry)).await.expect("new");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection.execute("UPDATE change SET body = zeroblob(length(body))", []).expect("changed");
    let text = journal.get(entry.key()).expect_err("damaged").to_string();
    assert!(text.contains(&entry.key().text()) && text.contains("journal.sqlite"), "{text}");
    // The feed goes on without it, and the same JWT puts it back.
    let changes = journal.read_changes(0, 10).expect("readable");
    assert!(matches!(changes[0].content, Content::Superseded { .. }));
    assert_eq!(journal.commit(put(&entry)).await.expect("the same"), Outcome::Same { serial: 1 });
    assert_eq!(journal.get(entry.key()).expect("readable").expect("held").entry.token(), entry.token());
    assert_eq!(chain_of(&journal), journal.head().chain);
}

#[tokio::test]
async fn replicas_are_remembered_and_are_no_part_of_the_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let journal = open(&path).expect("opens");
    let follower = |n: u8, heard| Follower {
        id: [n; 16],
        name: format!("replica {n}"),
        mode: "mirror".into(),
        version: "2.0.0".into(),
        address: "10.0.0.7".into(),
        is_lasting: true,
        position: Some(journal.head()),
        below: 3,
        is_leaving: false,
        heard,
    };
    let before = journal.head();
    let one = |n, follower| vec![([n; 16], follower)];
    for n in 1..4 {
        journal.notes().set_followers(one(n, Some(follower(n, 1)))).await;
    }
    journal.notes().set_followers(one(2, Some(follower(2, 2)))).await;
    journal.notes().set_followers(one(3, None)).await;
    let expected = [follower(1, 1), follower(2, 2)];
    journal.close().await;
    let journal = open(&path).expect("opens again");
    assert_eq!(journal.followers().expect("readable"), expected);
    assert_eq!(journal.head(), before);
}

#[tokio::test]
async fn nothing_is_acknowledged_once_the_file_was_taken_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (signer, account) = (Signer::new(), KeyPair::new_account());
    let (first, second) = (signer.entry(&account, NOW, "a"), signer.entry(&account, NOW + 1, "b"));
    let journal = open(&path).expect("opens");
    journal.commit(put(&first)).await.expect("committed");
    let aside = folder.path().join("aside");
    std::fs::rename(&path, &aside).expect("moved");
    let refused = journal.commit(put(&second)).await.expect_err("no place");
    assert!(refused.to_string().contains("removed or replaced"), "{refused}");
    assert!(journal.is_lost());
    assert_eq!(journal.get(first.key()).expect("readable").expect("held").serial, 1);
    std::fs::rename(&aside, &path).expect("moved back");
    journal.commit(put(&second)).await.expect("committed");
    assert!(!journal.is_lost());
}

#[tokio::test]
async fn nothing_is_acknowledged_once_a_log_was_taken_away_and_nothing_is_lost() {
    for (ending, exchanged) in [("-wal", false), ("-wal", true), ("-shm", false), ("-shm", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.sqlite");
        let (signer, account) = (Signer::new(), KeyPair::new_account());
        let (first, second) = (signer.entry(&account, NOW, "a"), signer.entry(&account, NOW + 1, "b"));
        let journal = open(&path).expect("opens");
        journal.commit(put(&first)).await.expect("committed");
        let log = folder.path().join(format!("journal.sqlite{ending}"));
        std::fs::remove_file(&log).expect("removed");
        if exchanged {
            std::fs::write(&log, "").expect("made");
        }
        // A server to which nobody writes notices, too.
        let began = std::time::Instant::now();
        while !journal.is_lost() {
            assert!(began.elapsed() < std::time::Duration::from_secs(10), "{ending}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let refused = journal.commit(put(&second)).await.expect_err("no place");
        assert!(refused.to_string().contains("removed or replaced"), "{ending}: {refused}");
        assert_eq!(journal.get(first.key()).expect("readable").expect("held").serial, 1, "{ending}");
        // As after a crash: nothing is written back at the end. The journal is without its log from now on.
        let saved = |number: usize| {
            let copy = folder.path().join(format!("copy-{number}.sqlite"));
            std::fs::copy(&path, &copy).expect("copied");
            open(&copy).is_ok_and(|copy| copy.get(first.key()).is_ok_and(|held| held.is_some()))
        };
        assert!((0..100).any(|number| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            saved(number)
        }));
    }
}

#[tokio::test]
async fn what_left_a_folder_is_gone_until_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (signer, account) = (Signer::new(), KeyPair::new_account());
    let (first, second) = (signer.entry(&account, NOW, "a"), signer.entry(&account, NOW + 1, "b"));
    let key = *first.key();
    let journal = open(&folder.path().join("journal.sqlite")).expect("opens");
    let write = |entry: &Arc<Entry>| Write::Put(entry.clone(), Via::EditedFile);
    journal.commit(write(&second)).await.expect("committed");
    assert!(matches!(journal.commit(Write::Remove(key, Via::EditedFile)).await, Ok(Outcome::Changed { serial: 2 })));
    assert!(matches!(journal.commit(Write::Remove(key, Via::EditedFile)).await, Ok(Outcome::Same { .. })));
    assert!(journal.get(&key).expect("readable").is_none());
    assert_eq!(journal.count(), 0);
    assert!(matches!(journal.status(&key), Ok(super::AccountStatus::Removed)));
    let older = journal.commit(write(&first)).await.expect_err("it left with a newer one");
    assert!(matches!(older, CommitError::Refused(Refusal::Older { .. })), "{older}");
    assert!(matches!(journal.commit(write(&second)).await, Ok(Outcome::Changed { serial: 3 })));
    assert_eq!(journal.get(&key).expect("readable").expect("back").serial, 3);
    assert_eq!(journal.count(), 1);
    assert_eq!(journal.versions(&key).expect("readable").len(), 1, "the same text is one version");
    chain_of(&journal);
}

#[tokio::test]
async fn the_operators_jwt_is_a_change_and_what_was_withdrawn_is_known_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (operator, key) = (KeyPair::new_operator(), KeyPair::new_operator());
    let trust = |keys: &[&KeyPair], iat: i64| {
        let jwt = sign(&testkit::operator(&operator, iat, keys), &operator);
        Arc::new(Trust::from_operator_jwt(&jwt, NOW).expect("an operator"))
    };
    let put = |trust: &Trust| offer(Trust::from_operator_jwt(trust.text(), NOW).expect("an operator"));
    let (first, second) = (trust(&[&key], NOW), trust(&[], NOW + 10));
    let journal = open(&path).expect("opens");
    assert!(journal.operator().expect("readable").is_none());
    let outcomes = journal.commit_all(vec![put(&first), put(&second), put(&second), put(&first)]).await;
    assert!(matches!(outcomes[..2], [Ok(Outcome::Changed { serial: 1 }), Ok(Outcome::Changed { serial: 2 })]));
    assert!(matches!(outcomes[2], Ok(Outcome::Same { serial: 2 })), "{outcomes:?}");
    assert!(matches!(outcomes[3], Err(CommitError::Refused(Refusal::Operator(_)))), "{outcomes:?}");
    journal.close().await;
    let journal = open(&path).expect("opens again");
    let chain = journal.operator().expect("readable").expect("there is one");
    assert_eq!((chain.in_force().text(), chain.len(), chain.origin()), (second.text(), 1, Origin::Identity));
    let withdrawn = journal.withdrawn().expect("readable");
    let key = crate::key::PublicKey::parse(&key.public_key()).expect("a key");
    assert_eq!(withdrawn.into_iter().collect::<Vec<_>>(), [(key, NOW + 10)]);
    assert_eq!(chain_of(&journal), journal.head().chain);
    assert_eq!(journal.count(), 0, "it is no account");
}

#[tokio::test]
async fn what_a_signing_key_signed_is_read_back_with_the_links_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (operator, key) = (KeyPair::new_operator(), KeyPair::new_operator());
    let jwt = |iat: i64, name: &str, signer: &KeyPair| {
        sign(&testkit::with(testkit::operator(&operator, iat, &[&key]), json!({ "name": name })), signer)
    };
    let trust = |jwt: &str| Trust::from_operator_jwt(jwt, NOW).expect("an operator");
    let (replaced, held) = (jwt(NOW, "replaced", &operator), jwt(NOW, "held", &operator));
    let journal = open(&path).expect("opens");
    for jwt in [&replaced, &held] {
        journal.commit(offer(trust(jwt))).await.expect("a change");
    }
    journal.close().await;
    drop(journal);
    let gate = Arc::new(Gate::new(Some(trust(&held)), None, 3600));
    let journal = Journal::open_under(&Options::primary(Some(path), 2, 1), gate, |_, _| {}).expect("opens again");
    let chain = journal.operator().expect("readable").expect("there is one");
    assert!(chain.knows(trust(&replaced).version()), "what it replaced stays away");
    let link = jwt(NOW + 1, "link", &key);
    journal.commit(offer(trust(&link))).await.expect("a change");
    let changes = journal.read_changes(2, 10).expect("readable");
    let Content::Operator(chain) = &changes[0].content else { panic!("{changes:?}") };
    assert_eq!(chain.links().map(|link| link.text()).collect::<Vec<_>>(), [&*held, &*link]);
    assert_eq!(chain_of(&journal), journal.head().chain);
}

#[tokio::test]
async fn a_journal_of_an_earlier_format_is_refused_with_what_to_do_and_what_does_not_go_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    open(&path).expect("opens").close().await;
    for format in 1..=7 {
        let old = rusqlite::Connection::open(&path).expect("opens");
        old.execute_batch(&format!("PRAGMA user_version = {format}")).expect("set");
        drop(old);
        let refused = open(&path).expect_err("too old").to_string();
        for told in [&*format!("its format {format} "), "`export`", "`import`", "deletions", "history"] {
            assert!(refused.contains(told), "format {format}: no word of {told}: {refused}");
        }
    }
}

#[tokio::test]
async fn live_accounts_are_counted_by_who_signed_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (ours, theirs) = (Signer::new(), Signer::new());
    let journal = open(&path).expect("opens");
    let (a, b, c) = (KeyPair::new_account(), KeyPair::new_account(), KeyPair::new_account());
    journal.commit(put(&ours.entry(&a, NOW, "a"))).await.expect("new");
    journal.commit(put(&theirs.entry(&b, NOW, "b"))).await.expect("new");
    journal.commit(put(&theirs.entry(&c, NOW, "c"))).await.expect("new");
    journal.commit(put(&theirs.entry(&a, NOW + 1, "a"))).await.expect("newer");
    journal.commit(theirs.delete(&[&c], NOW + 1)).await.expect("deleted");
    let standing = ours.gate.standing();
    assert_eq!(journal.withheld(&standing), 2);
    journal.close().await;
    let journal = open(&path).expect("opens again");
    assert_eq!((journal.withheld(&standing), journal.withheld(&theirs.gate.standing())), (2, 0));
    let named = journal.withheld_accounts(&standing, 10).expect("readable");
    let mut keys: Vec<_> = named.iter().map(|(account, _)| account.text()).collect();
    let mut expected = vec![a.public_key(), b.public_key()];
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
    assert_eq!(journal.withheld_accounts(&standing, 1).expect("readable").len(), 1);
}

#[tokio::test]
async fn a_query_for_one_account_waits_for_none_that_reads_much() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(&folder.path().join("journal.sqlite")).expect("opens");
    let entry = Signer::new().entry(&KeyPair::new_account(), NOW, "one");
    journal.commit(put(&entry)).await.expect("committed");
    let (began, begun) = std::sync::mpsc::channel();
    let (ends, end) = std::sync::mpsc::channel::<()>();
    let end = parking_lot::Mutex::new(end);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                journal.read_bulk(|_| {
                    began.send(()).expect("somebody listens");
                    // Until the sender has gone.
                    let _ = end.lock().recv();
                    Ok(())
                })
            });
        }
        begun.recv().expect("one has begun");
        begun.recv().expect("another one has begun");
        assert!(journal.get(entry.key()).expect("readable").is_some());
        drop(ends);
    });
    assert_eq!(begun.try_iter().count(), 4);
}
