//! Why there is no answer.

use crate::commands::Exit;
use crate::commands::shown::printable;

/// Why there is no answer, for people.
#[derive(Debug)]
pub(in crate::commands) enum Failure {
    /// What was asked for does not exist.
    Absent(String),
    /// That cannot be told.
    Unclear(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Unclear(why)
    }
}

/// 1: it does not exist; 2: that cannot be told. A server may have written the text.
impl From<Failure> for Exit {
    fn from(failure: Failure) -> Self {
        let (code, why) = match failure {
            Failure::Absent(why) => (1, why),
            Failure::Unclear(why) => (2, why),
        };
        let lines: Vec<_> = why.lines().map(printable).collect();
        Self::error(code, format_args!("nats-account-server: {}", lines.join("\n")))
    }
}
