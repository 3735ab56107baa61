//! How the process ends when a command line does not come to a good end.

use std::io::Write as _;
use std::process::ExitCode;

use crate::key::seed;

/// Why a command failed, or why there was nothing to run: help was asked for, or the command line is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The status of the process: 0 after help or version, 1 a failure, 2 a wrong command line.
    pub code: u8,
    /// What to print, with its line end; empty if all was said before.
    pub text: String,
    /// Whether it goes to standard error.
    pub to_stderr: bool,
}

impl Exit {
    /// A failure with one line to print on standard error.
    pub(super) fn error(code: u8, text: impl std::fmt::Display) -> Self {
        Self { code, text: format!("{text}\n"), to_stderr: true }
    }

    /// A failure of which everything was said before, with status 1.
    pub(super) const fn told() -> Self {
        Self::silent(1)
    }

    /// The end of a command that has said everything, with this status.
    pub(super) const fn silent(code: u8) -> Self {
        Self { code, text: String::new(), to_stderr: true }
    }

    /// Such a failure, unless all went well.
    pub(super) const fn unless(all_went_well: bool) -> Result<(), Self> {
        if all_went_well { Ok(()) } else { Err(Self::told()) }
    }

    /// Prints the text where it belongs, without the private keys in it, and gives the status.
    pub fn print(&self) -> ExitCode {
        let text = seed::redact(&self.text);
        // Nobody to tell, if the output is closed.
        let _ = if self.to_stderr {
            std::io::stderr().write_all(text.as_bytes())
        } else {
            std::io::stdout().write_all(text.as_bytes())
        };
        ExitCode::from(self.code)
    }
}

/// Why the program cannot go on, with status 1.
impl From<String> for Exit {
    fn from(why: String) -> Self {
        Self::error(1, format_args!("nats-account-server: {why}"))
    }
}

impl From<&str> for Exit {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}
