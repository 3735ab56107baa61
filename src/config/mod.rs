//! Settings, and the languages of configuration files.
//!
//! A setting can come from a flag, an environment variable, a file, or be left at its default, in this order of
//! precedence. [`Settings::load`] walks this way:
//!
//! 1. A file is read, by its extension, as TOML, YAML, JSON, or the NATS configuration language (`nats_conf`).
//! 2. Each source becomes a layer: every key is looked up in `schema`, in any letter case and under its old names too,
//!    and its value is brought into one form. Errors about a value are found here, while its origin is known.
//! 3. The `config` crate lays the layers over each other and fills [`Settings`].
//! 4. `checks` judges what can only be judged as a whole.
//!
//! Errors: what is understood and wrong, or understood and not possible, is a [`ConfigError`] and nothing starts. What
//! is not understood, or has no effect any more, is a warning, since files of the old servers must keep working. A slip
//! that would leave a server open or alone is an error (`unknown`), and with `strict` every warning is one.

mod access_lists;
mod checks;
mod dump;
mod environment;
mod error;
mod file_mode;
mod given;
mod layer;
mod listen;
mod load;
mod nats_conf;
mod networks;
mod nsc;
mod schema;
mod secret;
mod settings;
mod suggest;
mod text_file;
mod token_source;
mod units;
mod unknown;
mod urls;
mod value;
mod yaml;

pub use error::ConfigError;
pub use file_mode::FileMode;
pub use listen::ListenAddress;
pub use load::Overrides;
pub use nats_conf::{NatsConf, SyntaxError};
pub use secret::Secret;
pub use settings::{
    Access, AccessCertificate, AccessNetwork, AccessToken, AccessUser, Admin, Audit, AuditFailure, ClientAuth, Http,
    HttpLimits, HttpTls, Log, LogFormat, LogLevel, Nats, PackResponder, Replica, ReplicaMode, ReplicaWrites,
    ResolverMode, Scope, Settings, Store, Tls,
};
pub use token_source::{SystemAccount, TokenSource};
pub(crate) use units::parse_seconds;
pub(crate) use urls::{Login, without_password};
pub(crate) use value::is_name;
