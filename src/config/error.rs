//! Why there are no settings.

use std::path::PathBuf;

use super::nats_conf::SyntaxError;
use crate::key::seed::DISCLOSED;

/// The configuration cannot be used. Each text says where the fault is and what is expected there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read, or is not UTF-8.
    #[error("error reading configuration file: {}: {source}", path.display())]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not in the NATS configuration language.
    #[error("error reading configuration file: {0}")]
    Syntax(Box<SyntaxError>),
    /// The file is not the TOML, YAML or JSON that its extension promises.
    #[error("error reading configuration file: {}: {problem}", path.display())]
    Format {
        /// The file as it was named.
        path: PathBuf,
        /// The parser's message.
        problem: String,
    },
    /// A value does not suit its key.
    #[error("{origin}: {key} is {value}, but {expected} is expected")]
    Value {
        /// The key as it was written.
        key: String,
        /// The value, shortened and without passwords.
        value: String,
        /// `file:line`, the environment variable or the flag.
        origin: String,
        /// The expected value.
        expected: String,
    },
    /// There are warnings, and `strict` makes errors of them.
    #[error("strict is set, and there {}: {}", count(.0.len()), .0.join("; "))]
    Strict(Vec<String>),
    /// A private key where none belongs.
    #[error("{origin}: {key} has a private key in it: {DISCLOSED}")]
    PrivateKey {
        /// The key as it was written.
        key: String,
        /// `file:line`, the environment variable or the flag.
        origin: String,
    },
    /// A file that cannot be read as a configuration, with a private key in it.
    #[error("error reading configuration file: {} is not a configuration file, and has a private key in it: \
         {DISCLOSED}", path.display())]
    PrivateFile {
        /// The file as it was named.
        path: PathBuf,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Conflict(String),
    /// Checked values did not fit the settings, which is a fault of this program.
    #[error("cannot merge the settings: {0}")]
    Merge(#[from] config::ConfigError),
}

fn count(warnings: usize) -> String {
    if warnings == 1 { "is 1 warning".to_owned() } else { format!("are {warnings} warnings") }
}
