//! The NATS edge: a connection with the credentials of a system-account user.
//!
//! On a primary, [`Announcer`] tells the nats-servers of every change, collects their answers, and keeps the roll of
//! those that are there; [`Signer`] asks a signing service. On a replica, [`mod@hear`] applies what others tell. Either takes
//! in activations that others tell of: [`hear_activations`]. [`Resolver`] answers what full resolvers answer. The server
//! starts without NATS, tries to connect for ever, and never goes down with it. What all connections share, the user and what
//! is wrong with it, is a [`Link`].

mod activate;
mod announce;
mod connect;
mod creds;
mod denied;
mod discovery;
mod explain;
mod faults;
mod forget;
mod hear;
mod identity;
mod intake;
mod link;
mod progress;
mod pull;
mod receipts;
mod reconcile;
mod resolver;
mod setup;
mod sign;
mod subjects;
mod user;

pub use activate::hear_activations;
pub use announce::{Announcer, CURSOR};
pub use connect::{Both, ConnectError, Connected, Purpose, connect};
pub use discovery::listen_for_nats_servers;
pub use hear::hear;
pub use link::Link;
pub use pull::{Pulled, pull};
pub use reconcile::{Reconcile, Reconciler};
pub use resolver::{Options, Resolver};
pub use setup::Setup;
pub use sign::Signer;
