//! Settings, and the languages in which they are written.
//!
//! A setting can come from a flag, an environment variable, a file, or be left at its default, in this order of
//! precedence.

mod nats_conf;
mod settings;
mod token_source;
mod units;

pub use nats_conf::{NatsConf, SyntaxError};
pub use settings::{Http, Log, LogFormat, LogLevel, Nats, Replica, ReplicaMode, ReplicaWrites, Settings, Store, Tls};
pub use token_source::{SystemAccount, TokenSource};
