//! Operator claims.

use super::super::quote::quote;
use super::super::{Operator, OperatorJwt};
use super::{Issues, is_key, renaming, times, url};
use crate::key::Kind;

impl OperatorJwt {
    /// The findings of the library's `Validate` at `now`, in Unix seconds. It checks neither trust nor the kind of
    /// `sub`.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        times(&self.claims, now, &mut issues);
        check(&self.body, &mut issues);
        issues
    }
}

impl OperatorJwt {
    /// The findings that prevent nats-servers from using the JWT. They tolerate odd addresses, and an expired JWT.
    pub fn unusable(&self) -> Issues {
        let mut issues = Issues::default();
        check_keys(&self.body, &mut issues);
        issues
    }
}

/// The rules without those of time.
pub(super) fn check(operator: &Operator, issues: &mut Issues) {
    check_account_server(&operator.account_server_url, issues);
    for url in &operator.operator_service_urls {
        check_service(url, issues);
    }
    check_keys(operator, issues);
}

fn check_keys(operator: &Operator, issues: &mut Issues) {
    for key in operator.signing_keys.iter().filter(|key| !is_key(key, Kind::Operator)) {
        issues.error(format!("{key} is not an operator public key"));
    }
    let system = &operator.system_account;
    if !system.is_empty() && !is_key(system, Kind::Account) {
        issues.error(format!("{system} is not an account public key"));
    }
    if let Err(error) = server_version(&operator.assert_server_version) {
        issues.error(format!("assert server version error: {error}"));
    }
}

/// Any address with a scheme will do.
fn check_account_server(text: &str, issues: &mut Issues) {
    if text.is_empty() {
        return;
    }
    match url::parse(text) {
        Ok(url) if url.scheme.is_empty() => {
            issues.error(format!("account server url {} requires a protocol", quote(text)));
        }
        Ok(_) => (),
        Err(error) => issues.error(format!("error parsing account server url: {error}")),
    }
}

/// The address of a nats-server has neither credentials nor a path.
fn check_service(text: &str, issues: &mut Issues) {
    if text.is_empty() {
        return;
    }
    let quoted = quote(text);
    let url = match url::parse(text) {
        Ok(url) => url,
        Err(error) => return issues.error(format!("error parsing operator service url {quoted}: {error}")),
    };
    let complaint = if url.has_user {
        "credentials are not supported"
    } else if !url.path.is_empty() {
        "paths are not supported"
    } else if !matches!(url.scheme.as_str(), "nats" | "tls" | "ws" | "wss") {
        "protocol not supported (only 'nats', 'tls', 'ws', 'wss' only)"
    } else {
        return;
    };
    issues.error(format!("operator service url {quoted} - {complaint}"));
}

fn server_version(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() != 3 {
        return Err("asserted server version must be of the form <major>.<minor>.<update>".to_owned());
    }
    let mut negative = false;
    for part in parts {
        match renaming::integer(part) {
            Some(number) => negative |= number < 0,
            None => return Err(format!("asserted server version cant parse {part} to int")),
        }
    }
    if negative {
        return Err(format!("asserted server version can'b contain negative values: {text}"));
    }
    Ok(())
}
