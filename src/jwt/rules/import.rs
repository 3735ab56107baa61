//! An account's imports, and the activation tokens in them.

use std::collections::{BTreeSet, HashMap};

use super::super::claims::{Import, StreamKind};
use super::super::quote::quote;
use super::super::{Account, ActivationJwt};
use super::{Issues, activation, renaming, subject};

/// The rules for the imports of the account `sub`.
pub(super) fn check_all(account: &Account, sub: &str, issues: &mut Issues) {
    let mut seen: HashMap<&str, Seen> = HashMap::new();
    for import in &account.imports {
        let Some(import) = import else {
            issues.error("null import is not allowed");
            continue;
        };
        if import.kind == StreamKind::Service {
            overlaps(import, seen.entry(&import.account).or_default(), issues);
        }
        check(import, sub, issues);
    }
}

/// Where the services of one exporting account were seen here so far.
#[derive(Default)]
struct Seen {
    all: BTreeSet<String>,
    /// Those with a wildcard: only they need to be compared with a subject that has none and is new.
    wide: Vec<String>,
}

/// Services of one account must not meet under one subject here.
fn overlaps(import: &Import, seen: &mut Seen, issues: &mut Issues) {
    let here = if !import.to.is_empty() {
        import.to.clone()
    } else if !import.local_subject.is_empty() {
        renaming::pattern(&import.local_subject)
    } else {
        import.subject.clone()
    };
    let meets = |other: &String| subject::is_contained_in(&here, other) || subject::is_contained_in(other, &here);
    let is_wide = subject::may_contain_others(&here);
    let others: Vec<_> = if is_wide {
        seen.all.iter().filter(|other| meets(other)).collect()
    } else {
        seen.all.get(&here).into_iter().chain(seen.wide.iter().filter(|other| meets(other))).collect()
    };
    let account = quote(&import.account);
    for other in others {
        let (here, other) = (quote(&here), quote(other));
        issues.error(format!("overlapping subject namespace for {here} and {other} in same account {account}"));
    }
    if seen.all.contains(&here) {
        issues.error(format!("overlapping subject namespace for {} in account {account}", quote(&here)));
        return;
    }
    if is_wide {
        seen.wide.push(here.clone());
    }
    seen.all.insert(here);
}

/// The rules for one import of the account `sub`.
pub(super) fn check(import: &Import, sub: &str, issues: &mut Issues) {
    let service = import.kind == StreamKind::Service;
    if import.kind == StreamKind::Unknown {
        issues.error("invalid import type: \"unknown\"");
    }
    if service && import.allow_trace {
        issues.error("AllowTrace only valid for stream import");
    }
    if import.account.is_empty() {
        issues.error("account to import from is not specified");
    }
    if !import.to.is_empty() {
        issues.warning("the field to has been deprecated (use LocalSubject instead)");
    }
    subject::check(&import.subject, issues);
    if !import.local_subject.is_empty() {
        renaming::check(&import.local_subject, &import.subject, issues);
        if !import.to.is_empty() {
            issues.error("Local Subject replaces To");
        }
    }
    let quoted = quote(&import.subject);
    if import.share && !service {
        issues.error(format!("sharing information (for latency tracking) is only valid for services: {quoted}"));
    }
    if import.token.is_empty() {
        return;
    }
    match ActivationJwt::decode(&import.token) {
        Ok(token) => check_token(import, &token, sub, issues),
        Err(_) => issues.error(format!("import {quoted} contains an invalid activation token")),
    }
}

/// The token must be for this account and this import. Its times are not checked: nats-server checks them continuously.
fn check_token(import: &Import, token: &ActivationJwt, sub: &str, issues: &mut Issues) {
    let quoted = quote(&import.subject);
    if token.claims.iss != import.account && token.body.issuer_account != import.account {
        issues.error(format!("activation token doesn't match account for import {quoted}"));
    }
    if token.claims.sub != sub {
        issues.error(format!("activation token doesn't match account it is being included in, {quoted}"));
    }
    if token.body.kind != import.kind {
        let (token, import) = (token.body.kind, import.kind);
        issues.error(format!("mismatch between token import type {token} and type of import {import}"));
    }
    activation::check_body(&token.body, issues);
    if !subject::is_contained_in(import.exported_subject(), &token.body.subject) {
        let granted = quote(&token.body.subject);
        issues.error(format!("activation token import subject {granted} doesn't match import {quoted}"));
    }
}
