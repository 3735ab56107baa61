//! `check`: would this token be accepted?

mod verdict;

pub use verdict::{Finding, KeyVerdict, Part, Question, Verdict, judge};
