//! A journal that was cut off, or of which a bit has changed: it is refused with its path and what to do, or what is
//! damaged is not served, and the rest is.
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Account, Launch, Operator, Server, now, until};

/// A journal that was closed, and what it holds.
struct Sound {
    operator: Operator,
    journal: Vec<u8>,
    held: Vec<(Account, String)>,
    gone: Account,
}

fn journal(dir: &Path) -> PathBuf {
    dir.join(".nats-account-server/journal.sqlite")
}

impl Sound {
    async fn new() -> Self {
        let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
        let mut server = Server::primary_in(&operator, dir.path()).await;
        let mut held = Vec::new();
        for number in 0..60 {
            let account = Account::new();
            // Some are longer than a page of the database.
            let bulk = if number % 10 == 0 { 9_000 } else { 10 };
            for age in [200, 100] {
                let jwt = operator.sign(&account.with_bulk(now() - age, bulk));
                server.http.post(&account.path(), jwt.clone()).await.expect(200);
                held.retain(|(other, _): &(Account, String)| other.key() != account.key());
                if age == 100 {
                    held.push((Account::new(), jwt));
                }
            }
            held.last_mut().unwrap().0 = account;
        }
        let (gone, _) = held.pop().unwrap();
        server.http.delete(&gone.path(), operator.delete_request(&[&gone], 50)).await.expect(200);
        server.signal("TERM");
        assert!(server.exit().await.success());
        Self { operator, journal: fs::read(journal(dir.path())).unwrap(), held, gone }
    }

    /// A folder with nothing but this journal.
    fn folder(&self, journal_bytes: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(journal(dir.path()).parent().unwrap()).unwrap();
        fs::write(journal(dir.path()), journal_bytes).unwrap();
        dir
    }

    fn launch(&self, dir: &Path) -> Launch {
        Launch::primary(&self.operator).dir(dir)
    }

