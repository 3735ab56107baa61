//! What is written is read back; what is damaged is not, and takes nothing else with it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use nkeys::{KeyPair, KeyPairType};

use super::super::{Follower, FollowerChange};
use super::*;
use crate::feed::digest::Prefix;
use crate::gate::{Deletion, Held, Mark, Origin, Position, Replaced, Tie, Trust, Version};
use crate::testkit;

fn key(n: u32) -> AccountKey {
    let mut raw = [0; 32];
    raw[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b1).to_be_bytes());
    raw[4..8].copy_from_slice(&n.to_be_bytes());
    AccountKey::from_raw(raw)
}

fn operator_key(n: u8) -> PublicKey {
    PublicKey::from_raw(Kind::Operator, [n; 32])
}

fn position(serial: u64) -> Position {
    Position { session: [5; 16], serial }
}

/// Everything that can be remembered of an account.
fn seen(n: u8) -> Seen {
    let version = Version { iat: 100 + i64::from(n), identity: [n; 32], issuer: operator_key(1) };
    let ties = vec![Tie { identity: [77; 32], at: Some(position(3)) }, Tie { identity: [78; 32], at: None }];
    let marks = vec![Mark { issuer: operator_key(9), iat: -5, reach: i64::MIN }];
    let deleted = Some(Deletion { iat: 90, issuer: operator_key(2) });
    Seen {
        held: Held::restore_placed(Some(version), Some(position(u64::from(n))), ties, deleted, marks),
        heard: (n % 5 == 1).then_some(Version { iat: 400, identity: [n + 1; 32], issuer: operator_key(3) }),
        deleted_by: Some([4; 32]),
        removed: n % 2 == 1,
        ahead: n % 3 == 1,
    }
}

fn copy(n: u32) -> Copy {
    let at = n.is_multiple_of(2).then_some(position(u64::from(n)));
    Copy { key: key(n), jwt: format!("jwt {n} {}", "x".repeat(900)).into(), at, stretch: 4, confirmed: -1 }
}

fn proof() -> Proof {
    Proof { identity: [8; 32], body: "a request".into(), at: Some(position(7)) }
}

fn stand(serial: u64) -> Stand {
    let position = Some(Head { session: Session([5; 16]), serial, chain: Chain([6; 32]) });
    let confirmed = position.map(|position| Head { serial: serial / 2, chain: Chain([7; 32]), ..position });
    Stand { position, confirmed, stretch: 4, joined: 2, heard: 1_000, is_mirror: true }
}

fn batch(count: u32) -> Batch {
    Batch {
        stand: stand(u64::from(count)),
        operator: Some(Operator { chain: chain(), withdrawn: vec![(operator_key(3), 50)] }),
        seen: (0..count).map(|n| (key(n), seen(u8::try_from(n % 200).unwrap_or(0)))).collect(),
        copies: (0..count).map(|n| (key(n), Some(copy(n)))).collect(),
        proofs: (0..count.min(9)).map(|n| ((ProofKind::Delete, *key(n).raw()), Some(proof()))).collect(),
    }
}

/// Three operator JWTs, each signed by a key that the one before lists, and what they replaced.
fn chain() -> Arc<OperatorChain> {
    let keys: Vec<_> = [7, 8, 9].map(|n| KeyPair::new_from_raw(KeyPairType::Operator, [n; 32]).expect("a key")).into();
    let link = |iat: i64, signer: &KeyPair| {
        let listed: Vec<_> = keys.iter().collect();
        let jwt = testkit::sign(&testkit::operator(&keys[0], iat, &listed), signer);
        Arc::new(Trust::from_operator_jwt(&jwt, iat).expect("an operator"))
    };
    let links = vec![link(10, &keys[0]), link(20, &keys[1]), link(30, &keys[2])];
    let replaced = vec![Replaced { iat: 11, identity: [1; 32] }, Replaced { iat: 12, identity: [2; 32] }];
    Arc::new(OperatorChain::restore(Origin::Trusted, links, replaced).expect("it has links"))
}

/// What can be compared of an operator.
fn shown(operator: Option<Operator>) -> Option<impl PartialEq + std::fmt::Debug> {
    let Operator { chain, withdrawn } = operator?;
    let links: Vec<_> = chain.links().map(|link| link.text().to_owned()).collect();
    Some((links, chain.origin(), chain.replaced().to_vec(), withdrawn))
}

fn opened(folder: &Path) -> (Snapshot, FoundSnapshot) {
    Snapshot::open(Some(folder)).expect("it opens")
}

fn all_copies(snapshot: &Snapshot) -> Vec<Copy> {
    let (mut after, mut all) = (0, Vec::new());
    while let Some((copies, last)) = snapshot.copies(after, 7) {
        after = last;
        all.extend(copies);
    }
    all
}

