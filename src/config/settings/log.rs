//! The settings of the log: `log`.

use serde::{Deserialize, Serialize};

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important lines that are written. Default `info`.
    pub level: LogLevel,
    /// For people or for machines. Default `human`.
    pub format: LogFormat,
    /// Whether a human line starts with date and time. Default: yes.
    pub time: bool,
    /// Whether the label is coloured when standard error is a terminal. Default: yes.
    pub colors: bool,
    /// Whether a human line carries the process id. Default: no.
    pub pid: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Human, time: true, colors: true, pid: false }
    }
}

/// Importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something needs attention.
    Warn,
    /// Log level.
    Info,
    /// Every request.
    Debug,
    /// Everything.
    Trace,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `2026/11/23 23:50:56.236792 [INF] text key=value`, as nats-server writes.
    Human,
    /// One JSON object a line.
    Json,
}