    /// What becomes of a journal that was damaged. `what`: how.
    async fn outcome(&self, what: &str, bytes: &[u8]) -> Outcome {
        let dir = self.folder(bytes);
        let file = journal(dir.path());
        let server = match self.launch(dir.path()).try_start().await {
            Ok(server) => server,
            Err((status, text)) => {
                assert_eq!(status.code(), Some(1), "{what}: {text}");
                assert!(text.contains(file.to_str().unwrap()) && !text.contains("panicked"), "{what}: {text}");
                let remedies = ["restore it from a backup", "run that version", "move it away"];
                assert!(remedies.iter().any(|remedy| text.contains(remedy)), "{what}: {text}");
                return Outcome::Refused;
            }
        };
        let mut statuses = HashMap::new();
        for (account, jwt) in &self.held {
            let reply = server.http.get(&account.path()).await;
            assert!(reply.status != 200 || reply.body == *jwt, "{what}: something else is served: {}", reply.body);
            *statuses.entry(reply.status).or_insert(0) += 1;
        }
        let gone = server.http.get(&self.gone.path()).await;
        assert_ne!(gone.status, 200, "{what}: a deleted account is served");
        let new = Account::new();
        let pushed = server.http.post(&new.path(), self.operator.account(&new, 10)).await;
        assert!([200, 500].contains(&pushed.status), "{what}: {}", pushed.body);
        assert!(!server.log().contains("panicked"), "{what}: {}", server.log());
        let failed = statuses.iter().filter(|(status, _)| ![200, 404].contains(*status)).map(|(_, times)| times).sum();
        Outcome::Served { failed, missing: statuses.remove(&404).unwrap_or(0) }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The server did not start, and said why and what to do.
    Refused,
    /// It did. So many accounts were not served, and of so many it knew nothing.
    Served { failed: usize, missing: usize },
}

/// With one bit of one byte changed.
fn flipped(bytes: &[u8], at: usize, bit: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes
}

/// Where a text is. There may be a copy in unused room.
fn positions(bytes: &[u8], text: &str) -> Vec<usize> {
    let windows = bytes.windows(text.len()).enumerate();
    let found: Vec<usize> = windows.filter(|(_, window)| *window == text.as_bytes()).map(|(at, _)| at).collect();
    assert!(!found.is_empty(), "it is in the journal");
    found
}

#[tokio::test]
async fn a_journal_that_was_cut_off_is_refused() {
    let sound = Sound::new().await;
    assert_eq!(sound.outcome("sound", &sound.journal).await, Outcome::Served { failed: 0, missing: 0 });
    let length = sound.journal.len();
    for (what, to) in [
        ("half", length / 2),
        ("half, and not of whole pages", length / 2 + 1_000),
        ("all but the last page", length - 4_096),
        ("one page", 4_096),
        ("less than one page", 1_000),
        ("less than a header", 50),
        ("one byte", 1),
        ("nothing", 0),
    ] {
        assert_eq!(sound.outcome(what, &sound.journal[..to]).await, Outcome::Refused, "{what}");
    }
}

#[tokio::test]
async fn an_empty_journal_is_refused_and_left_as_it_is_with_its_log() {
    let sound = Sound::new().await;
    let dir = sound.folder(b"");
    let log = journal(dir.path()).with_extension("sqlite-wal");
    fs::write(&log, "the log of a journal that was cut off").unwrap();
    let (code, text) = sound.launch(dir.path()).flag("-hp", "127.0.0.1:0").fail().await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it is empty") && text.contains("restore it from a backup"), "{text}");
    assert_eq!(fs::metadata(journal(dir.path())).unwrap().len(), 0);
    assert!(log.exists(), "what a repair may need is not removed");
}

#[tokio::test]
async fn a_first_start_that_was_killed_is_no_damage() {
    let operator = Operator::new();
    for _ in 0..15 {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join(".nats-account-server");
        // As soon as anything of a journal is there.
        let is_begun = || {
            let mut entries = fs::read_dir(&state).into_iter().flatten().flatten();
            entries.any(|entry| entry.file_name().to_string_lossy().starts_with("journal"))
        };
        Launch::primary(&operator).dir(dir.path()).flag("-hp", "127.0.0.1:0").kill_when(is_begun);
        let (server, account) = (Server::primary_in(&operator, dir.path()).await, Account::new());
        server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    }
}

#[tokio::test]
async fn a_body_that_rotted_is_not_served_others_are_and_a_push_or_its_file_puts_it_back() {
    let sound = Sound::new().await;
    let short = sound.held.iter().position(|(_, jwt)| jwt.len() < 2_000).unwrap();
    let long = sound.held.iter().position(|(_, jwt)| jwt.len() > 9_000).unwrap();
    let mut bytes = sound.journal.clone();
    for number in [short, long] {
        // In its signature: what comes before is much the same in all.
        let jwt = &sound.held[number].1;
        for at in positions(&bytes, &jwt[jwt.len() - 60..jwt.len() - 40]) {
            bytes = flipped(&bytes, at, 1);
        }
    }
    assert_eq!(sound.outcome("two bodies", &bytes).await, Outcome::Served { failed: 2, missing: 0 });
    let dir = sound.folder(&bytes);
    let server = sound.launch(dir.path()).start().await;
    for (number, (account, jwt)) in sound.held.iter().enumerate() {
        let reply = server.http.get(&account.path()).await;
        let is_damaged = number == short || number == long;
        assert_eq!((reply.status, reply.body == *jwt), if is_damaged { (503, false) } else { (200, true) });
    }
    let file = journal(dir.path());
    for (account, _) in [&sound.held[short], &sound.held[long]] {
        let is_told = |line: &str| line.contains(&account.key()) && line.contains(file.to_str().unwrap());
        // There is one such line a second, whatever clients ask for.
        until("the log names the account", || async {
            server.http.get(&account.path()).await.expect(503);
            server.log().lines().any(is_told)
        })
        .await;
        let log = server.log();
        let line = log.lines().find(|line| is_told(line)).unwrap();
        assert!(line.contains("restore the journal from a backup, or push the JWT again"), "{line}");
    }
    let told = || server.log().matches("cannot look up the JWT").count();
    let before = told();
    for _ in 0..100 {
        server.http.get(&sound.held[short].0.path()).await.expect(503);
    }
    assert!(told() - before < 20, "{}", server.log());
    let (account, jwt) = &sound.held[short];
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    assert_eq!(server.http.get(&account.path()).await.expect(200).body, *jwt);
    let (account, jwt) = &sound.held[long];
    fs::write(dir.path().join(format!("{}.jwt", account.key())), jwt).unwrap();
    until("its file puts it back", || async { server.http.get(&account.path()).await.body == *jwt }).await;
}

#[tokio::test]
async fn a_name_that_changed_in_the_description_of_the_tables_is_found_before_anything_is_served() {
    let sound = Sound::new().await;
    // What is read first, and what only a part that starts later reads.
    for (table, column) in [("head", "identity"), ("cursor", "serial"), ("toggle", "toggles"), ("follower", "name")] {
        let mut bytes = sound.journal.clone();
        for begin in positions(&sound.journal, &format!("CREATE TABLE {table} (")) {
            let at = begin + positions(&sound.journal[begin..], &format!(" {column} "))[0] + 1;
            bytes = flipped(&bytes, at, 0);
        }
        let outcome = sound.outcome(&format!("{table}.{column}"), &bytes).await;
        assert_eq!(outcome, Outcome::Refused, "{table}.{column}");
    }
}

/// Flips bits one by one, and looks that nothing wrong is ever served.
async fn flips(sound: &Sound, places: impl Iterator<Item = usize>) {
    let (mut refused, mut served, mut failed, mut missing) = (0, 0, 0, 0);
    for at in places {
        let bit = rand::random_range(0..8);
        match sound.outcome(&format!("bit {bit} of byte {at}"), &flipped(&sound.journal, at, bit)).await {
            Outcome::Refused => refused += 1,
            Outcome::Served { failed: f, missing: m } => {
                served += 1;
                failed += f;
                missing += m;
            }
        }
    }
    println!("{refused} refused, {served} served, in which {failed} accounts failed and {missing} were missing");
}

#[tokio::test]
async fn a_bit_of_the_header_that_changed_serves_nothing_wrong() {
    let sound = Sound::new().await;
    flips(&sound, 0..100).await;
}

/// The format's version is in these bytes of the header: a bit of it makes another format of the journal.
#[tokio::test]
async fn a_bit_of_the_version_that_changed_serves_nothing_wrong() {
    let sound = Sound::new().await;
    for (at, bit) in (60..64).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        sound.outcome(&format!("bit {bit} of byte {at}"), &flipped(&sound.journal, at, bit)).await;
    }
}

