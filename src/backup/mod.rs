//! Work on the file of a journal: copying it or exporting its accounts, even while a server writes it, verifying a copy, and
//! restoring a copy.
//!
//! A backup is a copy in one file. [`copy()`] makes it within one read transaction. [`verify()`] follows the chain, and checks
//! that the journal agrees with itself. [`renew`] makes a copy the beginning of another session, and
//! [`replace`] puts it in its place.

mod consistency;
mod copy;
mod export;
mod restore;
mod verify;

pub use copy::copy;
pub(crate) use export::incomplete;
pub use export::{Exported, export};
pub use restore::{newer, renew, replace};
pub use verify::{Verified, verify};
