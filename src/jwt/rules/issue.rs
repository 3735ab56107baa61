//! The findings of a validation.

use std::borrow::Cow;

use crate::excerpt::excerpt;

/// Findings that an answer or a line of the log lists.
const TOLD: usize = 10;

/// One finding about claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The finding, in the Go library's words.
    pub text: String,
    /// Whether it makes the claims invalid.
    pub blocking: bool,
    /// Whether it is about time, and counts only if the caller includes times. If neither is true, it is a warning.
    pub time_check: bool,
}

/// All findings, in the library's order. Where the library walks a map, its order varies and this one is sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issues(Vec<Issue>);

impl Issues {
    /// Adds an issue that blocks.
    pub(super) fn error(&mut self, text: impl Into<String>) {
        self.0.push(Issue { text: excerpt(&text.into()).to_string(), blocking: true, time_check: false });
    }

    /// Adds an issue of time.
    pub(super) fn time(&mut self, text: impl Into<String>) {
        self.0.push(Issue { text: excerpt(&text.into()).to_string(), blocking: false, time_check: true });
    }

    /// Adds a warning.
    pub(super) fn warning(&mut self, text: impl Into<String>) {
        self.0.push(Issue { text: excerpt(&text.into()).to_string(), blocking: false, time_check: false });
    }

    /// Whether the claims are invalid; with `include_time`, also if they have expired or are not yet valid.
    pub fn is_blocking(&self, include_time: bool) -> bool {
        self.0.iter().any(|issue| issue.blocking || include_time && issue.time_check)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The texts of the findings for an answer or a line of the log: the first [`TOLD`], and how many more there are.
    pub fn told(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let more = self.0.len().saturating_sub(TOLD);
        let rest = (more > 0).then(|| Cow::from(format!("and {more} more")));
        self.0.iter().take(TOLD).map(|issue| Cow::from(&*issue.text)).chain(rest)
    }

    /// The findings in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Issue> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Issues {
    type Item = &'a Issue;
    type IntoIter = std::slice::Iter<'a, Issue>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
