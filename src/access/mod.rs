//! Who may do what: the policy that the settings make, and the judgement of what a client presents.
//!
//! A client presents a credential (a user with a password, or a token), the certificate of its connection, and its address.
//! The strongest of them decides alone: a credential that verifies, else a certificate that is known, else the longest
//! network that has the address, else what anybody may do ([`Policy`]). A credential that does not verify is an error, even
//! if the client could do the same without one. So a client with a wrong password never works by chance.
//!
//! Most judgements are made at once ([`AccessControl::judge_now`]). Only a password that was not seen before has to be
//! hashed, which takes as long as a thousand requests: on a thread of its own, behind a bounded queue ([`passwords`]).
//!
//! Nothing here knows HTTP, but for the form of the header that carries a credential.

mod control;
mod credential;
mod lockout;
mod made;
mod password_hash;
mod passwords;
mod policy;
mod principal;
mod queue;
mod scopes;
mod stated;

pub use control::{AccessControl, Denied, InForce, Presented, Standing};
pub use made::{Made, PasswordKind, hash_password, make_token};
pub use policy::{Policy, PolicyError};
pub use principal::{Principal, Verdict};
pub use scopes::Scopes;
pub use stated::Stated;
