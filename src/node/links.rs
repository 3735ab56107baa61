//! What the HTTP edge needs of the NATS edge: traits that are implemented over NATS and used over HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Compare, Sign};
use crate::jwt::HashId;
use crate::key::AccountKey;

/// The parts of the NATS edge that the node knows. Each is made before there is a connection. Without NATS all are `None`.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// The connection to NATS.
    pub connection: Option<Arc<dyn Connection>>,
    /// How NATS requests are answered.
    pub policy: Option<Arc<dyn Policy>>,
    /// The way to announce a JWT again. Only a primary has it.
    pub announcer: Option<Arc<dyn Announce>>,
    /// The way to compare nats-servers with the store. Only a primary has it, unless comparing is switched off.
    pub comparer: Option<Arc<dyn Compare>>,
    /// The way to the signing service, if one is configured. Only a primary has it.
    pub signer: Option<Arc<dyn Sign>>,
}

/// A connection to NATS.
pub trait Connection: std::fmt::Debug + Send + Sync {
    /// Whether it is there now.
    fn is_connected(&self) -> bool;

    /// What its user was found not to be permitted, as in `subscribe to $SYS.REQ.CLAIMS.LIST`.
    fn denied(&self) -> Vec<String>;

    /// Why the latest attempt to connect failed. It names no file.
    fn failure(&self) -> Option<String>;

    /// Why it is of no use although it is there. It names no file.
    fn problem(&self) -> Option<String>;

    /// When the user JWT of its credentials expires, unix seconds; 0: never. `None`: it has no credentials, or they were never
    /// readable.
    fn user_end(&self) -> Option<i64>;

    /// Uses this credentials file from now on, and reads it at once.
    fn reload(&self, creds: Option<PathBuf>);
}

/// How this server behaves among the nats-servers that host account JWTs as well.
pub trait Policy: std::fmt::Debug + Send + Sync {
    /// For people: what it answers, and why.
    fn describe(&self) -> String;
}

/// What can be announced again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Again {
    /// What an account holds now, to the nats-servers.
    Account(AccountKey),
    /// The activation of a hash, to other account servers.
    Activation(HashId),
}

/// Announces a JWT again. Only a primary does: what a replica holds may be out of date, and nats-servers apply an old JWT as
/// readily as a new one.
pub trait Announce: std::fmt::Debug + Send + Sync {
    /// Asks for an announcement of what is stored now. The error says for people why that is impossible.
    fn announce(&self, what: Again) -> Result<(), &'static str>;
}
