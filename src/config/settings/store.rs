//! The settings of the store: `store`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::file_mode::FileMode;
use crate::config::units::millis;

/// Where tokens are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Folder of tokens and of the journal on a primary, of the store on a replica. Default: none, and nothing outlives the
    /// process.
    pub dir: Option<PathBuf>,
    /// Whether files are in sub-folders named after the last two characters of the key. Default: no.
    pub shard: bool,
    /// Folder of the journal. Default: none, which is `<dir>/.nats-account-server`.
    pub state_dir: Option<PathBuf>,
    /// Whether a missing state folder is an error at start, as it is when a volume is not mounted. Default: no.
    pub require_existing: bool,
    /// Versions kept per key, the current one included. Default 5.
    pub history: usize,
    /// How long former versions are kept; zero is no limit. Default: no limit.
    #[serde(with = "millis")]
    pub history_age: Duration,
    /// Who may read the files of tokens, whatever the umask. Default 0640.
    pub file_mode: FileMode,
    /// Interval of folder scans for changes that the system did not report. Default 60 s.
    #[serde(with = "millis")]
    pub look_interval: Duration,
    /// Memory for token bodies on a primary, in bytes. Default 64 MiB.
    pub cache_bytes: u64,
    /// How far an `iat` may be ahead of the clock. Default 1 h.
    #[serde(with = "millis")]
    pub max_iat_ahead: Duration,
    /// Activations that one account may have. Default 10 000.
    pub activations_per_account: u64,
    /// Whether activations are also written to the folder, as the Go server did. A nats-server that opens such a folder
    /// takes them for accounts. Default: no.
    pub activation_files: bool,
    /// Whether the folder belongs to somebody else and is only read. Default: no.
    pub readonly: bool,
    /// Operator folder of nsc to serve from. Default: none.
    pub nsc: Option<PathBuf>,
    /// Base URL of an account server whose pack a primary imports at start. Default: none.
    pub import_from: Option<String>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            dir: None,
            shard: false,
            state_dir: None,
            require_existing: false,
            history: 5,
            history_age: Duration::ZERO,
            file_mode: FileMode::DEFAULT,
            look_interval: Duration::from_secs(60),
            cache_bytes: 64 * 1024 * 1024,
            max_iat_ahead: Duration::from_secs(3600),
            activations_per_account: 10_000,
            activation_files: false,
            readonly: false,
            nsc: None,
            import_from: None,
        }
    }
}
