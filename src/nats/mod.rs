//! The NATS edge: a connection with the credentials of a system-account user.
//!
//! On a primary, [`Announcer`] tells the nats-servers of every change, collects their answers, and keeps the roll of
//! those that are there; [`Signer`] asks a signing service. On a replica, [`hear`] applies what others tell. Either takes
//! in activations that others tell of: [`hear_activations`]. [`Resolver`] answers what full resolvers answer. The server
//! starts without NATS, tries to connect for ever, and never goes down with it.

mod activate;
mod announce;
mod connect;
mod denied;
mod discovery;
mod forget;
mod hear;
mod identity;
mod intake;
mod news;
mod progress;
mod pull;
mod receipts;
mod reconcile;
mod resolver;
mod sign;
mod subjects;

pub use activate::hear_activations;
pub use announce::{Announcer, CURSOR};
pub use connect::{Both, ConnectError, Connected, Purpose, Setup, connect};
pub use hear::hear;
pub use pull::{Pulled, pull};
pub use reconcile::{Reconcile, Reconciler};
pub use resolver::{Options, Resolver};
pub use sign::Signer;
