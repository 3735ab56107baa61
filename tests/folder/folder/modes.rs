//! Who else on the machine may read, write and lock what the server makes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{file, holds};
use crate::support::{Account, Launch, Operator, Server, command, until};

const STATE: &str = ".nats-account-server";

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything below a folder that can be looked at, with its mode.
fn modes(dir: &Path) -> BTreeMap<PathBuf, u32> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.path().symlink_metadata() else { continue };
        all.insert(entry.path(), meta.mode() & 0o7777);
        if meta.is_dir() {
            all.extend(modes(&entry.path()));
        }
    }
    all
}

/// Looks all the time whether anything in a folder is open to others.
struct Looking {
    stop: Arc<AtomicBool>,
    seen: std::thread::JoinHandle<BTreeMap<PathBuf, u32>>,
}

impl Looking {
    fn at(dir: &Path) -> Self {
        let (stop, dir) = (Arc::new(AtomicBool::new(false)), dir.to_owned());
        let seen = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let mut seen = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    seen.extend(modes(&dir).into_iter().filter(|(_, mode)| mode & 0o077 != 0));
                }
                seen
            }
        });
        Self { stop, seen }
    }

    fn seen(self) -> BTreeMap<PathBuf, u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.seen.join().unwrap()
    }
}

/// A folder with a sub-folder per shard, an account in it, and one whose file was refused.
async fn pushed(launch: Launch, operator: &Operator, dir: &Path) -> (Server, PathBuf) {
    let server = launch.dir(dir).env("NAS_STORE__SHARD", "true").start().await;
    let account = Account::new();
    let jwt = operator.account(&account, 100);
    server.http.post(&account.path(), jwt.clone()).await.expect(200);
    let key = account.key();
    let path = file(&dir.join(&key[key.len() - 2..]), &account);
    holds(&path, &jwt).await;
    fs::write(&path, "refused").unwrap();
    holds(&path, &jwt).await;
    (server, path)
}

#[tokio::test]
async fn the_state_is_for_its_user_alone_and_tokens_for_whom_the_settings_say_whatever_the_umask() {
    for (umask, setting, token, shard) in
        [("0000", None, 0o640, 0o750), ("0022", Some("0644"), 0o644, 0o755), ("0077", Some("0660"), 0o660, 0o770)]
    {
        let (operator, above) = (Operator::new(), tempfile::tempdir().unwrap());
        let dir = above.path().join("tokens");
        let looking = Looking::at(&dir.join(STATE));
        let mut launch = Launch::primary(&operator).umask(umask);
        if let Some(setting) = setting {
            launch = launch.env("NAS_STORE__FILE_MODE", setting);
        }
        let (mut server, path) = pushed(launch, &operator, &dir).await;
        assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&dir)), (token, shard, shard), "{umask}");
        for (path, mode) in modes(&dir.join(STATE)) {
            let is_aside = path.extension().is_some_and(|ending| ending == "refused");
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert!(mode == expected || is_aside, "{umask}: {} has {mode:04o}", path.display());
        }
        assert_eq!(mode(&dir.join(STATE)), 0o700);
        server.signal("TERM");
        assert!(server.exit().await.success());
        let is_token = |path: &PathBuf| {
            path.parent().is_some_and(|parent| parent.ends_with("making")) || path.ends_with("refused")
        };
        let seen: Vec<_> = looking
            .seen()
            .into_iter()
            .filter(|(path, _)| !is_token(path) && !path.to_string_lossy().ends_with(".refused"))
            .collect();
        assert!(seen.is_empty(), "{umask}: open for a moment: {seen:?}");
    }
}

#[tokio::test]
async fn what_an_earlier_version_left_open_is_said_and_closed() {
    let (operator, above) = (Operator::new(), tempfile::tempdir().unwrap());
    let dir = above.path().join("tokens");
    let (server, _) = pushed(Launch::primary(&operator), &operator, &dir).await;
    let state = dir.join(STATE);
    set_mode(&state, 0o755);
    for name in ["journal.sqlite", "lock"] {
        set_mode(&state.join(name), 0o644);
    }
    set_mode(&dir, 0o777);
    let server = server.restart().await;
    for said in [
        format!("the state folder {} was open to other users (mode 0755)", state.display()),
        "journal.sqlite (mode 0644)".to_owned(),
        format!("every user of this machine may write to the token folder {} (mode 0777)", dir.display()),
        format!("chmod o-w {}", dir.display()),
    ] {
        assert!(server.log().contains(&said), "{said}: {}", server.log());
    }
    assert_eq!(mode(&state), 0o700);
    for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "lock"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&dir), 0o777, "it is not ours alone");
}