/// A snapshot of so many accounts, all in its one file.
fn filled(folder: &Path, count: u32) -> PathBuf {
    let (snapshot, found) = opened(folder);
    assert_eq!(found, FoundSnapshot::Nothing);
    snapshot.write(&batch(count)).expect("written");
    folder.join(FILE)
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path(), 20);
    let (snapshot, found) = opened(folder.path());
    assert_eq!(found, FoundSnapshot::Whole);
    assert_eq!(snapshot.stand(), Some(stand(20)));
    assert_eq!(shown(snapshot.operator()), shown(batch(0).operator));
    for n in 0..20_u8 {
        assert_eq!(snapshot.seen(&key(n.into())), Some(seen(n)));
        assert_eq!(snapshot.copy(&key(n.into())), Some(copy(n.into())));
    }
    assert_eq!((snapshot.seen(&key(20)), snapshot.copy(&key(20))), (None, None));
    assert_eq!(all_copies(&snapshot).len(), 20);
    assert_eq!(snapshot.proof(&(ProofKind::Delete, *key(1).raw())), Some(proof()));
    assert_eq!(snapshot.proof(&(ProofKind::Activation, *key(1).raw())), None);
    assert_eq!(snapshot.ahead().len(), (0..20).filter(|n| n % 3 == 1).count());
    let prefix = Prefix::Node(key(1).raw()[0]);
    assert!(snapshot.seen_under(prefix).iter().any(|(found, _)| *found == key(1)));
    assert!(snapshot.seen_under(prefix).iter().all(|(found, _)| found.raw()[0] == key(1).raw()[0]));
    assert_eq!(
        snapshot.proofs_under(ProofKind::Delete, prefix).len(),
        snapshot.seen_under(prefix).iter().filter(|(found, _)| (0..9).any(|n| key(n) == *found)).count()
    );
    let walk = snapshot.walk().expect("something is in it");
    snapshot
        .write(&Batch {
            stand: stand(20),
            operator: None,
            seen: vec![(key(50), seen(1))],
            copies: vec![],
            proofs: vec![],
        })
        .expect("written");
    let mut walked = 0;
    walk.seen(|_, _| walked += 1).expect("readable");
    assert_eq!(walked, 20, "as it was");

    let later = Copy { stretch: 9, jwt: "another".into(), ..copy(3) };
    let copies = vec![(key(3), Some(later.clone())), (key(4), None)];
    let seen = vec![(key(5), Seen::default())];
    snapshot
        .write(&Batch {
            stand: stand(21),
            operator: None,
            seen,
            copies,
            proofs: vec![((ProofKind::Delete, *key(1).raw()), None)],
        })
        .expect("written");
    assert_eq!((snapshot.copy(&key(3)), snapshot.copy(&key(4))), (Some(later), None));
    assert_eq!(snapshot.seen(&key(5)), Some(Seen::default()));
    assert_eq!(snapshot.proof(&(ProofKind::Delete, *key(1).raw())), None);
    assert_eq!(snapshot.stand(), Some(stand(21)));
    assert_eq!(shown(snapshot.operator()), shown(batch(0).operator));
}

#[test]
fn a_temporary_one_remembers_what_was_seen() {
    let (snapshot, _) = Snapshot::open(None).expect("it opens");
    assert!(!snapshot.is_lasting());
    snapshot.write(&batch(1_000)).expect("written");
    assert_eq!(snapshot.seen(&key(999)), Some(seen(199)));
    assert_eq!(snapshot.copy(&key(1)), None);
}

fn follower(n: u8) -> Follower {
    Follower {
        id: [n; 16],
        name: format!("leaf {n}"),
        mode: "cache".into(),
        version: "2.0.0".into(),
        address: "10.0.0.7".into(),
        is_lasting: n.is_multiple_of(2),
        position: (!n.is_multiple_of(3)).then_some(Head {
            session: Session([5; 16]),
            serial: 9,
            chain: Chain([n; 32]),
        }),
        below: u64::from(n),
        is_leaving: !n.is_multiple_of(2),
        heard: 1_000,
    }
}

/// Makes a database what format 1 had. `seen`: the rows in it whose sums are to be right.
fn to_format_1(connection: &Connection, seen: &[(AccountKey, Seen)]) {
    for (key, seen) in seen {
        let sum = row::sum_in_format_1(key, seen);
        connection.execute("UPDATE seen SET sum = ?2 WHERE key = ?1", params![key.raw(), sum]).expect("there");
    }
    for (table, column) in [
        ("seen", "heard"),
        ("seen", "heard_identity"),
        ("seen", "heard_issuer"),
        ("meta", "confirmed"),
        ("meta", "confirmed_chain"),
    ] {
        // A database that was made by hand may lack it.
        let _ = connection.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}"));
    }
    connection
        .execute_batch(
            "DROP TABLE IF EXISTS operator_link; DROP TABLE IF EXISTS operator_replaced;
             DROP TABLE IF EXISTS identity; DROP TABLE IF EXISTS follower;
             CREATE TABLE operator (id INTEGER PRIMARY KEY CHECK (id = 1), jwt TEXT NOT NULL, replaced BLOB NOT NULL);
             PRAGMA user_version = 1",
        )
        .expect("as format 1 has it");
}

