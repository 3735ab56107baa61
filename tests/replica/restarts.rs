//! A replica that starts again: it has its copies, its place on the feed, and all that it has seen.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Account, Answer, FakePrimary, Launch, Operator, Server, until};
use crate::{fetches, known};

fn in_folder(operator: &Operator, primary: &str, folder: &Path) -> Launch {
    Launch::replica(operator, primary).dir(folder)
}

fn store(folder: &Path) -> std::path::PathBuf {
    folder.join(".nats-account-server/journal.sqlite")
}

/// Stops a server, which writes down what it knows.
pub(crate) async fn ends(mut server: Server) {
    server.signal("TERM");
    server.exit().await;
}

/// Waits until so many JWTs are in the store of a replica that runs.
pub(crate) async fn has_stored(folder: &Path, count: i64) {
    until("the JWTs are in the store", || async {
        let open = rusqlite::Connection::open_with_flags(store(folder), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
        let texts = "SELECT count(*) FROM head WHERE kind = 1 AND row <> 0";
        open.and_then(|file| file.query_row(texts, [], |row| row.get::<_, i64>(0))).is_ok_and(|kept| kept >= count)
    })
    .await;
}

#[tokio::test]
async fn it_serves_what_it_kept_with_its_primary_gone() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let replica = in_folder(&operator, &primary.url, folder.path()).start().await;
    replica.follows().await;
    let known = known(&operator, &primary, &replica, 20).await;
    primary.kill();
    let mut replica = replica.stop_and_start().await;
    for (account, jwt) in &known {
        let asked = Instant::now();
        let reply = replica.http.get(&account.path()).await.expect(200);
        assert_eq!(reply.body, *jwt);
        assert!(asked.elapsed() < Duration::from_millis(1_500), "answered after {:?}", asked.elapsed());
        assert!(!reply.header("age").is_empty());
    }
    replica.http.get(&Account::new().path()).await.expect(503);
    let ready = replica.http.get("/readyz?verbose").await.expect(200).body;
    assert!(ready.contains("was last heard") && ready.contains("[+] store: "), "{ready}");
    // And again after a crash, without anything new.
    replica.kill();
    let replica = replica.restart().await;
    for (account, jwt) in &known {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
}

#[tokio::test]
async fn it_goes_on_where_it_stopped_and_asks_for_nothing_that_did_not_change() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let mut replica = in_folder(&operator, &primary.url, folder.path()).start().await;
    replica.follows().await;
    let known = known(&operator, &primary, &replica, 20).await;
    let deleted = Account::new();
    primary.http.post(&deleted.path(), operator.account(&deleted, 900)).await.expect(200);
    replica.http.get(&deleted.path()).await.expect(200);
    replica.signal("TERM");
    replica.exit().await;
    let newer = operator.account(&known[0].0, 1);
    primary.http.post(&known[0].0.path(), newer.clone()).await.expect(200);
    primary.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 0)).await.expect(200);
    let replica = replica.restart().await;
    replica.follows().await;
    assert_eq!(replica.http.get(&known[0].0.path()).await.expect(200).body, newer);
    for (account, jwt) in &known[1..] {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    assert_eq!(fetches(&replica).await, 0.0, "the feed said what changed");
    replica.http.get(&deleted.path()).await.expect(404);
}

#[tokio::test]
async fn it_does_not_go_back_behind_what_an_earlier_process_saw() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let (account, evicted) = (Account::new(), Account::new());
    let [old, newer] = [operator.account(&account, 100), operator.account(&account, 50)];
    let seen = newer.clone();
    let primary = FakePrimary::without_feed(move |_| Answer::new(200, seen.clone())).await;
    let launch = in_folder(&operator, &primary.url, folder.path()).env("NAS_REPLICA__TTL", "100ms");
    let mut replica = launch.start_unready().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, newer);
    has_stored(folder.path(), 1).await;
    replica.kill();
    primary.now_answers(move |_| Answer::new(200, old.clone()));
    let replica = replica.restart().await;
    assert_eq!(replica.http.get(&account.path()).await.expect(200).body, newer);
    until("the older one is offered", || async {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, newer);
        replica.http.metric("refused_total", "path=\"upstream\",reason=\"older\"").await > 0.0
    })
    .await;
    replica.http.get(&evicted.path()).await.expect(503);
}

