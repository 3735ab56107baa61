//! An account's exports.

use std::collections::{HashMap, HashSet};

use super::super::claims::{Export, ServiceLatency, StreamKind};
use super::super::quote::quote;
use super::{Issues, info, subject};

/// The rules for exports, each for itself and then among them.
pub(super) fn check_all(exports: &[Option<Export>], issues: &mut Issues) {
    for export in exports {
        match export {
            Some(export) => check(export, issues),
            None => issues.error("null export is not allowed"),
        }
    }
    let (services, others): (Vec<_>, Vec<_>) =
        exports.iter().flatten().partition(|export| export.kind == StreamKind::Service);
    overlaps(StreamKind::Service, &services, issues);
    overlaps(StreamKind::Stream, &others, issues);
}

fn check(export: &Export, issues: &mut Issues) {
    let service = export.kind == StreamKind::Service;
    let response = export.response_type.as_str();
    if export.kind == StreamKind::Unknown {
        issues.error("invalid export type: \"unknown\"");
    }
    if service && !matches!(response, "" | "Singleton" | "Stream" | "Chunked") {
        issues.error(format!("invalid response type for service: {}", quote(response)));
    }
    if export.kind == StreamKind::Stream {
        if !response.is_empty() {
            issues.error(format!("invalid response type for stream: {}", quote(response)));
        }
        if export.allow_trace {
            issues.error("AllowTrace only valid for service export");
        }
    }
    if let Some(latency) = &export.service_latency {
        if !service {
            issues.error("latency tracking only permitted for services");
        }
        check_latency(latency, issues);
    }
    if export.response_threshold < 0 {
        issues.error("negative response threshold is invalid");
    }
    if export.response_threshold > 0 && !service {
        issues.error("response threshold only valid for services");
    }
    subject::check(&export.subject, issues);
    check_token_position(export, issues);
    info(&export.info, issues);
}

fn check_latency(latency: &ServiceLatency, issues: &mut Issues) {
    if !matches!(latency.sampling.0, 0..=100) {
        issues.error("sampling percentage needs to be between 1-100");
    }
    subject::check(&latency.results, issues);
    if subject::has_wildcards(&latency.results) {
        issues.error("results subject can not contain wildcards");
    }
}

/// The importer's key must be at a `*` of the subject.
fn check_token_position(export: &Export, issues: &mut Issues) {
    let (position, subject) = (export.account_token_position, &export.subject);
    if position == 0 {
        return;
    }
    if !subject::has_wildcards(subject) {
        issues.error(format!("Account Token Position can only be used with wildcard subjects: {subject}"));
        return;
    }
    let token = usize::try_from(position - 1).ok().and_then(|index| subject.split('.').nth(index));
    match token {
        Some("*") => (),
        Some(token) => issues
            .error(format!("Account Token Position {position} matches '{token}' but must match a * in: {subject}")),
        None => issues.error(format!("Account Token Position {position} exceeds length of subject '{subject}'")),
    }
}

/// Finds exports that another one of the same kind contains. Each containing subject is reported once, with the first
/// contained one.
fn overlaps(kind: StreamKind, exports: &[&Export], issues: &mut Issues) {
    let mut copies: HashMap<&str, usize> = HashMap::new();
    for export in exports {
        *copies.entry(&export.subject).or_default() += 1;
    }
    // Without a wildcard a subject contains only its copies, so only these need to be compared with all.
    let mut wide: Vec<_> = copies.keys().copied().filter(|subject| subject::may_contain_others(subject)).collect();
    wide.sort_unstable();
    let mut reported: HashSet<&str> = HashSet::new();
    for export in exports {
        let own = export.subject.as_str();
        let copied = copies.get(own).is_some_and(|&count| count > 1);
        let wider = wide.iter().copied().filter(|other| *other != own && subject::is_contained_in(own, other));
        for other in copied.then_some(own).into_iter().chain(wider) {
            if reported.insert(other) {
                let (other, own) = (quote(other), quote(own));
                issues.error(format!("{kind} export subject {other} already exports {own}"));
            }
        }
    }
}
