//! How far a change has come: here, to the replicas that this server knows.

mod replicas;
mod reports;

pub use replicas::{CaughtUp, Counts, Ended, Overflow, ReplicaStand, Replicas, Turned};
pub use reports::ReportRefused;