#[tokio::test]
async fn a_copy_in_the_store_passes_the_gate_before_it_is_served() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let replica = in_folder(&operator, &primary.url, folder.path()).start().await;
    let known = known(&operator, &primary, &replica, 3).await;
    ends(replica).await;
    // The same folder under another operator: nothing in it is his.
    primary.kill();
    let other = Operator::new();
    let other_key = other.key();
    let replica =
        in_folder(&other, &primary.url, folder.path()).flag("--change-operator", other_key).start_unready().await;
    replica.logs("nothing that the former one signed will be served").await;
    for (account, _) in &known {
        replica.http.get(&account.path()).await.expect(503);
    }
}

#[tokio::test]
async fn a_damaged_store_is_reported_and_the_sound_part_served() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let replica = in_folder(&operator, &primary.url, folder.path()).start().await;
    replica.follows().await;
    let known = known(&operator, &primary, &replica, 60).await;
    primary.kill();
    let mut replica = replica;
    replica.signal("TERM");
    replica.exit().await;
    let file = store(folder.path());
    let whole = fs::metadata(&file).unwrap().len();
    // More pages at its end could be all that has copies in it: where they lie depends on what was written when.
    File::options().write(true).open(&file).unwrap().set_len(whole - 2 * 4096).unwrap();
    let replica = replica.restart().await;
    replica.logs("it was cut off").await;
    until("what is sound is served", || async {
        let mut served = 0;
        for (account, jwt) in &known {
            let reply = replica.http.get(&account.path()).await;
            match reply.status {
                200 => assert_eq!(reply.body, *jwt),
                status => assert_eq!(status, 503),
            }
            served += usize::from(reply.status == 200);
        }
        served > known.len() / 2
    })
    .await;
    let ready = replica.http.get("/readyz?verbose").await.body;
    assert!(ready.contains("it was found damaged"), "{ready}");
    replica.logs("was brought to a new file").await;
    let asides = || fs::read_dir(file.parent().unwrap()).unwrap().flatten().map(|entry| entry.file_name());
    let asides = || asides().filter(|name| name.to_string_lossy().starts_with("journal.sqlite.damaged-")).count();
    // With its log, if SQLite had one.
    let before = asides();
    assert!(before > 0);
    // One that is no store at all is moved away, and nothing stops.
    ends(replica).await;
    for junk in ["not what it was".to_owned(), "x".repeat(50_000)] {
        fs::write(&file, junk).unwrap();
        let replica = in_folder(&operator, &primary.url, folder.path()).start_unready().await;
        replica.logs("was moved to").await;
        replica.http.get(&known[0].0.path()).await.expect(503);
        ends(replica).await;
    }
    assert!(asides() > before);
}

#[tokio::test]
async fn a_damaged_text_is_never_served_and_comes_again() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let url = primary.url.clone();
    let launch = || in_folder(&operator, &url, folder.path()).env("NAS_REPLICA__MODE", "mirror");
    let replica = launch().start().await;
    replica.follows().await;
    let known = known(&operator, &primary, &replica, 3).await;
    has_stored(folder.path(), 3).await;
    ends(replica).await;
    let (account, jwt) = &known[0];
    // Other bytes of the same length, as a disk may return them.
    let edit = rusqlite::Connection::open(store(folder.path())).unwrap();
    let text = jwt.replacen("eyJ0", "eyJ1", 1);
    assert_eq!(
        edit.execute("UPDATE change SET body = CAST(?1 AS BLOB) WHERE body = CAST(?2 AS BLOB)", [&text, jwt]).unwrap(),
        1
    );
    drop(edit);
    let replica = launch().start_unready().await;
    until("the text came again from the primary", || async {
        let reply = replica.http.get(&account.path()).await;
        assert!(reply.body == *jwt || reply.status != 200, "{reply:?}");
        reply.status == 200
    })
    .await;
    ends(replica).await;
    let replica = launch().start().await;
    until("it is in the store again", || async {
        let open = rusqlite::Connection::open(store(folder.path())).unwrap();
        let count = "SELECT count(*) FROM head JOIN change ON change.id = head.row WHERE body = CAST(?1 AS BLOB)";
        open.query_row(count, [jwt], |row| row.get::<_, i64>(0)).unwrap() == 1
    })
    .await;
    ends(replica).await;
    primary.kill();
    let replica = launch().start_unready().await;
    for (account, jwt) in &known {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, *jwt);
    }
}