#[test]
fn a_snapshot_of_the_first_format_gets_an_identity_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Connection::open(folder.path().join(FILE)).expect("opens");
    old.execute_batch(schema::TABLES).expect("tables");
    old.execute_batch("PRAGMA application_id = 1312903986").expect("set");
    to_format_1(&old, &[]);
    let meta = "INSERT INTO meta (id, mode, session, serial, chain, stretch, joined, heard)
                VALUES (1, 'mirror', ?1, 7, ?2, 4, 2, 1000)";
    old.execute(meta, ([5_u8; 16], [6_u8; 32])).expect("a state row");
    drop(old);
    let (snapshot, found) = opened(folder.path());
    assert_eq!((found, snapshot.identity()), (FoundSnapshot::Whole, None));
    assert_eq!(snapshot.stand(), Some(Stand { confirmed: None, ..stand(7) }));
    snapshot.set_identity(&[1; 16]).expect("written");
    snapshot.set_identity(&[2; 16]).expect("written");
    drop(snapshot);
    assert_eq!(opened(folder.path()).0.identity(), Some([2; 16]));
}

#[test]
fn who_is_behind_is_remembered_and_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let (snapshot, _) = opened(folder.path());
    let all: Vec<FollowerChange> = (1..6).map(|n| ([n; 16], Some(follower(n)))).collect();
    snapshot.set_followers(&all).expect("written");
    let moved = Follower { heard: 2_000, ..follower(1) };
    snapshot.set_followers(&[(moved.id, Some(moved.clone())), ([2; 16], None)]).expect("written");
    drop(snapshot);
    let (snapshot, _) = opened(folder.path());
    assert_eq!(snapshot.followers(), [moved, follower(3), follower(4), follower(5)]);
}

#[test]
fn a_file_that_is_no_snapshot_is_moved_away() {
    let database = |made: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        Connection::open(folder.path().join(FILE)).and_then(|made_by| made_by.execute_batch(made)).expect("made");
        folder
    };
    let file = |content: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), content).expect("written");
        folder
    };
    for folder in [
        file(b"x"),
        file(&[b'x'; 5_000]),
        file(&[b"SQLite format 3\0", &[0xff; 5_000][..]].concat()),
        database("CREATE TABLE of_somebody (else_ INTEGER)"),
    ] {
        let (snapshot, found) = opened(folder.path());
        let FoundSnapshot::MovedAway(away) = found else { panic!("{found:?}") };
        assert!(away.exists());
        snapshot.write(&batch(3)).expect("written");
        assert_eq!(snapshot.copy(&key(2)), Some(copy(2)));
    }
    let newer = database("PRAGMA application_id = 1312903986; PRAGMA user_version = 3");
    let error = Snapshot::open(Some(newer.path())).expect_err("newer").to_string();
    assert!(error.contains("newer version"), "{error}");
}

#[test]
fn a_snapshot_of_the_first_format_begins_a_chain_with_its_operator_jwt() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = filled(folder.path(), 20);
    let anchor = chain().anchor().clone();
    let old = Connection::open(file).expect("opens");
    to_format_1(&old, &[]);
    old.execute("INSERT INTO operator VALUES (1, ?1, ?2)", params![anchor.text(), [[1_u8; 32], [2; 32]].concat()])
        .expect("as format 1 has it");
    drop(old);
    let (snapshot, found) = opened(folder.path());
    assert_eq!(found, FoundSnapshot::Whole);
    let Operator { chain, withdrawn } = snapshot.operator().expect("it is there");
    assert_eq!((chain.in_force().text(), chain.len(), chain.origin()), (anchor.text(), 1, Origin::Identity));
    assert_eq!(chain.replaced(), [1, 2].map(|n| Replaced { iat: anchor.iat(), identity: [n; 32] }));
    assert_eq!(withdrawn, [(operator_key(3), 50)]);
    assert_eq!(all_copies(&snapshot).len(), 20);
}

