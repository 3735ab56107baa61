//! Validation: what the Go library's `Validate` says about claims, in its order and words.

mod account;
mod activation;
mod export;
mod import;
mod issue;
mod mapping;
mod operator;
mod permission;
mod renaming;
mod subject;
mod url;
mod user;

pub use issue::{Issue, Issues};

use super::claims::{Import, Info, Registered};
use super::{AnyJwt, Body, GenericJwt};
use crate::key::{Kind, PublicKey};

impl AnyJwt {
    /// The findings at `now`, in Unix seconds, by the rules of the token's kind. For kinds other than account, operator
    /// and activation, only times are checked.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        times(&self.claims, now, &mut issues);
        match &self.body {
            Body::Account(body) => account::check(body, &self.claims, &mut issues),
            Body::Operator(body) => operator::check(body, &mut issues),
            Body::Activation(body) => activation::check_body(body, &mut issues),
            _ => (),
        }
        issues
    }
}

impl GenericJwt {
    /// The findings of the library's `Validate` at `now`, in Unix seconds: only times.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        times(&self.claims, now, &mut issues);
        issues
    }
}

/// The findings of the library's `Validate` about one import of the account `sub`.
pub(super) fn of_import(of: &Import, sub: &str) -> Issues {
    let mut issues = Issues::default();
    import::check(of, sub, &mut issues);
    issues
}

/// Longest description or address, in bytes.
const MAX_INFO: usize = 8 * 1024;

/// Expiry and start of validity. `now` is in Unix seconds.
fn times(claims: &Registered, now: i64, issues: &mut Issues) {
    if claims.exp > 0 && now > claims.exp {
        issues.time("claim is expired");
    }
    if claims.nbf > 0 && claims.nbf > now {
        issues.time("claim is not yet valid");
    }
}

/// Description and address of an account or export.
fn info(info: &Info, issues: &mut Issues) {
    if info.description.len() > MAX_INFO {
        issues.error("Description is too long");
    }
    if info.info_url.is_empty() {
        return;
    }
    if info.info_url.len() > MAX_INFO {
        issues.error("Info URL is too long");
    }
    match url::parse(&info.info_url) {
        Ok(url) if url.scheme.is_empty() || url.hostname().is_empty() => {
            issues.error("error parsing info url: no hostname or scheme");
        }
        Ok(_) => (),
        Err(error) => issues.error(format!("error parsing info url: {error}")),
    }
}

fn is_key(text: &str, kind: Kind) -> bool {
    PublicKey::parse_kind(text, kind).is_ok()
}