#[tokio::test]
async fn a_bit_anywhere_that_changed_serves_nothing_wrong() {
    let sound = Sound::new().await;
    let flipped = std::env::var("FLIPS").map_or(40, |flips| flips.parse().expect("a number of flips"));
    let length = sound.journal.len();
    flips(&sound, (0..flipped).map(move |_| rand::random_range(100..length))).await;
}

#[tokio::test]
async fn a_journal_that_was_moved_away_takes_its_log_out_of_the_way_of_the_next() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut server = Server::primary_in(&operator, dir.path()).await;
    let (account, gone) = (Account::new(), Account::new());
    let jwt = operator.account(&account, 100);
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    server.http.post(&gone.path(), operator.account(&gone, 100)).await.expect(200);
    let path = |account: &Account| dir.path().join(format!("{}.jwt", account.key()));
    until("the files are written", || async { path(&account).exists() && path(&gone).exists() }).await;
    server.kill();
    let side = |ending: &str| journal(dir.path()).with_extension(format!("sqlite{ending}"));
    let log = fs::read(side("-wal")).unwrap();
    assert!(!log.is_empty());
    fs::rename(journal(dir.path()), dir.path().join("aside")).unwrap();
    fs::remove_file(path(&gone)).unwrap();
    let server = server.restart().await;
    assert_eq!(server.http.get(&account.path()).await.expect(200).body, jwt);
    server.http.get(&gone.path()).await.expect(404);
    assert_eq!(fs::read(side("-wal.old")).unwrap(), log);
}

