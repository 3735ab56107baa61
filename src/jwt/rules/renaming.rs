//! Renaming subjects, as `local_subject`: tokens may refer to the wildcards of the subject that they rename.

use super::super::quote::quote;
use super::{Issues, subject};

/// The rules for the renaming `local` of the subject `from`.
pub(super) fn check(local: &str, from: &str, issues: &mut Issues) {
    subject::check(local, issues);
    if from.is_empty() {
        issues.error("subject cannot be empty");
    }
    // The library says it twice.
    if local.contains(' ') {
        issues.error(format!("subject {} cannot have spaces", quote(local)));
    }
    let open = |subject: &str| subject == ">" || subject.ends_with(".>");
    if open(local) != open(from) {
        issues.error("both, renaming subject and subject, need to end or not end in >");
    }
    let wildcards = from.split('.').filter(|token| *token == "*").count();
    let mut used = 0;
    for token in local.split('.') {
        if token == "*" {
            used += 1;
        }
        match reference(token) {
            Some(number) if i64::try_from(wildcards).is_ok_and(|wildcards| number > wildcards) => {
                let (local, from) = (quote(local), quote(from));
                issues.error(format!("Reference ${number} in {local} reference * in {from} that do not exist"));
            }
            Some(_) => used += 1,
            None => (),
        }
    }
    if used != wildcards {
        issues.error("subject does not contain enough * or reference wildcards $[0-9]");
    }
}

/// The subject under which a renamed import is seen, with every reference as a wildcard.
pub(super) fn pattern(local: &str) -> String {
    let tokens = local.split('.').map(|token| if reference(token).is_some() { "*" } else { token });
    tokens.collect::<Vec<_>>().join(".")
}

/// The number after a `$`. A sign is allowed, as in Go's integers.
fn reference(token: &str) -> Option<i64> {
    token.strip_prefix('$').and_then(integer)
}

/// An integer as Go's `strconv.Atoi` reads it.
pub(super) fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}
