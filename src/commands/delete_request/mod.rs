//! `delete-request`: the operator-signed request that deletes accounts, as `nsc push --account-removal` signs it.
//!
//! The server never holds an operator's private key. This command is the only thing in this program that is ever given
//! one: it reads the seed, signs one request, offline, and ends. What it prints is for `DELETE /jwt/v1/accounts/<key>`.

mod seed;

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nkeys::KeyPair;
use serde_json::json;

use crate::clock;
use crate::jwt::encode;
use crate::key::AccountKey;

/// As many as fit into the largest token that is taken, 1 MiB, with room to spare.
const MAX_ACCOUNTS: usize = 10_000;

const AFTER_HELP: &str = "\
The program reads the operator's seed, signs once, and forgets it. It sends
nothing. The server never has a seed. If the operator requires signing keys, give
the seed of a signing key.

Example:
  nats-account-server delete-request --seed-file operator.nk \\
      ACCOUNT > request.jwt
  curl -X DELETE --data-binary @request.jwt \\
      http://primary:9090/jwt/v1/accounts/ACCOUNT

Send a request that names several accounts once, to the URL of any of them.";

/// What `delete-request` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DeleteRequestArgs {
    /// File with the seed (SO...) of the operator or of one of its signing keys, bare or decorated as nsc and nk write
    /// it; - is the standard input
    #[arg(long, value_name = "FILE")]
    seed_file: PathBuf,
    /// Write the request to this new file instead of to the standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Public keys of the accounts to delete
    #[arg(required = true, value_name = "ACCOUNT")]
    accounts: Vec<String>,
}

/// Signs the request and writes it. The error is for the person who asked, and shows no seed.
pub(super) fn run(
    args: &DeleteRequestArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    warn: &dyn Fn(&str),
) -> Result<(), String> {
    let accounts = account_keys(&args.accounts)?;
    let signer = seed::read(&args.seed_file, stdin, warn)?;
    let request = request(&accounts, &signer, clock::unix_seconds())?;
    match &args.output {
        Some(file) => write_new(file, &request),
        None => writeln!(stdout, "{request}")
            .and_then(|()| stdout.flush())
            .map_err(|error| format!("cannot write the request: {error}")),
    }
}

/// The accounts, each once, in the order in which they were given.
fn account_keys(texts: &[String]) -> Result<Vec<AccountKey>, String> {
    let (mut keys, mut seen) = (Vec::new(), HashSet::new());
    for (place, text) in (1..).zip(texts) {
        let key = AccountKey::parse(text).map_err(|error| format!("account {place}, {text:?}: {error}"))?;
        if seen.insert(key) {
            keys.push(key);
        }
    }
    if keys.len() > MAX_ACCOUNTS {
        return Err(format!(
            "{} accounts are too many for one request: sign one for each {MAX_ACCOUNTS} of them",
            keys.len()
        ));
    }
    Ok(keys)
}

/// The request, in the form that nsc gives it and nats-server wants: generic claims without a type, about the signer.
fn request(accounts: &[AccountKey], signer: &KeyPair, now: i64) -> Result<String, String> {
    let accounts: Vec<String> = accounts.iter().map(AccountKey::text).collect();
    let claims = json!({
        "iat": now, "sub": signer.public_key(), "nats": { "accounts": accounts, "version": 2 },
    });
    encode::sign(&claims, signer).map_err(|error| format!("cannot sign the request: {error}"))
}

/// Writes a file that is not there yet: who mistakes one name for another must not lose a seed by it.
fn write_new(file: &Path, request: &str) -> Result<(), String> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| writeln!(opened, "{request}"))
        .map_err(|error| format!("cannot write the request to {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::MAX_TOKEN_BYTES;

    #[test]
    fn the_largest_request_is_taken() {
        let accounts: Vec<_> = (0..MAX_ACCOUNTS)
            .map(|number| {
                let mut raw = [0; 32];
                raw[..8].copy_from_slice(&number.to_le_bytes());
                AccountKey::from_raw(raw)
            })
            .collect();
        let texts: Vec<_> = accounts.iter().map(AccountKey::text).collect();
        assert_eq!(account_keys(&[texts.clone(), texts.clone()].concat()).expect("each once"), accounts);
        let signed = request(&accounts, &KeyPair::new_operator(), 1_700_000_000).expect("signed");
        assert!(signed.len() < MAX_TOKEN_BYTES, "{}", signed.len());
        let more = AccountKey::from_raw([1; 32]).text();
        assert!(account_keys(&[texts, vec![more]].concat()).expect_err("one too many").contains("10001 accounts"));
    }
}