#[tokio::test]
async fn a_replica_keeps_its_journal_for_itself() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let primary = Server::primary(&operator).await;
    let looking = Looking::at(&dir.path().join(STATE));
    let launch = Launch::replica(&operator, &primary.url).dir(dir.path()).umask("0000");
    let _replica = launch.start().await;
    until("the journal is there", || async { dir.path().join(STATE).join("journal.sqlite-wal").exists() }).await;
    assert_eq!(mode(&dir.path().join(STATE)), 0o700);
    assert!(modes(&dir.path().join(STATE)).values().all(|mode| *mode == 0o600));
    assert!(looking.seen().is_empty());
}

#[tokio::test]
async fn backups_are_private_and_exports_are_as_tokens_are() {
    let (operator, above) = (Operator::new(), tempfile::tempdir().unwrap());
    let dir = above.path().join("tokens");
    let (_server, _) = pushed(Launch::primary(&operator), &operator, &dir).await;
    let place = |name: &str| above.path().join(name).into_os_string();
    command::run(["backup".into(), "-dir".into(), dir.clone().into_os_string(), place("copy")]).await.expect(0);
    assert_eq!(mode(&above.path().join("copy")), 0o600);
    let jwt = operator.jwt();
    for (format, target) in [("folder", "folder"), ("nsc", "nsc"), ("pack", "pack")] {
        let args = ["-operator", &jwt, "-dir", dir.to_str().unwrap(), "export", "--format", format];
        command::run(args.into_iter().map(Into::into).chain([place(target)])).await.expect(0);
    }
    assert_eq!(mode(&above.path().join("pack")), 0o640);
    for target in ["folder", "nsc"] {
        let root = above.path().join(target);
        assert_eq!(mode(&root), 0o750, "{target}");
        let all = modes(&root);
        assert!(all.keys().any(|path| path.extension().is_some_and(|ending| ending == "jwt")), "{all:?}");
        for (path, mode) in all {
            assert_eq!(mode, if path.is_dir() { 0o750 } else { 0o640 }, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn another_user_can_neither_lock_nor_prepare_the_state() {
    const SERVER: u32 = 65_533;
    const OTHER: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can run a server as another user");
        return;
    }
    let (operator, above) = (Operator::new(), tempfile::tempdir().unwrap());
    set_mode(above.path(), 0o755);
    let dir = above.path().join("tokens");
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(SERVER), Some(SERVER)).unwrap();
    let server = Launch::primary(&operator).user(SERVER).dir(&dir).start().await;
    for name in ["lock", "journal.sqlite"] {
        let path = dir.join(STATE).join(name);
        let locked =
            Command::new("flock").arg("--shared").arg(&path).arg("true").uid(OTHER).gid(OTHER).output().unwrap();
        let said = String::from_utf8_lossy(&locked.stderr).into_owned();
        assert!(!locked.status.success() && said.contains("Permission denied"), "{name}: {said}");
    }
    drop(server);
    // In a folder that everybody may write, a state folder or a lock of somebody else's may lie already.
    for prepared in ["state", "lock"] {
        let open = above.path().join(prepared);
        let state = open.join(STATE);
        fs::create_dir_all(&state).unwrap();
        set_mode(&open, 0o777);
        if prepared == "lock" {
            fs::write(state.join("lock"), "").unwrap();
            set_mode(&state.join("lock"), 0o666);
            chown(state.join("lock"), Some(OTHER), Some(OTHER)).unwrap();
            chown(&state, Some(SERVER), Some(SERVER)).unwrap();
        } else {
            set_mode(&state, 0o777);
            chown(&state, Some(OTHER), Some(OTHER)).unwrap();
        }
        let launch = Launch::primary(&operator).user(SERVER).dir(&open).flag("-hp", "127.0.0.1:0");
        let (code, text) = launch.fail().await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(&format!("it belongs to user {OTHER}")), "{prepared}: {text}");
    }
}
