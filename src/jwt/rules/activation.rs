//! Activation tokens.

use super::super::claims::StreamKind;
use super::super::{Activation, ActivationJwt};
use super::{Issues, is_key, subject, times};
use crate::key::Kind;

impl ActivationJwt {
    /// What the library's `Validate` finds at `now`, in Unix seconds. Trust, and what `sub` is, are not its business.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        times(&self.claims, now, &mut issues);
        check_body(&self.body, &mut issues);
        issues
    }
}

/// The rules without those of time.
pub(super) fn check_body(body: &Activation, issues: &mut Issues) {
    if body.kind == StreamKind::Unknown {
        issues.error("invalid import type: \"unknown\"");
    }
    subject::check(&body.subject, issues);
    if !body.issuer_account.is_empty() && !is_key(&body.issuer_account, Kind::Account) {
        issues.error("account_id is not an account public key");
    }
}
