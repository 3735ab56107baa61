//! Every kind of strange file: at start and while the server runs, with a JWT in the journal and without one.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::file;
use crate::support::{Account, Launch, Operator, Server, now, until};

/// Makes a strange file for an account.
type Make = fn(&Operator, &Account, &Path) -> io::Result<()>;

/// A kind of file, what is said about it, and how it is made.
struct Kind {
    name: &'static str,
    said: &'static str,
    make: Make,
}

const fn kind(name: &'static str, said: &'static str, make: Make) -> Kind {
    Kind { name, said, make }
}

/// What no server can use.
const STRANGE: [Kind; 17] = [
    kind("empty", "is empty", |_, _, path| fs::write(path, "")),
    kind("white space", "is refused: ", |_, _, path| fs::write(path, "\n\n")),
    kind("torn", "is refused: ", |operator, account, path| fs::write(path, &operator.account(account, 1)[..300])),
    kind("no text", "neither UTF-8 nor UTF-16", |_, _, path| fs::write(path, [0x80, 0x81].repeat(100))),
    kind("large", "which is more than any JWT", |_, _, path| fs::write(path, vec![b'x'; 3 << 20])),
    kind("sparse and huge", "is 1073741824 bytes long", |_, _, path| fs::File::create(path)?.set_len(1 << 30)),
    kind("a folder", "is not a regular file", |_, _, path| fs::create_dir(path)),
    kind("a folder with something in it", "is not a regular file", |_, _, path| {
        fs::create_dir(path)?;
        fs::write(path.join("inside"), "something")
    }),
    kind("a pipe", "is not a regular file", |_, _, path| {
        let made = Command::new("mkfifo").arg(path).status()?;
        if made.success() { Ok(()) } else { Err(io::Error::other("mkfifo")) }
    }),
    kind("a link to nothing", "is a link to nothing", |_, _, path| symlink("nowhere", path)),
    kind("a link to itself", "cannot be read: ", |_, _, path| symlink(path, path)),
    kind("a ring of links", "cannot be read: ", |_, _, path| {
        let other = path.with_extension("other");
        symlink(path, &other)?;
        symlink(other, path)
    }),
    kind("a link to what never ends", "is not a regular file", |_, _, path| symlink("/dev/zero", path)),
    kind("foreign", "is not a key of the configured operator", |_, account, path| {
        fs::write(path, Operator::new().account(account, 1))
    }),
    kind("signed by itself", "is refused: ", |_, account, path| fs::write(path, account.sign(&account.claims(now())))),
    kind("another account's", "but was sent for", |operator, _, path| {
        fs::write(path, operator.account(&Account::new(), 1))
    }),
    kind("with a line end inside", "is refused: ", |operator, account, path| {
        fs::write(path, operator.account(account, 1).replacen('.', ".\n", 1))
    }),
];

/// What a folder may have kept since long ago, and nobody may bring in today.
const UNTIMELY: [Kind; 2] = [
    kind("expired", "claim is expired", |operator, account, path| {
        let mut claims = account.claims(now() - 5);
        claims["exp"] = (now() - 2).into();
        fs::write(path, operator.sign(&claims))
    }),
    kind("dated in the future", "is refused: ", |operator, account, path| {
        fs::write(path, operator.sign(&account.claims(now() + 100_000)))
    }),
];

/// What is older than what is held.
const OLDER: Kind =
    kind("older", "stale JWT", |operator, account, path| fs::write(path, operator.account(account, 5_000)));

/// The kind that root can read, and so cannot be tried by root.
const UNREADABLE: Kind = kind("unreadable", "cannot be read: ", |operator, account, path| {
    fs::write(path, operator.account(account, 1))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o000))
});

