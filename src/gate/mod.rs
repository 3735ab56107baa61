//! The gate: the one way in.
//!
//! Every token, on every path ([`Via`]), enters through [`Gate::admit`] or [`Gate::admit_delete`]. They decode it,
//! check signature, issuer, claims and times, and return an [`Entry`] or a [`Tombstone`]. Nothing else can make these,
//! so everything that is stored, cached or served has passed here. Nothing is verified again on a read. An account
//! vouches for its activations: see [`Gate::read_activation`].
//!
//! The second half of the gate, [`order`], decides whether an admitted token may replace the stored one. It has pure
//! rules over a [`Held`] head. The owner of the head applies them under its lock: the journal's writer on a primary,
//! the record of seen versions on a replica. [`Standing`] says which keys count; what a withdrawn key signed is
//! withheld.
//!
//! This room reads no clock, file or socket. Time is an argument, in unix seconds.
//!
//! ```
//! use nats_account_server::gate::{Gate, Refusal, Trust, Via};
//! use nats_account_server::jwt::encode;
//! use serde_json::json;
//!
//! let now = 1_795_000_000;
//! let [ours, theirs] = [(); 2].map(|()| nkeys::KeyPair::new_operator());
//! let operator = json!({ "sub": ours.public_key(), "iat": now, "nats": { "type": "operator", "version": 2 } });
//! let operator = encode::sign(&operator, &ours).expect("signed");
//! let trust = Trust::from_operator_jwt(&operator, now).expect("an operator JWT");
//! let gate = Gate::new(Some(trust), None, 3600);
//!
//! let account = nkeys::KeyPair::new_account().public_key();
//! let claims = json!({ "sub": account, "iat": now, "nats": { "type": "account", "version": 2 } });
//! let good = encode::sign(&claims, &ours).expect("signed");
//! let entry = gate.admit(good.as_bytes(), None, Via::Post, now).expect("signed by the operator");
//! assert_eq!(entry.key().to_string(), account);
//! let bad = encode::sign(&claims, &theirs).expect("signed");
//! assert!(matches!(gate.admit(bad.as_bytes(), None, Via::Post, now), Err(Refusal::Untrusted(_))));
//! ```

mod activation;
mod admit;
mod chain;
mod counted;
mod delete;
mod entry;
mod high_water;
mod keyset;
pub mod operator;
mod operator_change;
mod operator_refusal;
pub mod order;
mod refusal;
mod sender;
mod trust;
mod version;
mod via;

pub use activation::{Activation, ActivationRefusal, Judged, SentFor, Unproven};
pub use admit::Gate;
pub use chain::{MANY_LINKS, MOST_BYTES, MOST_LINKS, OperatorChain, Origin, Replaced};
pub use delete::Tombstone;
pub use entry::{Damaged, Digest, Entry, Identity, Record};
pub use high_water::Mark;
pub use keyset::Standing;
pub use operator_change::OperatorChange;
pub use operator_refusal::OperatorRefusal;
pub use order::{Held, MOST_IN_ONE_SECOND, Ordering, Tie};
pub use refusal::Refusal;
pub use sender::{Actor, Client, Sender};
pub use trust::{Trust, TrustError};
pub use version::{Deletion, Position, Version};
pub use via::Via;

#[cfg(test)]
mod model;
#[cfg(test)]
mod operator_tests;
#[cfg(test)]
mod tests;
