//! `list` and `show`: what they say of accounts, from a server, a journal and a folder of files.

mod accounts;
mod bad_input;
mod files;
mod lists;
mod names;

use std::path::Path;

use serde_json::Value;

use crate::support::command::{Ran, run};
use crate::support::{Account, Operator, Server};

/// Runs a command with these arguments.
async fn cmd(args: &[&str]) -> Ran {
    run(args).await
}

/// The JSON documents of the lines of an output.
fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The one JSON document of an output.
fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
}

/// The texts of a member, sorted.
fn sorted(documents: &[Value], member: &str) -> Vec<String> {
    let mut texts: Vec<_> = documents.iter().map(|document| document[member].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

/// Writes the JWT file of an account.
fn write(folder: &Path, operator: &Operator, account: &Account, age: i64) {
    std::fs::write(folder.join(format!("{}.jwt", account.key())), operator.account(account, age)).unwrap();
}

/// Ends a server as systemd does.
async fn end(mut server: Server) {
    server.signal("TERM");
    assert!(server.exit().await.success());
}

/// An output with what differs from run to run replaced: moments, seconds, and these texts.
fn stable(text: &str, replaced: &[(String, &str)]) -> String {
    let mut text = replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    for (shape, name) in [
        ("####-##-## ##:##:##", "DATE"),
        ("####-##-## ##:##", "MINUTE"),
        ("(##:##:## UTC)", "(UTC)"),
        ("(DATE UTC)", "(UTC)"),
        ("## seconds ago", "NOW"),
        ("# seconds ago", "NOW"),
        ("# second ago", "NOW"),
    ] {
        while let Some(at) = position(&text, shape) {
            text.replace_range(at..at + shape.len(), name);
        }
    }
    text
}

/// Where a text has a shape, in which # is a digit.
fn position(text: &str, shape: &str) -> Option<usize> {
    let fits = |byte: &u8, wanted: u8| if wanted == b'#' { byte.is_ascii_digit() } else { *byte == wanted };
    let mut windows = text.as_bytes().windows(shape.len());
    windows.position(|window| window.iter().zip(shape.bytes()).all(|(byte, wanted)| fits(byte, wanted)))
}
