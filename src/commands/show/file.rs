//! The account JWT that a person gives in a file.

use std::fs::File;
use std::io::Read;

use crate::api::AccountPage;
use crate::commands::sources::Failure;
use crate::jwt::{AccountJwt, given};

/// Bytes of a file that are read: more than the longest JWT in UTF-16 has.
const LONGEST: u64 = 4 << 20;

/// Reads it; `-` is the standard input.
pub(super) fn read(file: &str, stdin: &mut dyn Read) -> Result<AccountPage, Failure> {
    let name = if file == "-" { "the standard input" } else { file };
    let mut bytes = Vec::new();
    let read = |from: &mut dyn Read, bytes: &mut Vec<u8>| from.take(LONGEST).read_to_end(bytes);
    let read = match file {
        "-" => read(stdin, &mut bytes),
        file => File::open(file).and_then(|mut opened| read(&mut opened, &mut bytes)),
    };
    read.map_err(|error| Failure::Unclear(format!("cannot read {name}: {error}")))?;
    let token = given(&bytes).map_err(|found| Failure::Unclear(format!("{name} has no account JWT: {found}")))?;
    let jwt = AccountJwt::decode(&token).map_err(|error| {
        Failure::Unclear(format!("the JWT in {name} cannot be shown: {error}; `check` says what it is"))
    })?;
    Ok(AccountPage::of_given(&token, &jwt))
}