#[test]
fn what_format_1_says_counts_as_heard_unless_upstream_gave_it_a_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let (snapshot, _) = opened(folder.path());
    let version = Version { iat: 7, identity: [7; 32], issuer: operator_key(1) };
    let deleted = Some(Deletion { iat: 5, issuer: operator_key(1) });
    let placed = Seen { heard: None, ..seen(1) };
    let unplaced = Seen { held: Held::restore(Some(version), vec![[9; 32]], deleted, vec![]), ..Seen::default() };
    let removed = Seen { removed: true, ..unplaced.clone() };
    let seen = vec![(key(1), placed.clone()), (key(2), unplaced), (key(3), removed.clone())];
    let batch = |seen| Batch { stand: stand(1), operator: None, seen, copies: vec![], proofs: vec![] };
    snapshot.write(&batch(seen.clone())).expect("written");
    drop(snapshot);
    let before = Connection::open(folder.path().join(FILE)).expect("there");
    to_format_1(&before, &seen);
    drop(before);

    let (snapshot, found) = opened(folder.path());
    assert_eq!(found, FoundSnapshot::Whole);
    assert_eq!(snapshot.seen(&key(1)), Some(placed.clone()));
    let heard = Seen { heard: Some(version), held: Held::restore(None, vec![], deleted, vec![]), ..Seen::default() };
    assert_eq!(snapshot.seen(&key(2)), Some(heard.clone()));
    assert_eq!(snapshot.seen(&key(3)), Some(removed));
    snapshot.write(&batch(vec![(key(2), heard.clone()), (key(4), placed.clone())])).expect("written");
    assert_eq!((snapshot.seen(&key(2)), snapshot.seen(&key(4))), (Some(heard), Some(placed)));
    assert_eq!((snapshot.is_damaged(), snapshot.lost()), (false, 0));
}

#[test]
fn a_snapshot_that_was_cut_off_gives_what_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = filled(folder.path(), 400);
    let whole = std::fs::metadata(&file).expect("there").len();
    File::options().write(true).open(&file).and_then(|open| open.set_len(whole / 4096 * 3 / 4 * 4096)).expect("cut");
    survives(folder.path(), 400, FoundSnapshot::CutOff);
}

#[test]
fn damage_anywhere_takes_nothing_else_with_it() {
    for seed in 0..6_u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let file = filled(folder.path(), 400);
        let pages = std::fs::metadata(&file).expect("there").len() / 4096;
        // Not the first page, which says what the file is.
        let at = (1 + seed * 37 % (pages - 1)) * 4096;
        let mut open = File::options().read(true).write(true).open(&file).expect("there");
        let mut page = vec![0; 4096];
        open.seek(SeekFrom::Start(at)).and_then(|_| open.read_exact(&mut page)).expect("read");
        match seed % 3 {
            0 => page.fill(0),
            1 => page.fill(0xff),
            // A few bits in the middle of it, which SQLite does not notice.
            _ => page[2_000..2_040].iter_mut().for_each(|byte| *byte ^= 0x55),
        }
        open.seek(SeekFrom::Start(at)).and_then(|_| open.write_all(&page)).expect("written");
        drop(open);
        survives(folder.path(), 400, FoundSnapshot::Whole);
    }
}

/// What is read of a damaged snapshot is what was written, and after the next writing it is whole again, with most of
/// what was there.
fn survives(folder: &Path, count: u32, expected: FoundSnapshot) {
    let (snapshot, found) = opened(folder);
    assert!(found == expected || matches!(found, FoundSnapshot::MovedAway(_)), "{found:?}");
    let is_right = |snapshot: &Snapshot| {
        let (mut of_seen, mut of_copies) = (0, 0);
        for n in 0..count {
            if let Some(read) = snapshot.seen(&key(n)) {
                assert_eq!(read, seen(u8::try_from(n % 200).unwrap_or(0)));
                of_seen += 1;
            }
            if let Some(read) = snapshot.copy(&key(n)) {
                assert_eq!(read, copy(n));
                of_copies += 1;
            }
        }
        (of_seen, of_copies)
    };
    is_right(&snapshot);
    let _ = all_copies(&snapshot);
    let more =
        Batch { stand: stand(500), operator: None, seen: vec![(key(count), seen(1))], copies: vec![], proofs: vec![] };
    let (identity, followers) = (snapshot.identity(), snapshot.followers());
    snapshot.write(&more).expect("written");
    // In a damaged file they may lie in a page that cannot be read.
    assert!(snapshot.identity().is_none_or(|id| Some(id) == identity) && snapshot.followers().len() <= followers.len());
    let (of_seen, of_copies) = is_right(&snapshot);
    assert_eq!(snapshot.stand(), Some(stand(500)));
    assert_eq!(snapshot.seen(&key(count)), Some(seen(1)));
    let check: String = snapshot
        .read(|connection| connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map(Some))
        .expect("checked");
    assert_eq!(check, "ok");
    assert!(found != FoundSnapshot::Whole || of_seen + of_copies > count, "{of_seen} and {of_copies}");
}
