//! Work on the file of a journal that no server has open, or that one goes on writing: copying it, verifying a copy, and
//! putting a copy back.
//!
//! A backup is a copy in one file. [`copy`] makes it within one transaction that reads. [`verify`] follows the chain, and
//! compares what the journal says in more than one place. [`renew`] makes a copy the beginning of another session, and
//! [`replace`] puts it in its place.

mod consistency;
mod copy;
mod restore;
mod verify;

pub use copy::copy;
pub use restore::{newer, renew, replace};
pub use verify::{Verified, verify};
