//! Account claims.

use super::super::claims::{ExternalAuthorization, OperatorLimits, Registered, SigningKeys, Trace};
use super::super::quote::quote;
use super::super::{Account, AccountJwt};
use super::{Issues, export, import, info, is_key, mapping, permission, subject, times};
use crate::key::Kind;

const TOO_MANY_IMPORTS: &str = "the account contains more imports than allowed by the operator";

impl AccountJwt {
    /// The findings of the library's `Validate` at `now`, in Unix seconds. It checks neither trust nor the kind of
    /// `sub`.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        times(&self.claims, now, &mut issues);
        check(&self.body, &self.claims, &mut issues);
        issues
    }
}

/// The rules without those of time.
pub(super) fn check(account: &Account, claims: &Registered, issues: &mut Issues) {
    import::check_all(account, &claims.sub, issues);
    export::check_all(&account.exports, issues);
    if account.limits.tiered.contains_key("") {
        issues.error("Tiered JetStream Limits can not contain a blank \"\" tier name");
    }
    permission::check(&account.default_permissions, issues);
    mapping::check(&account.mappings, issues);
    check_authorization(&account.authorization, issues);
    if let Some(trace) = &account.trace {
        check_trace(trace, issues);
    }
    check_counts(account, &account.limits, issues);
    check_signing_keys(&account.signing_keys, issues);
    info(&account.info, issues);
    if !matches!(account.cluster_traffic.as_str(), "" | "system" | "owner") {
        issues.error(format!("unknown cluster traffic option: {}", quote(&account.cluster_traffic)));
    }
    if is_key(&claims.iss, Kind::Account) && !account.limits.is_empty() {
        issues.warning("self-signed account JWTs shouldn't contain operator limits");
    }
}

fn check_authorization(authorization: &ExternalAuthorization, issues: &mut Issues) {
    let accounts = &authorization.allowed_accounts;
    if !accounts.is_empty() && authorization.auth_users.is_empty() {
        issues.error("External authorization cannot have accounts without users specified");
    }
    for user in authorization.auth_users.iter().filter(|user| !is_key(user, Kind::User)) {
        issues.error(format!("AuthUser {} is not a valid user public key", quote(user)));
    }
    for account in accounts {
        if account == "*" {
            if accounts.len() > 1 {
                issues.error("AllowedAccounts can only be a list of accounts or \"*\"");
            }
        } else if !is_key(account, Kind::Account) {
            issues.error(format!("Account {} is not a valid account public key", quote(account)));
        }
    }
    if !authorization.xkey.is_empty() && !is_key(&authorization.xkey, Kind::Curve) {
        issues.error(format!("XKey {} is not a valid public xkey", quote(&authorization.xkey)));
    }
}

fn check_trace(trace: &Trace, issues: &mut Issues) {
    let mut found = Issues::default();
    subject::check(&trace.destination, &mut found);
    if let Some(first) = found.iter().next() {
        issues.error(format!("the account Trace.Destination {}", first.text));
    }
    if subject::has_wildcards(&trace.destination) {
        let subject = quote(&trace.destination);
        issues.error(format!("the account Trace.Destination subject {subject} is not a valid publish subject"));
    }
    if !matches!(trace.sampling, 0..=100) {
        issues.error(format!(
            "the account Trace.Sampling value '{}' is not valid, should be in the range [1..100]",
            trace.sampling
        ));
    }
}

/// Numbers of imports and exports. Absent limits grant none.
fn check_counts(account: &Account, limits: &OperatorLimits, issues: &mut Issues) {
    let exceeds = |count: usize, limit: i64| i64::try_from(count).is_ok_and(|count| count > limit);
    let too_many = exceeds(account.imports.len(), limits.imports);
    if too_many && limits.imports >= 0 && !limits.is_empty() {
        issues.error(TOO_MANY_IMPORTS);
    }
    // The library counts twice.
    if too_many && limits.imports != -1 {
        issues.error(TOO_MANY_IMPORTS);
    }
    if limits.exports == -1 {
        return;
    }
    if exceeds(account.exports.len(), limits.exports) {
        issues.error("the account contains more exports than allowed by the operator");
    }
    if !limits.wildcards {
        for _ in account.exports.iter().flatten().filter(|export| subject::has_wildcards(&export.subject)) {
            issues.error("the account contains wildcard exports that are not allowed by the operator");
        }
    }
}

fn check_signing_keys(keys: &SigningKeys, issues: &mut Issues) {
    for (key, scope) in keys.iter().filter(|(key, _)| !is_key(key, Kind::Account)) {
        match scope {
            Some(_) => issues.error(format!("{key} is not an account public key")),
            None => issues.error(format!("{} is not a valid account signing key", quote(key))),
        }
    }
}
