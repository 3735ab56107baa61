//! The NATS edge: a connection with the credentials of a system-account user.
//!
//! On a primary, [`Announcer`] tells the nats-servers of every change, collects their answers, and keeps the roll of
//! those that are there; [`Signer`] asks a signing service. On a replica, [`hear`] applies what others tell. The server starts without NATS, tries to
//! connect for ever, and never goes down with it.

mod announce;
mod connect;
mod hear;
mod identity;
mod progress;
mod receipts;
mod roll_call;
mod sign;

pub use announce::Announcer;
pub use connect::{ConnectError, Connected, Setup, connect};
pub use hear::hear;
pub use sign::Signer;
