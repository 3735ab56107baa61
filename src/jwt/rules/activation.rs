//! Activation tokens.

use super::super::claims::StreamKind;
use super::super::{AccountJwt, Activation, ActivationJwt, is_revoked};
use super::{Issues, is_key, subject, times};
use crate::key::Kind;

impl ActivationJwt {
    /// The findings of the library's `Validate` at `now`, in Unix seconds. It checks neither trust nor the kind of
    /// `sub`.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        times(&self.claims, now, &mut issues);
        check_body(&self.body, &mut issues);
        issues
    }
}

impl AccountJwt {
    /// Whether this account has revoked an activation that it issued: an export of it, which covers what the activation
    /// is for, revokes its importer since a time that is not earlier. So nats-server decides, too.
    pub fn revokes(&self, activation: &ActivationJwt) -> bool {
        let Activation { subject, kind, .. } = &activation.body;
        let claims = &activation.claims;
        self.body
            .exports
            .iter()
            .flatten()
            .filter(|export| export.kind == *kind && subject::is_contained_in(subject, &export.subject))
            .any(|export| is_revoked(&export.revocations, &claims.sub, claims.iat))
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

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;
    use serde_json::{Value, json};

    use super::*;
    use crate::testkit::{self, sign};

    const IAT: i64 = 1_800_000_000;

    #[test]
    fn an_export_that_covers_the_subject_revokes_up_to_its_time() {
        let (operator, account, importer) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        let claims = testkit::activation(&importer.public_key(), "orders.new", IAT);
        let activation = ActivationJwt::decode(&sign(&claims, &account)).expect("an activation");
        let revokes = |subject: &str, kind: &str, who: &str, until: i64| {
            let exports: Value =
                json!([null, { "subject": subject, "type": kind, "token_req": true, "revocations": { who: until } }]);
            let claims = json!({
                "sub": account.public_key(), "iat": IAT, "nats": { "exports": exports, "type": "account", "version": 2 }
            });
            AccountJwt::decode(&sign(&claims, &operator)).expect("an account").revokes(&activation)
        };
        let (him, other) = (importer.public_key(), account.public_key());
        for (subject, kind, who, until, expected) in [
            ("orders.new", "stream", &*him, IAT, true),
            ("orders.new", "stream", &him, IAT - 1, false),
            ("orders.>", "stream", &him, IAT, true),
            ("orders.*", "stream", "*", IAT, true),
            ("orders.new", "service", &him, IAT, false),
            ("orders.old", "stream", &him, IAT, false),
            ("orders.new", "stream", &other, IAT, false),
        ] {
            assert_eq!(revokes(subject, kind, who, until), expected, "{subject} {kind} {who} {until}");
        }
    }
}