fn kinds(of: &'static [Kind]) -> Vec<&'static Kind> {
    let readable = rustix::process::geteuid().is_root();
    if readable {
        println!("skipped: a file that cannot be read, because root can read all");
    }
    of.iter().chain((!readable).then_some(&UNREADABLE)).collect()
}

/// What there is in an account's place, without following links, and without waiting for a pipe.
fn there(path: &Path) -> String {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_file() && meta.len() < 1 << 20 => {
            fs::read(path).map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        Ok(meta) => format!("{:?}, {} bytes", meta.file_type(), meta.len()),
        Err(error) => error.to_string(),
    }
}

/// The line about a file that says what is wrong with it, and what became of it, once it has been written.
async fn is_said(server: &Server, path: &Path, kind: &Kind, done: &str) -> String {
    let parts = ["[WRN]", path.to_str().unwrap(), kind.said, done];
    let find = || {
        let log = server.log();
        log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    };
    until(&format!("{parts:?} are said of {}", kind.name), || async { find().is_some() }).await;
    find().unwrap()
}

async fn is_served(server: &Server, account: &Account, jwt: &str, kind: &Kind) {
    assert_eq!(server.http.get(&account.path()).await.expect(200).body, jwt, "{}", kind.name);
}

/// Where a strange file has a JWT of ours to make room for, it goes to the refused things, and ours is put back.
async fn ours_is_back(server: &Server, account: &Account, jwt: &str, path: &Path, kind: &Kind) {
    let line = is_said(server, path, kind, "it was moved to ").await;
    until(&format!("ours is put back for {}", kind.name), || async { there(path) == jwt }).await;
    is_served(server, account, jwt, kind).await;
    let aside = line.split("it was moved to ").nth(1).unwrap().split(", and what").next().unwrap();
    assert!(Path::new(aside).symlink_metadata().is_ok(), "{}: {aside}", kind.name);
}

/// Puts something strange in the place of each JWT of ours.
fn replace_all(operator: &Operator, dir: &Path, kinds: &[&'static Kind], held: &[(Account, String)]) {
    for (kind, (account, _)) in kinds.iter().zip(held) {
        replace(&file(dir, account), operator, account, kind);
    }
}

/// Where each of them lay, ours is back.
async fn all_are_back(server: &Server, dir: &Path, kinds: &[&'static Kind], held: &[(Account, String)]) {
    for (kind, (account, jwt)) in kinds.iter().zip(held) {
        ours_is_back(server, account, jwt, &file(dir, account), kind).await;
    }
}

/// Accounts that were pushed, and whose files are there.
async fn held(server: &Server, operator: &Operator, dir: &Path, kinds: &[&'static Kind]) -> Vec<(Account, String)> {
    let mut held = Vec::new();
    for _ in kinds {
        let account = Account::new();
        let jwt = operator.account(&account, 1_000);
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        held.push((account, jwt));
    }
    until("all files are written", || async { held.iter().all(|(account, jwt)| there(&file(dir, account)) == *jwt) })
        .await;
    held
}

fn replace(path: &Path, operator: &Operator, account: &Account, kind: &Kind) {
    fs::remove_file(path).unwrap();
    (kind.make)(operator, account, path).unwrap();
}

#[tokio::test]
async fn what_is_there_at_a_first_start_is_named_and_left_and_so_it_is_while_running() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let kinds = kinds(&STRANGE);
    let make = |kind: &Kind| {
        let account = Account::new();
        let path = file(dir.path(), &account);
        (kind.make)(&operator, &account, &path).unwrap();
        let before = there(&path);
        (account, path, before)
    };
    let at_start: Vec<_> = kinds.iter().map(|kind| make(kind)).collect();
    let server = Server::primary_in(&operator, dir.path()).await;
    let while_running: Vec<_> = kinds.iter().map(|kind| make(kind)).collect();
    for (kind, (account, path, before)) in kinds.iter().zip(&at_start).chain(kinds.iter().zip(&while_running)) {
        is_said(&server, path, kind, "it is left as it is").await;
        server.http.get(&account.path()).await.expect(404);
        assert_eq!(there(path), *before, "{}", kind.name);
    }
    // A push makes room for itself.
    for (kind, (account, path, _)) in kinds.iter().zip(&at_start).chain(kinds.iter().zip(&while_running)) {
        let jwt = operator.account(account, 500);
        server.http.post(&account.path(), jwt.clone()).await.expect(200);
        ours_is_back(&server, account, &jwt, path, kind).await;
    }
}

#[tokio::test]
async fn what_is_dropped_over_a_jwt_of_ours_is_moved_away_and_ours_is_put_back() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut kinds = kinds(&STRANGE);
    kinds.extend(UNTIMELY.iter().chain(Some(&OLDER)));
    let server = Server::primary_in(&operator, dir.path()).await;
    let held = held(&server, &operator, dir.path(), &kinds).await;
    replace_all(&operator, dir.path(), &kinds, &held);
    all_are_back(&server, dir.path(), &kinds, &held).await;
}

#[tokio::test]
async fn what_took_the_place_of_a_jwt_of_ours_during_a_stop_is_moved_away_at_the_start() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let mut kinds = kinds(&STRANGE);
    kinds.extend(UNTIMELY.iter().chain(Some(&OLDER)));
    let mut server = Server::primary_in(&operator, dir.path()).await;
    let held = held(&server, &operator, dir.path(), &kinds).await;
    server.signal("TERM");
    assert!(server.exit().await.success());
    replace_all(&operator, dir.path(), &kinds, &held);
    let server = server.restart().await;
    for (kind, (account, jwt)) in kinds.iter().zip(&held) {
        // Whoever asks is not kept waiting for that.
        is_served(&server, account, jwt, kind).await;
    }
    all_are_back(&server, dir.path(), &kinds, &held).await;
}

#[tokio::test]
async fn what_is_refused_is_moved_away_also_if_the_state_is_on_another_disk() {
    // Memory is a file system of its own on every Linux.
    let Ok(state) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: there is no /dev/shm");
        return;
    };
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let kinds = kinds(&STRANGE);
    let server = Launch::primary(&operator).dir(dir.path()).path("NAS_STORE__STATE_DIR", state.path()).start().await;
    let held = held(&server, &operator, dir.path(), &kinds).await;
    replace_all(&operator, dir.path(), &kinds, &held);
    all_are_back(&server, dir.path(), &kinds, &held).await;
}

#[tokio::test]
async fn what_a_folder_kept_of_old_is_served_and_a_line_end_is_no_part_of_a_jwt() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let old: Vec<(Account, String)> = UNTIMELY
        .iter()
        .map(|kind| {
            let account = Account::new();
            (kind.make)(&operator, &account, &file(dir.path(), &account)).unwrap();
            let jwt = fs::read_to_string(file(dir.path(), &account)).unwrap();
            (account, jwt)
        })
        .collect();
    let ended = |age: i64| {
        let account = Account::new();
        let jwt = operator.account(&account, age);
        fs::write(file(dir.path(), &account), format!("{jwt}\r\n\n")).unwrap();
        (account, jwt)
    };
    let at_start = ended(100);
    let server = Server::primary_in(&operator, dir.path()).await;
    for (account, jwt) in &old {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, *jwt);
    }
    let while_running = ended(50);
    for (account, jwt) in [&at_start, &while_running] {
        until("it is served", || async { server.http.get(&account.path()).await.body == *jwt }).await;
    }
    // Brought in while the server runs, they are refused.
    for kind in &UNTIMELY {
        let account = Account::new();
        let path = file(dir.path(), &account);
        (kind.make)(&operator, &account, &path).unwrap();
        is_said(&server, &path, kind, "it is left as it is").await;
        server.http.get(&account.path()).await.expect(404);
    }
}
