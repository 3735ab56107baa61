//! The claims of tokens, by kind. Member names and meanings are those of `nats-io/jwt` v2.

mod account;
mod activation;
mod authorization;
mod export;
mod generic;
mod import;
mod limits;
mod operator;
mod permissions;
mod registered;
mod signing_keys;
mod user;

pub use account::{Account, ExternalAuthorization, Info, Trace, WeightedMapping};
pub use activation::Activation;
pub use export::{Export, Sampling, ServiceLatency, StreamKind};
pub use generic::Generic;
pub use import::Import;
pub use limits::{JetStreamLimits, OperatorLimits};
pub use operator::Operator;
pub use permissions::{Permission, Permissions, ResponsePermission};
pub use registered::{Common, Registered};
pub use signing_keys::{SigningKeys, UserScope};
pub use user::{Networks, TimeRange, User, UserTemplate};

pub(super) use account::AccountV1;
pub(super) use activation::ActivationV1;
pub(super) use authorization::{AuthorizationRequest, AuthorizationResponse};
pub(super) use operator::OperatorV1;
pub(super) use registered::{Document, DocumentV1, Identifier, Moved};
pub(super) use user::UserV1;

/// Times until which something is revoked, by public key. The key `*` stands for everyone.
pub type Revocations = std::collections::BTreeMap<String, i64>;

/// Whether a claim about `key` that was issued at `iat` (Unix seconds) is revoked: a revocation covers what was issued
/// up to and including its time.
pub fn is_revoked(revocations: &Revocations, key: &str, iat: i64) -> bool {
    [key, "*"].iter().filter_map(|key| revocations.get(*key)).any(|&until| until >= iat)
}
