//! The gate: the one way in.
//!
//! Whatever arrives, over whichever path ([`Via`]), enters through [`Gate::admit`] or [`Gate::admit_delete`]. They
//! decode, check the signature, the issuer, the claims and the time rules, and give out an [`Entry`] or a
//! [`Tombstone`]. Both can be made nowhere else, so what a store keeps, a cache holds or a response carries has
//! passed here. Nothing is verified again on a read. An activation is vouched for by the account that issued it, not by the
//! operator: see [`Gate::read_activation`].
//!
//! Whether an admitted token may take the place of what is held is the second half of the gate, [`order`]: pure
//! rules over a [`Held`] head, applied by whoever owns the head (the journal's writer on a primary, the memory of
//! what was seen on a replica), under its lock. Which keys count meanwhile is the [`Standing`]: what a withdrawn key
//! signed is withheld.
//!
//! Nothing in this room reads a clock, a file or a socket. Time is an argument, in unix seconds.

mod activation;
mod admit;
mod chain;
mod counted;
mod delete;
mod entry;
mod marks;
pub mod operator;
mod operator_change;
mod operator_refusal;
pub mod order;
mod refusal;
mod standing;
mod trust;
mod version;
mod via;

pub use activation::{Activation, ActivationRefusal, Judged, SentFor, Unproven};
pub use admit::Gate;
pub use chain::{MANY_LINKS, MOST_BYTES, MOST_LINKS, OperatorChain, Origin, Replaced};
pub use delete::Tombstone;
pub use entry::{Damaged, Digest, Entry, Identity, Record};
pub use marks::Mark;
pub use operator_change::OperatorChange;
pub use operator_refusal::OperatorRefusal;
pub use order::{Held, MOST_IN_ONE_SECOND, Ordering, Tie};
pub use refusal::Refusal;
pub use standing::Standing;
pub use trust::{Trust, TrustError};
pub use version::{Deletion, Position, Version};
pub use via::Via;

#[cfg(test)]
mod model;
#[cfg(test)]
mod operator_tests;
#[cfg(test)]
mod tests;
