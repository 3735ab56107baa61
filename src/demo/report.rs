//! What the demo prints: steps with the time that each took, and commands to copy.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// The column in which times end.
const WIDTH: usize = 96;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// Writes to standard output, with colours only where a person looks.
#[derive(Debug)]
pub(super) struct Report {
    colours: bool,
    steps: usize,
}

impl Report {
    pub(super) fn new() -> Self {
        // NO_COLOR is a convention of many programs.
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wanted && std::io::stdout().is_terminal(), steps: 0 }
    }

    /// A heading, with an empty line before it.
    pub(super) fn heading(&self, text: &str) {
        self.line(&format!("\n{}", self.paint(BOLD, text)));
    }

    /// A step that succeeded.
    pub(super) fn step(&mut self, what: &str, took: Duration) {
        self.steps += 1;
        let number = self.paint(GREEN, &format!("{:>3}", self.steps));
        let took = shown(took);
        let gap = WIDTH.saturating_sub(5 + what.chars().count() + took.len()).max(1);
        self.line(&format!("{number}  {what}{}{}", " ".repeat(gap), self.paint(BOLD, &took)));
    }

    /// A line about the step before.
    pub(super) fn detail(&self, text: impl Display) {
        for line in text.to_string().lines() {
            self.line(&format!("     {}", self.paint(DIM, line)));
        }
    }

    /// Plain text.
    pub(super) fn text(&self, text: &str) {
        self.line(text);
    }

    /// A command to copy, and what it is good for.
    pub(super) fn command(&self, purpose: &str, command: &str) {
        self.line(&format!("\n  {}", self.paint(DIM, &format!("# {purpose}"))));
        self.line(&format!("  {}", self.paint(CYAN, command)));
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&self, text: &str) {
        // Who closed the pipe does not want to read on; the servers run until they are told to stop.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// A time in the unit that suits it.
pub(super) fn shown(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        millis if millis < 10.0 => format!("{millis:.1} ms"),
        millis if millis < 1000.0 => format!("{millis:.0} ms"),
        millis => format!("{:.1} s", millis / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_unit_that_suits_them() {
        for (micros, text) in [(40, "0.0 ms"), (1_240, "1.2 ms"), (41_900, "42 ms"), (1_500_000, "1.5 s")] {
            assert_eq!(shown(Duration::from_micros(micros)), text);
        }
    }
}
