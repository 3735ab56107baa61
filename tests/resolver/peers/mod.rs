//! The real program among real nats-servers of several releases that host account JWTs as well: that all come to hold the
//! same, that nobody is harmed, and that the tools of the field get what they want.
use crate::support::fleet;

mod bootstrap;
mod convergence;
mod deletions;
mod joins;
mod liars;
mod live;
mod natscli;
mod pair;
mod table;
