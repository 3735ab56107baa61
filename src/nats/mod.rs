//! The NATS edge: a connection with the credentials of a system-account user.
//!
//! An [`Edge`] has all parts. On a primary, `announce` announces every change to the nats-servers and collects their
//! receipts, `reconcile` compares them with the store, and `sign` asks a signing service. On a replica, `hear` applies the
//! announcements of others, and `loaded` fetches what nats-servers have loaded. Both apply activations (`activate`) and
//! answer what full resolvers answer (`resolver`).
//!
//! The server starts without NATS, tries to connect for ever, and never goes down with it. All connections share a
//! [`Link`]: the user, and what is wrong with it.

mod activations;
mod announce;
mod connect;
mod creds;
mod delete;
mod discovery;
mod edge;
mod explain;
mod faults;
mod identity;
mod link;
mod loaded;
mod permissions;
mod progress;
mod pull;
mod queue;
mod receipts;
mod reconcile;
mod replica_updates;
mod resolver;
mod setup;
mod sign;
mod subjects;
mod user;

pub use announce::CURSOR;
pub use connect::connect;
pub use creds::account_in;
pub use edge::Edge;
pub use link::{Connected, Link, Purpose};
pub use pull::{Pulled, pull};
pub use setup::{ConnectError, Setup};

use announce::Announcer;
use reconcile::Reconcile;
use sign::Signer;