#[tokio::test]
async fn a_log_that_is_removed_ends_pushes_and_readiness_and_loses_nothing() {
    for ending in ["-wal", "-shm"] {
        let (operator, dir, account) = (Operator::new(), tempfile::tempdir().unwrap(), Account::new());
        let server = Server::primary_in(&operator, dir.path()).await;
        let jwt = operator.account(&account, 100);
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        let mut log = journal(dir.path()).into_os_string();
        log.push(ending);
        fs::remove_file(&log).unwrap();
        until("it is not ready", || async { server.http.get("/readyz").await.status == 503 }).await;
        let ready = server.http.get("/readyz").await.body;
        assert!(ready.contains("a file of the journal was removed or replaced"), "{ready}");
        let refused = server.http.post(&Account::new().path(), operator.account(&account, 50)).await;
        assert_eq!(refused.status, 400, "what is wrong with a push is still said");
        let refused = server.http.post(&account.path(), operator.account(&account, 50)).await.expect(500);
        assert!(refused.body.contains("was removed or replaced"), "{}", refused.body);
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, jwt);
        server.logs("everything that was acknowledged is in the database itself").await;
        // The token file must not be what brings it back.
        fs::remove_file(dir.path().join(format!("{}.jwt", account.key()))).unwrap();
        let server = server.restart().await;
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, jwt, "{ending}");
    }
}

#[tokio::test]
async fn no_answer_names_a_path() {
    let sound = Sound::new().await;
    let dir = sound.folder(&sound.journal);
    let server = sound.launch(dir.path()).env("NAS_STORE__CACHE_BYTES", "1").start().await;
    // What is read from now on is damaged; the header and what is in memory is not.
    let file = fs::OpenOptions::new().write(true).open(journal(dir.path())).unwrap();
    let length = file.metadata().unwrap().len();
    for page in 1..length / 4096 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 4096], page * 4096).unwrap();
    }
    fs::remove_dir_all(dir.path().join(".nats-account-server/making")).unwrap();
    let (account, other) = (&sound.held[0].0, Account::new());
    let mut failures = 0;
    let feed = "/jwt/v1/changes?session=00000000000000000000000000000000&after=0&wait=0s";
    let mut paths: Vec<String> = sound.held.iter().map(|(account, _)| account.path()).collect();
    for suffix in ["/history", "/history?serial=1", "/propagation"] {
        paths.push(format!("{}{suffix}", account.path()));
    }
    let others = ["/jwt/v1/accounts/", "/jwt/v1/pack", "/jwt/v1/digests", "/jwt/v1/followers", "/jwt/v1/ahead"];
    let more = ["/jwt/v1/operator", "/jwt/v1/help", "/readyz?verbose", "/metrics", "/api/v1/servers", "/nowhere", feed];
    paths.extend(others.into_iter().chain(more).map(str::to_owned));
    let mut replies = Vec::new();
    for path in &paths {
        if let Ok(reply) = server.http.try_get(path).await {
            replies.push((path.clone(), reply));
        }
    }
    for account in [account, &other] {
        let pushed = sound.operator.account(account, 1);
        replies.push((format!("POST {}", account.path()), server.http.post(&account.path(), pushed).await));
        let request = sound.operator.delete_request(&[account], 0);
        replies.push((format!("DELETE {}", account.path()), server.http.delete(&account.path(), request).await));
    }
    fs::remove_file(journal(dir.path())).unwrap();
    let pushed = sound.operator.account(&other, 1);
    replies.push(("POST without a journal".to_owned(), server.http.post(&other.path(), pushed).await));
    replies.push(("/readyz?verbose".to_owned(), server.http.get("/readyz?verbose").await));
    let name = dir.path().to_str().unwrap();
    for (path, reply) in replies {
        failures += usize::from(reply.status >= 500);
        let headers = format!("{:?}", reply.headers);
        assert!(!reply.body.contains(name) && !headers.contains(name), "{path}: {}", reply.body);
        assert!(!reply.body.contains("journal.sqlite"), "{path}: {}", reply.body);
    }
    assert!(failures > 10, "the test breaks nothing: {failures}\n{}", server.log());
    assert!(server.log().contains(name), "the log names it");
}
