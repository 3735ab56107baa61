//! `access`: the hash of a password, and new tokens, for the settings of `access`.

use std::io::{BufRead, IsTerminal as _, Write as _};
use std::os::fd::AsFd;

use clap::Subcommand;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Exit;
use crate::access::{Made, PasswordKind, hash_password, make_token};

const AFTER_HELP: &str = "\
Examples:
  nats-account-server access hash
  pass show nas/nsc | nats-account-server access hash
  nats-account-server access token";

/// The longest password, in bytes. A header has room for it.
const LONGEST: usize = 1024;

/// What `access` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct AccessArgs {
    #[command(subcommand)]
    command: AccessCommand,
}

/// What to make.
#[derive(Clone, Debug, Subcommand)]
pub enum AccessCommand {
    /// Read a password from standard input, and print its hash for access.users
    Hash(HashArgs),
    /// Make a token, and print it with its SHA-256 for access.tokens
    Token,
}

/// What `access hash` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct HashArgs {
    /// Make a bcrypt hash, not argon2id
    #[arg(long)]
    bcrypt: bool,
}

/// Carries out the command.
pub(super) fn run(args: &AccessArgs) -> Result<(), Exit> {
    let text = match &args.command {
        AccessCommand::Hash(args) => {
            let kind = if args.bcrypt { PasswordKind::Bcrypt } else { PasswordKind::Argon2id };
            hash_password(&password()?, kind)?
        }
        AccessCommand::Token => {
            let Made { token, sha256 } = make_token();
            format!("token: {token}\nsha256: {sha256}")
        }
    };
    writeln!(std::io::stdout(), "{text}").map_err(|error| format!("cannot write to standard output: {error}").into())
}

/// Reads the password: a terminal is asked for it, and does not show it.
fn password() -> Result<Zeroizing<Vec<u8>>, String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return only_line(&mut stdin.lock());
    }
    let mut stderr = std::io::stderr();
    // Somebody who does not see the question still types the answer.
    let _ = write!(stderr, "password: ");
    let _ = stderr.flush();
    let quiet = NoEcho::of(&stdin).map_err(|error| format!("cannot hide what is typed: {error}"))?;
    let read = line(&mut stdin.lock());
    drop(quiet);
    let _ = writeln!(stderr);
    read
}

/// A terminal that does not show what is typed, until this is dropped.
struct NoEcho<'t, T: AsFd>(&'t T, Termios);

impl<'t, T: AsFd> NoEcho<'t, T> {
    fn of(terminal: &'t T) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self(terminal, before))
    }
}

impl<T: AsFd> Drop for NoEcho<'_, T> {
    fn drop(&mut self) {
        // The shell sets the terminal, too.
        let _ = tcsetattr(self.0, OptionalActions::Flush, &self.1);
    }
}

/// The only line of an input.
fn only_line(input: &mut impl BufRead) -> Result<Zeroizing<Vec<u8>>, String> {
    let password = line(input)?;
    let mut more = Zeroizing::new([0; 1]);
    match input.read(&mut more[..]) {
        Ok(0) => Ok(password),
        Ok(_) => Err("standard input has more than one line, but a password is one line".to_owned()),
        Err(error) => Err(format!("cannot read standard input: {error}")),
    }
}

fn line(input: &mut impl BufRead) -> Result<Zeroizing<Vec<u8>>, String> {
    // As large as it can get, so that no copy stays behind in memory.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 3));
    let most = (LONGEST + 3) as u64;
    std::io::Read::take(input, most)
        .read_until(b'\n', &mut line)
        .map_err(|error| format!("cannot read standard input: {error}"))?;
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    match line.len() {
        0 => Err("there is no password on standard input".to_owned()),
        length if length > LONGEST => Err(format!("a password has at most {LONGEST} bytes")),
        _ if line.contains(&b'\n') => Err("a password is one line".to_owned()),
        _ => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        let long = format!("{}\n", "x".repeat(LONGEST + 1));
        for (input, read) in [
            ("secret", Some("secret")),
            ("secret\n", Some("secret")),
            ("secret\r\n", Some("secret")),
            (" two words \n", Some(" two words ")),
            ("", None),
            ("\n", None),
            ("one\ntwo\n", None),
            (&long, None),
        ] {
            let found = only_line(&mut input.as_bytes());
            assert_eq!(found.as_deref().ok().map(|line| &line[..]), read.map(str::as_bytes), "{input:?}");
        }
    }
}