#[tokio::test]
async fn a_deletion_outlives_a_damaged_store() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let launch = in_folder(&operator, &primary.url, folder.path()).env("NAS_REPLICA__MODE", "mirror");
    let replica = launch.start().await;
    replica.follows().await;
    let known = known(&operator, &primary, &replica, 2).await;
    let deleted = &known[0].0;
    let old = (deleted.path(), known[0].1.clone());
    primary.http.delete(&deleted.path(), operator.delete_request(&[deleted], 0)).await.expect(200);
    until("the deletion arrives", || async { replica.http.get(&deleted.path()).await.status == 404 }).await;
    primary.kill();
    let mut replica = replica;
    replica.signal("TERM");
    replica.exit().await;
    // As a process leaves it that has found damage.
    fs::write(store(folder.path()).with_extension("sqlite.damaged"), "").unwrap();
    let behind = FakePrimary::without_feed(move |path| match path.ends_with(&old.0) {
        true => Answer::new(200, old.1.clone()),
        false => Answer::new(404, ""),
    })
    .await;
    let launch = in_folder(&operator, &behind.url, folder.path()).env("NAS_REPLICA__MODE", "mirror");
    let replica = launch.start().await;
    replica.logs("was brought to a new file").await;
    assert_eq!(replica.http.get(&known[1].0.path()).await.expect(200).body, known[1].1);
    until("the deletion covers the old one", || async {
        let status = replica.http.get(&deleted.path()).await.status;
        assert_ne!(status, 200, "what was deleted does not come back");
        status == 404
    })
    .await;
}

#[tokio::test]
async fn the_operator_that_was_pinned_stays_pinned() {
    let (operator, liar, folder) = (Operator::new(), Operator::new(), tempfile::tempdir().unwrap());
    let mut primary = Server::primary(&operator).await;
    let launch = Launch::default().flag("-primary", &primary.url).dir(folder.path());
    let replica = launch.start().await;
    replica.logs("is trusted because the primary").await;
    let known = known(&operator, &primary, &replica, 1).await;
    has_stored(folder.path(), 1).await;
    drop(replica);
    primary.kill();
    let another = Server::primary(&liar).await;
    let (account, _) = &known[0];
    another.http.post(&account.path(), liar.account(account, 0)).await.expect(200);
    let replica = Launch::default().flag("-primary", &another.url).dir(folder.path()).start().await;
    until("the other operator's JWT is offered", || async {
        assert_eq!(replica.http.get(&account.path()).await.expect(200).body, known[0].1);
        replica.http.metric("refused_total", "path=\"upstream\",reason=\"untrusted\"").await > 0.0
    })
    .await;
}

#[tokio::test]
async fn what_an_old_replica_left_in_the_folder_is_taken_in() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let (good, foreign) = (Account::new(), Account::new());
    let jwt = operator.account(&good, 10);
    fs::write(folder.path().join(format!("{}.jwt", good.key())), &jwt).unwrap();
    let lie = Operator::new().account(&foreign, 10);
    fs::write(folder.path().join(format!("{}.jwt", foreign.key())), lie).unwrap();
    let replica = in_folder(&operator, "http://127.0.0.1:1", folder.path()).start_unready().await;
    until("it is served", || async { replica.http.get(&good.path()).await.status == 200 }).await;
    assert_eq!(replica.http.get(&good.path()).await.expect(200).body, jwt);
    replica.http.get(&foreign.path()).await.expect(503);
    replica.logs(&format!("{}.jwt is not imported", foreign.key())).await;
}

#[tokio::test]
async fn a_second_replica_on_the_same_folder_does_not_start() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let launch = in_folder(&operator, "http://127.0.0.1:1", folder.path());
    let _first = launch.clone().start_unready().await;
    let (code, log) = launch.fail().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("is in use by process"), "{log}");
    let missing = tempfile::tempdir().unwrap();
    let (code, log) = in_folder(&operator, "http://127.0.0.1:1", missing.path())
        .env("NAS_STORE__REQUIRE_EXISTING", "true")
        .fail()
        .await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("store.require_existing is set"), "{log}");
}
