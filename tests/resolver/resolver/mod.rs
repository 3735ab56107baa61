//! The account-resolver protocol on NATS, spoken by the real program among real nats-servers of several releases and with
//! every kind of resolver.
use crate::support::fleet;

mod junk;
mod manners;
mod mirrors;
mod requests;
