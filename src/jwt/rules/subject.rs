//! Subjects as the Go library looks at them, which is more loosely than nats-server does.

use super::super::quote::quote;
use super::Issues;

/// The rules for any subject.
pub(super) fn check(subject: &str, issues: &mut Issues) {
    if subject.is_empty() {
        return issues.error("subject cannot be empty");
    }
    if subject.contains(' ') {
        issues.error(format!("subject {} cannot have spaces", quote(subject)));
    }
    if subject.starts_with('.') || subject.ends_with('.') {
        issues.error(format!("subject {} cannot start or end with a `.`", quote(subject)));
    }
    if subject.contains("..") {
        issues.error(format!("subject {} cannot contain consecutive `.`", quote(subject)));
    }
}

/// Whether it has a wildcard. A `>` counts only at the end.
pub(super) fn has_wildcards(subject: &str) -> bool {
    matches!(subject, "*" | ">")
        || subject.starts_with("*.")
        || subject.ends_with(".*")
        || subject.ends_with(".>")
        || subject.contains(".*.")
}

/// Whether anything but an equal text can be contained in it.
pub(super) fn may_contain_others(subject: &str) -> bool {
    subject.contains(['*', '>'])
}

/// Whether `other` matches everything that `subject` matches, token by token.
pub(super) fn is_contained_in(subject: &str, other: &str) -> bool {
    // Most pairs end here.
    if !may_contain_others(other) {
        return subject == other;
    }
    let mut own = subject.split('.');
    let mut others = other.split('.').peekable();
    while let Some(token) = others.next() {
        let Some(mine) = own.next() else { return false };
        if token == ">" && others.peek().is_none() {
            return true;
        }
        if token != mine && token != "*" {
            return false;
        }
    }
    own.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containment_is_by_token() {
        for (subject, other, contained) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a.b", "a.*", true),
            ("a.*", "a.*", true),
            ("a.*", "a.>", true),
            ("a.>", "a.*", true),
            ("*", ">", true),
            (">", "*", true),
            ("a", "a.>", false),
            ("a.b.c", "a.>", true),
            ("a.b.c", "a.*", false),
            ("a.b", "a.*.c", false),
            ("a.>.b", "a.>.b", true),
            ("a.x.b", "a.>.b", false),
            ("", "*", true),
            ("a.", "a.*", true),
        ] {
            assert_eq!(is_contained_in(subject, other), contained, "{subject:?} in {other:?}");
        }
    }

    #[test]
    fn a_wildcard_is_a_whole_token() {
        for subject in ["*", ">", "*.a", "a.*", "a.*.b", "a.>"] {
            assert!(has_wildcards(subject), "{subject}");
        }
        for subject in ["", "a", "a*", "a.b*", ">.a", "a.>.b"] {
            assert!(!has_wildcards(subject), "{subject}");
        }
    }
}
