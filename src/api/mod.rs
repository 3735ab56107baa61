//! The documents of the API under `/api/v1/`: their members and their JSON form, and how they are made from what the node tells.
//!
//! Times in claims (`iat`, `exp`) are unix seconds, times of the server unix milliseconds. `docs/api.md` shows them.

mod accounts;
mod cursor;
mod filter;
mod versions;

pub use accounts::{AccountDeletion, AccountList, AccountPage, AccountSummary, JournalPosition};
pub(crate) use cursor::Cursor;
pub(crate) use filter::{Direction, MOMENT, moment, state, want_name};
pub use versions::{Change, NoVersion, Version, VersionDiff, VersionList, VersionPage};

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// An expiry as it is shown: absent if there is none.
pub(crate) fn expiry(exp: i64) -> Option<i64> {
    Some(exp).filter(|exp| *exp != 0)
}

/// A serial as it is shown. Upstream may not have ordered the change yet.
pub(crate) fn serial(serial: u64) -> Option<u64> {
    Some(serial).filter(|serial| *serial != 0)
}
