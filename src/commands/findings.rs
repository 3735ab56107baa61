//! What became of many things: how many, and of those that people must know about, the first ones.

use std::io::{self, Write};

use crate::key::seed;

/// So many are listed; the rest is counted.
const LISTED: usize = 20;

/// Things of which the same became.
#[derive(Debug)]
pub(super) struct Findings {
    what: &'static str,
    count: u64,
    listed: Vec<String>,
}

impl Findings {
    /// None yet. `what` describes them, as in "rejected".
    pub(super) const fn of(what: &'static str) -> Self {
        Self { what, count: 0, listed: Vec::new() }
    }

    /// One more, and what there is to say.
    pub(super) fn add(&mut self, line: String) {
        self.count += 1;
        if self.listed.len() < LISTED {
            self.listed.push(seed::redact(&line).into_owned());
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A line with the number, and one for each that is listed.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{:>9}  {}", self.count, self.what)?;
        for line in &self.listed {
            writeln!(out, "           {line}")?;
        }
        let rest = self.count.saturating_sub(LISTED as u64);
        if rest > 0 && self.listed.len() == LISTED {
            writeln!(out, "           … and {rest} more")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_listed_and_the_rest_is_counted() {
        let mut findings = Findings::of("refused");
        for number in 0..22 {
            findings.add(format!("file {number}"));
        }
        let mut out = Vec::new();
        findings.write(&mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("       22  refused\n           file 0\n"), "{text}");
        assert!(text.ends_with("file 19\n           … and 2 more\n"), "{text}");
    }
}
