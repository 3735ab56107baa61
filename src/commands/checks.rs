//! The checks of a command that judges, and what all of them come to.

use std::io::{self, Write};

use serde::Serialize;

use super::shown::{Paint, printable};

/// What one check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// All is well.
    Pass,
    /// It does not decide, but an operator should know.
    Warning,
    /// It decides against what is judged.
    Fail,
    /// It decides, and cannot be told from here.
    Unknown,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// Its name for programs, which does not change.
    pub(super) code: &'static str,
    pub(super) status: Status,
    /// What was found, for people.
    pub(super) text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Check {
    pub(super) fn pass(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, status: Status::Pass, text: text.into(), remedy: None }
    }

    pub(super) fn warning(code: &'static str, text: impl Into<String>) -> Self {
        Self { status: Status::Warning, ..Self::pass(code, text) }
    }

    pub(super) fn fail(code: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Fail, remedy: Some(remedy.into()), ..Self::pass(code, text) }
    }

    /// A line for people, and one with what to do.
    pub(super) fn write(&self, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
        let (style, label) = match self.status {
            Status::Pass => (Paint::GREEN, "pass"),
            Status::Warning => (Paint::YELLOW, "warning"),
            Status::Fail => (Paint::RED, "FAIL"),
            Status::Unknown => (Paint::YELLOW, "unknown"),
        };
        let label = paint.text(style, &format!("{label:<7}"));
        writeln!(out, "{label}  {:<17}  {}", self.code, printable(&self.text))?;
        match &self.remedy {
            None => Ok(()),
            Some(remedy) => writeln!(out, "{:28}{}", "", paint.text(Paint::BOLD, &format!("→ {}", printable(remedy)))),
        }
    }

    pub(super) fn unknown(code: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Unknown, remedy: Some(remedy.into()), ..Self::pass(code, text) }
    }
}

/// What becomes of what is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Accepted,
    Refused,
    Unsure,
}

impl Verdict {
    /// What these checks come to: one that fails decides, whatever cannot be told.
    pub(super) fn of(checks: &[Check]) -> Self {
        let has = |status| checks.iter().any(|check| check.status == status);
        match () {
            () if has(Status::Fail) => Self::Refused,
            () if has(Status::Unknown) => Self::Unsure,
            () => Self::Accepted,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unsure => "unsure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_decides_and_a_warning_does_not() {
        let (pass, warning) = (Check::pass("a", ""), Check::warning("b", ""));
        let (fail, unknown) = (Check::fail("c", "", ""), Check::unknown("d", "", ""));
        for (checks, verdict) in [
            (vec![], Verdict::Accepted),
            (vec![&pass, &warning], Verdict::Accepted),
            (vec![&pass, &unknown], Verdict::Unsure),
            (vec![&unknown, &fail, &pass], Verdict::Refused),
        ] {
            assert_eq!(Verdict::of(&checks.into_iter().cloned().collect::<Vec<_>>()), verdict);
        }
    }
}
