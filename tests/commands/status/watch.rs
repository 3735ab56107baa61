//! `status --watch`: on pipes, on a terminal, and to its end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Answer, FakePrimary, Operator, PATIENCE, Server, until, within};

const BINARY: &str = env!("CARGO_BIN_EXE_nats-account-server");

fn watch(args: &[&str]) -> Child {
    let mut command = Command::new(BINARY);
    command.args(["status", "--watch=100ms"]).args(args).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for its end. What it wrote to standard error must be nothing.
async fn end(mut child: Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(said.is_empty(), "{said}");
            return status;
        }
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it does not end");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn interrupt(child: &Child, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
}

/// The first lines of its output.
async fn lines(child: &mut Child, count: usize) -> Vec<String> {
    let out = child.stdout.take().unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::new(out);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line
        };
        ((0..count).map(|_| line()).collect(), reader)
    });
    let (lines, reader): (_, BufReader<_>) = within("lines", read).await.unwrap();
    child.stdout = Some(reader.into_inner());
    lines
}

#[tokio::test]
async fn each_look_is_a_line_of_json_and_the_last_one_is_the_exit_status() {
    let mut primary = Server::primary(&Operator::new()).await;
    let mut child = watch(&["--json", &primary.url]);
    for line in lines(&mut child, 3).await {
        let document: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(document["state"], "well", "{line}");
    }
    primary.kill();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let seen = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while !line.contains("\"unreachable\"") {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0);
        }
        reader
    });
    let _reader = within("a look after the end of the server", seen).await.unwrap();
    interrupt(&child, "INT");
    assert_eq!(end(child).await.code(), Some(2));
}

#[tokio::test]
async fn signals_and_a_closed_pipe_end_it_cleanly() {
    let primary = Server::primary(&Operator::new()).await;
    for signal in [Some("INT"), Some("TERM"), None] {
        let mut child = watch(&[&primary.url]);
        let shown = lines(&mut child, 3).await;
        assert!(shown[0].ends_with(" UTC\n") && shown[1] == "\n", "{shown:?}");
        assert!(shown[2].starts_with(&format!("{}  primary ", primary.url)), "no terminal, no colours: {shown:?}");
        match signal {
            Some(signal) => interrupt(&child, signal),
            None => drop(child.stdout.take()),
        }
        assert_eq!(end(child).await.code(), Some(0), "{signal:?}");
    }
    // Before anything is known.
    let silent = FakePrimary::new(|_| Answer::new(200, "").after(Duration::from_secs(60))).await;
    let child = watch(&["--timeout", "1m", &silent.url]);
    until("it asks", || async { !silent.heads("/api/v1/status").is_empty() }).await;
    interrupt(&child, "INT");
    assert_eq!(end(child).await.code(), Some(2));
}

/// `script` gives it a terminal.
#[tokio::test]
#[allow(clippy::print_stdout)]
async fn a_terminal_is_drawn_over_and_has_colours_unless_they_are_unwanted() {
    let primary = Server::primary(&Operator::new()).await;
    let on_terminal = async |args: &str, env: &str| {
        let line = format!("timeout -s INT 2 env {env} {BINARY} status {args} {}", primary.url);
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        ran.ok().map(|ran| String::from_utf8(ran.stdout).unwrap())
    };
    let Some(once) = on_terminal("", "TERM=xterm").await else {
        println!("skipped: script of util-linux is missing");
        return;
    };
    assert!(once.contains("\x1b[32mwell\x1b[0m") && !once.contains("\x1b[2J"), "{once:?}");
    let plain = on_terminal("", "NO_COLOR=1").await.unwrap();
    assert!(plain.contains("  well\r\n") && !plain.contains('\x1b'), "{plain:?}");
    let watched = on_terminal("--watch=100ms", "NO_COLOR=1").await.unwrap();
    assert_eq!(watched.matches("\x1b[2J").count(), 1, "the screen is emptied once: {watched:?}");
    assert!(watched.matches("\x1b[H").count() > 1 && watched.contains("\x1b[K\r\n\x1b[J"), "{watched:?}");
    assert!(!watched.contains("\x1b[32m"), "{watched:?}");
}
