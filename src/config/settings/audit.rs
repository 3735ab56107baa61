//! The settings of the audit log: `audit`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where changes are audited, and what happens if that fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The file that gets the lines. Default: none, and nothing is audited.
    pub path: Option<PathBuf>,
    /// What happens to changes while the file cannot be written. Default `continue`.
    pub on_failure: AuditFailure,
}

/// What happens to changes while the audit log cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditFailure {
    /// They are accepted; their lines follow when the log can be written again.
    #[default]
    Continue,
    /// They are refused.
    Refuse,
}
