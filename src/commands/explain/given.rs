//! The user JWT that a person gives, bare or in a credentials file.
//!
//! A credentials file also has the user's private key. It is not needed here: only the line with the JWT leaves this module,
//! and the rest is wiped.

use std::fs::File;
use std::io::Read;

use zeroize::Zeroizing;

use crate::jwt::{NotAJwt, UserJwt, given};

/// The largest file that is looked at, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A user JWT that was read.
#[derive(Debug)]
pub(super) struct GivenUser {
    pub(super) jwt: UserJwt,
    /// Its length in bytes.
    pub(super) size: usize,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoUser {
    /// There is no JWT to be read: what is there instead.
    Unreadable(String),
    /// There is one, and nats-servers refuse it, too: why.
    Refused(String),
}

/// Reads it from a file; `-` is the standard input.
pub(super) fn read(file: &str, stdin: &mut dyn Read) -> Result<GivenUser, NoUser> {
    let token = token(file, stdin).map_err(NoUser::Unreadable)?;
    match UserJwt::decode(&token) {
        Ok(jwt) => Ok(GivenUser { jwt, size: token.len() }),
        Err(error) => Err(NoUser::Refused(format!("the user JWT cannot be used: {error}"))),
    }
}

fn token(file: &str, stdin: &mut dyn Read) -> Result<String, String> {
    let (name, bytes) = if file == "-" {
        ("the standard input", content(stdin))
    } else {
        (file, File::open(file).and_then(|mut opened| content(&mut opened)))
    };
    let bytes = bytes.map_err(|error| format!("cannot read {name}: {error}"))?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("{name} is longer than any user JWT"));
    }
    match given(&bytes) {
        Ok(token) => Ok(token.into_owned()),
        Err(NotAJwt::Creds) => in_creds(&bytes).ok_or_else(|| format!("{name} has no line with a user JWT")),
        Err(found) => Err(format!("{name} has no user JWT: {found}")),
    }
}

/// There is room for all of it beforehand: a buffer that grows leaves copies of the private key behind.
fn content(from: &mut dyn Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 64));
    from.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The line with the JWT of a credentials file.
fn in_creds(bytes: &[u8]) -> Option<String> {
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.find_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim();
        let is_jwt = line.starts_with("ey") && line.bytes().filter(|byte| *byte == b'.').count() == 2;
        is_jwt.then(|| line.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;
    use serde_json::json;

    use super::*;
    use crate::testkit::{self, creds, seed, sign, with};

    #[test]
    fn a_user_is_found_and_anything_else_is_named_without_its_private_key() {
        let (account, pair) = (KeyPair::new_account(), KeyPair::new_user());
        let jwt = sign(&with(testkit::user(&pair, 1), json!({ "name": "alice" })), &account);
        let of_account = sign(&testkit::account(&account, 1), &KeyPair::new_operator());
        let read = |text: &str| read("-", &mut text.as_bytes());
        for text in [
            jwt.clone(),
            format!("{jwt}\n"),
            format!("-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n"),
            creds(&jwt, &pair, "***\n\n"),
            creds(&jwt, &pair, "").replace('\n', "\r\n"),
        ] {
            let user = read(&text).expect("a user");
            assert_eq!((user.jwt.claims.name, user.size), ("alice".to_owned(), jwt.len()));
        }
        for (text, is_refused, found) in [
            (String::new(), false, "it is empty"),
            (seed(&pair), false, "the standard input has no user JWT"),
            (creds("x", &pair, ""), false, "has no line with a user JWT"),
            ("x".repeat(MAX_BYTES + 1), false, "longer than any user JWT"),
            (of_account, true, "not user claim"),
            (jwt.replace(".ey", ".Ey"), true, "cannot be used"),
        ] {
            let error = match read(&text).expect_err("no user") {
                NoUser::Refused(why) if is_refused => why,
                NoUser::Unreadable(why) if !is_refused => why,
                other => panic!("{other:?}"),
            };
            assert!(error.contains(found), "{error}");
            assert!(!error.contains(&seed(&pair)), "{error}");
        }
    }
}
