//! The rules for user claims.

use ipnet::IpNet;

use super::super::UserJwt;
use super::super::claims::{TimeRange, User};
use super::super::quote::quote;
use super::{Issues, is_key, permission, times};
use crate::key::Kind;

impl UserJwt {
    /// The findings at `now`, in Unix seconds. Whether there is such a time zone is left to the caller: the library asks the
    /// machine.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        times(&self.claims, now, &mut issues);
        check(&self.body, &mut issues);
        issues
    }
}

fn check(body: &User, issues: &mut Issues) {
    permission::check(&body.template.permissions, issues);
    for network in &body.template.src.0 {
        if network.parse::<IpNet>().is_err() {
            issues.error(format!("invalid cidr {} in user src limits", quote(network)));
        }
    }
    for range in &body.template.times {
        range_of_times(range, issues);
    }
    if !body.issuer_account.is_empty() && !is_key(&body.issuer_account, Kind::Account) {
        issues.error("account_id is not an account public key");
    }
}

fn range_of_times(range: &TimeRange, issues: &mut Issues) {
    for (what, article, text) in [("start", "a", &range.start), ("end", "an", &range.end)] {
        let alone = TimeRange { start: text.clone(), end: text.clone() };
        if text.is_empty() {
            issues.error(format!("time ranges {what} must contain {article} {what}"));
        } else if alone.seconds().is_none() {
            issues.error(format!("{what} in time range is invalid {}", quote(text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;
    use serde_json::json;

    use super::*;
    use crate::testkit::{self, sign, with};

    #[test]
    fn what_the_library_rejects_is_found_in_its_words() {
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        for (nats, found) in [
            (json!({}), vec![]),
            (json!({ "src": ["10.0.0.1/8", "::1/128"] }), vec![]),
            (json!({ "src": ["10.0.0.1"] }), vec!["invalid cidr \"10.0.0.1\" in user src limits"]),
            (json!({ "times": [{ "start": "8:00:00", "end": "18:00:00" }] }), vec![]),
            (
                json!({ "times": [{ "start": "", "end": "x" }] }),
                vec!["time ranges start must contain a start", "end in time range is invalid \"x\""],
            ),
            (json!({ "pub": { "allow": ["a..b"] } }), vec!["subject \"a..b\" cannot contain consecutive `.`"]),
            (json!({ "issuer_account": "A" }), vec!["account_id is not an account public key"]),
        ] {
            let claims = with(testkit::user(&user, 1), json!({ "nats": nats }));
            let jwt = UserJwt::decode(&sign(&claims, &account)).expect("a user");
            let issues = jwt.validate(2);
            assert_eq!(issues.iter().map(|issue| &*issue.text).collect::<Vec<_>>(), found, "{claims}");
            assert_eq!(issues.is_blocking(false), !found.is_empty());
        }
    }
}
