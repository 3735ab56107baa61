//! How far a change has come: to the nats-servers, and to the replicas that this server knows.
//!
//! The NATS edge notes what it announced, which nats-servers are there, what they answered, and what comparisons found. The
//! HTTP edge reads that, and may wait for it. Neither knows the other.
//!
//! Everything about nats-servers is in memory and bounded, because each can be asked again at any time. A push without
//! `?wait` does not come here; the announcer notes it later.

mod announcement;
mod book;
mod compare;
mod compared;
mod fleet;
mod fleet_report;
mod live;
mod owed;
mod propagation;
mod receipts;
mod release;
mod replica_reports;
mod replicas;
mod servers;
mod withdrawn;

pub use announcement::{Announcement, Delivery, Outcome, Receipt};
pub use book::FETCH_TIMEOUT;
pub use compare::Compare;
pub use compared::{Compared, Gone, Loaded, Match, Runs};
pub use fleet::{Difference, OperatorThere, ServerStanding};
pub use fleet_report::FleetReport;
pub use live::{Claim, not_live};
pub use owed::{ChangeKind, OwedChange};
pub use propagation::{AnnounceState, Propagation, ServerReceipt, Silent};
pub use receipts::{DeliveryProgress, Receipts};
pub use replica_reports::ReportRefused;
pub use replicas::{CaughtUp, Counts, Ended, Overflow, ReplicaStand, Replicas, Turned};
pub use servers::{Present, Server};
pub use withdrawn::Withdrawn;

#[cfg(test)]
mod tests;
