//! The store: one [`journal`] for every role. A primary writes it, a replica fills it from upstream.
//!
//! The journal is the truth: a change is acknowledged when the journal has it on disk, and everything else follows
//! from it. It is next to the tokens, in the [`STATE_FOLDER`](crate::folder::STATE_FOLDER).
//!
//! Nothing here knows HTTP, NATS, or the roles.

mod error;
mod followers;
pub mod journal;
pub(crate) mod marks;
pub(crate) mod operator;

pub use error::{StoreError, blocking};
pub use followers::{Follower, FollowerChange, FollowerId};
pub use journal::{Journal, JournalProgress, JournalReader};
