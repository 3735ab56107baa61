//! The NATS edge: a connection with the credentials of a system-account user.
//!
//! On a primary, [`Announcer`] tells the nats-servers of every change, collects their answers, and keeps the roll of
//! those that are there. On a replica, [`hear`] applies what others tell. Either takes in activations that others tell
//! of: [`hear_activations`]. The server starts without NATS, tries to connect for ever, and never goes down with it.

mod activate;
mod announce;
mod connect;
mod hear;
mod identity;
mod news;
mod progress;
mod rarely;
mod receipts;
mod roll_call;

pub use activate::hear_activations;
pub use announce::Announcer;
pub use connect::{ConnectError, Connected, Setup, connect};
pub use hear::hear;
pub use rarely::{HeldBack, Rarely};
