//! Errors in a configuration text, with their place.

use std::fmt;

/// A text that is not in the NATS configuration language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SyntaxError {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The text of that line.
    pub text: String,
    /// The problem.
    pub problem: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// Characters of a line that a message shows on each side of the fault, so that one long line does not flood a terminal.
const SHOWN: usize = 80;

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, .. } = self;
        write!(f, "{file}:{line}:{column}: {}", self.problem)?;
        let from = (column - 1).saturating_sub(SHOWN);
        let shown: String =
            self.text.chars().skip(from).take(2 * SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "\n  | {shown}\n  | {:>width$}", "^", width = column - from)?;
        if !self.hint.is_empty() {
            write!(f, "\n  = {}", self.hint)?;
        }
        Ok(())
    }
}
