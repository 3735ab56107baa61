//! What differs between two versions of a token, claim by claim, and in words.
//!
//! Lists are compared by what their items are about, not by their order: an export by its subject and type, an import by
//! account, subject and type, a signing key by its key. So an item that moved is no difference, and one that was changed is
//! not shown as removed and added.

mod words;

use std::collections::{HashMap, VecDeque};
use std::fmt;

use serde_json::{Map, Value};

use crate::excerpt::excerpt;

pub use words::size;

/// Differences that are told at most; the others are counted.
const MOST: usize = 1000;

/// What happened to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimChangeKind {
    /// Both versions have it, with different values.
    Changed,
    /// Only the later version has it.
    Added,
    /// Only the earlier version has it.
    Removed,
}

impl ClaimChangeKind {
    /// Its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// A claim that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimChange {
    /// The way to the claim: members with dots between them, items of lists in brackets.
    pub path: String,
    /// What happened to it.
    pub kind: ClaimChangeKind,
    /// Its value in the earlier version.
    pub from: Option<Value>,
    /// Its value in the later version.
    pub to: Option<Value>,
}

/// What differs between two versions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClaimDiff {
    /// The claims that differ.
    pub changes: Vec<ClaimChange>,
    /// How many more there are.
    pub more: usize,
    /// The same in words. What changes with every signature is left out, unless nothing else changed.
    pub text: Vec<String>,
}

/// What differs between the claims of an earlier and of a later version.
pub fn diff(from: &Value, to: &Value) -> ClaimDiff {
    let mut walk = Walk::default();
    walk.values(Some(from), Some(to));
    ClaimDiff {
        text: words::of(&walk.found),
        changes: walk.found.into_iter().map(Difference::shown).collect(),
        more: walk.more,
    }
}

/// One step on the way to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A member of an object.
    Member(String),
    /// An item of a list, by what it is about.
    Item(String),
}

/// A claim that differs.
#[derive(Debug)]
struct Difference<'v> {
    path: Vec<Step>,
    from: Option<&'v Value>,
    to: Option<&'v Value>,
}

impl Difference<'_> {
    const fn kind(&self) -> ClaimChangeKind {
        match (self.from, self.to) {
            (None, _) => ClaimChangeKind::Added,
            (_, None) => ClaimChangeKind::Removed,
            (Some(_), Some(_)) => ClaimChangeKind::Changed,
        }
    }

    fn shown(self) -> ClaimChange {
        ClaimChange {
            kind: self.kind(),
            path: Path(&self.path).to_string(),
            from: self.from.cloned(),
            to: self.to.cloned(),
        }
    }
}

/// The way to a claim as text.
struct Path<'p>(&'p [Step]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Member(name) if is_plain(name) => {
                    f.write_str(if place == 0 { "" } else { "." })?;
                    f.write_str(name)?;
                }
                Step::Member(name) | Step::Item(name) => write!(f, "[{}]", excerpt(name))?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A walk through both versions.
#[derive(Default)]
struct Walk<'v> {
    at: Vec<Step>,
    found: Vec<Difference<'v>>,
    more: usize,
}

impl<'v> Walk<'v> {
    fn values(&mut self, from: Option<&'v Value>, to: Option<&'v Value>) {
        if from == to {
            return;
        }
        match (from, to) {
            (Some(Value::Object(from)), Some(Value::Object(to))) => self.members(Some(from), Some(to)),
            (Some(Value::Object(from)), None) if !from.is_empty() => self.members(Some(from), None),
            (None, Some(Value::Object(to))) if !to.is_empty() => self.members(None, Some(to)),
            (Some(Value::Array(from)), Some(Value::Array(to))) => self.items(from, to),
            (Some(Value::Array(from)), None) if !from.is_empty() => self.items(from, &[]),
            (None, Some(Value::Array(to))) if !to.is_empty() => self.items(&[], to),
            _ => self.note(from, to),
        }
    }

    fn note(&mut self, from: Option<&'v Value>, to: Option<&'v Value>) {
        if self.found.len() < MOST {
            self.found.push(Difference { path: self.at.clone(), from, to });
        } else {
            self.more += 1;
        }
    }

    fn under(&mut self, step: Step, go: impl FnOnce(&mut Self)) {
        self.at.push(step);
        go(self);
        self.at.pop();
    }

    fn members(&mut self, from: Option<&'v Map<String, Value>>, to: Option<&'v Map<String, Value>>) {
        for (name, value) in from.into_iter().flatten() {
            let later = to.and_then(|to| to.get(name));
            self.under(Step::Member(name.clone()), |walk| walk.values(Some(value), later));
        }
        for (name, value) in to.into_iter().flatten() {
            if from.is_none_or(|from| !from.contains_key(name)) {
                self.under(Step::Member(name.clone()), |walk| walk.values(None, Some(value)));
            }
        }
    }

    fn items(&mut self, from: &'v [Value], to: &'v [Value]) {
        let list = match self.at.last() {
            Some(Step::Member(name)) => name.clone(),
            _ => String::new(),
        };
        let mut later: HashMap<String, VecDeque<(usize, &Value)>> = HashMap::new();
        for (place, item) in to.iter().enumerate() {
            later.entry(about(&list, item)).or_default().push_back((place, item));
        }
        for item in from {
            let about = about(&list, item);
            let same = later.get_mut(&about).and_then(VecDeque::pop_front);
            self.under(Step::Item(about), |walk| match same {
                Some((_, same)) => walk.values(Some(item), Some(same)),
                None => walk.note(Some(item), None),
            });
        }
        let mut added: Vec<_> = later
            .into_iter()
            .flat_map(|(about, items)| items.into_iter().map(move |item| (about.clone(), item)))
            .collect();
        added.sort_unstable_by_key(|(_, (place, _))| *place);
        for (about, (_, item)) in added {
            self.under(Step::Item(about), |walk| walk.note(None, Some(item)));
        }
    }
}

/// What an item of a list is about: two items of this name are versions of one.
fn about(list: &str, item: &Value) -> String {
    let member = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    match (list, item) {
        (_, Value::String(text)) => text.clone(),
        ("exports", Value::Object(_)) => format!("{} {}", member("type"), member("subject")),
        ("imports", Value::Object(_)) => format!("{} {} {}", member("account"), member("type"), member("subject")),
        ("signing_keys", Value::Object(_)) => member("key").to_owned(),
        // The destinations of a mapping.
        (_, Value::Object(members)) if members.contains_key("subject") => {
            format!("{} {}", member("subject"), member("cluster")).trim_end().to_owned()
        }
        (_, item) => item.to_string(),
    }
}

#[cfg(test)]
mod tests;
