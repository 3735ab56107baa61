//! Throwaway keys, and the JWTs that they sign.

use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::testkit::{self, with};

/// How old the first JWTs claim to be, in seconds.
///
/// A JWT's time of issue has whole seconds, and the demo pushes several versions within one. So the first is dated a
/// minute back, and each later one a little after it: what is newer shows. What people push afterwards is newer still.
const BACK: i64 = 60;
/// Seconds between two versions of an account.
const APART: i64 = 10;

/// A name with its key pair.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) keys: KeyPair,
}

impl Named {
    pub(super) fn id(&self) -> String {
        self.keys.public_key()
    }
}

/// Every key of the demo.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) operator: Named,
    pub(super) signing: Named,
    pub(super) stranger: Named,
    pub(super) system: Named,
    pub(super) app: Named,
    pub(super) billing: Named,
    /// The user of the system account.
    pub(super) sys: Named,
    /// Users of `app`. `alice` will be revoked.
    pub(super) alice: Named,
    pub(super) bob: Named,
    /// The user of `billing`.
    pub(super) carol: Named,
    /// Unix seconds of the first JWTs.
    start: i64,
}

/// What changes between the versions of an account.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Version<'a> {
    /// 0 is the first.
    pub(super) number: i64,
    /// Connections that the account may have; `None` is any number.
    pub(super) connections: Option<i64>,
    /// The user whose JWTs are revoked.
    pub(super) revoked: Option<&'a Named>,
}

impl Cast {
    /// New keys for everybody. `now` in Unix seconds.
    pub(super) fn new(now: i64) -> Self {
        let operator = |name| Named { name, keys: KeyPair::new_operator() };
        let account = |name| Named { name, keys: KeyPair::new_account() };
        let user = |name| Named { name, keys: KeyPair::new_user() };
        Self {
            operator: operator("demo"),
            signing: operator("demo"),
            stranger: operator("stranger"),
            system: account("SYS"),
            app: account("app"),
            billing: account("billing"),
            sys: user("sys"),
            alice: user("alice"),
            bob: user("bob"),
            carol: user("carol"),
            start: now - BACK,
        }
    }

    /// The users with their accounts.
    pub(super) fn users(&self) -> [(&Named, &Named); 4] {
        [(&self.sys, &self.system), (&self.alice, &self.app), (&self.bob, &self.app), (&self.carol, &self.billing)]
    }

    /// The operator's own JWT. `account_server` is where nsc pushes to.
    pub(super) fn operator_jwt(&self, account_server: &str, nats_url: &str) -> String {
        let claims = testkit::operator(&self.operator.keys, self.start, &[&self.signing.keys]);
        let more = json!({
            "account_server_url": account_server,
            "operator_service_urls": [nats_url],
            "system_account": self.system.id(),
        });
        sign(&self.operator, claims, more, &self.operator)
    }

    /// The JWT of an account, signed with the operator's signing key.
    pub(super) fn account_jwt(&self, account: &Named, version: Version<'_>) -> String {
        self.account_signed_by(&self.signing, account, version)
    }

    /// The JWT of an account, signed by any operator.
    pub(super) fn account_signed_by(&self, signer: &Named, account: &Named, version: Version<'_>) -> String {
        let issued = self.start + version.number * APART;
        let mut more = json!({ "limits": { "conn": version.connections.unwrap_or(-1) } });
        if let Some(user) = version.revoked {
            // Every JWT of this user that was issued up to then.
            more["revocations"] = json!({ user.id(): issued });
        }
        sign(account, testkit::account(&account.keys, issued), more, signer)
    }

    /// The JWT of a user, signed with its account's key.
    pub(super) fn user_jwt(&self, user: &Named, account: &Named) -> String {
        sign(user, testkit::user(&user.keys, self.start), json!({}), account)
    }

    /// A credentials file: the user's JWT and seed.
    pub(super) fn creds(&self, user: &Named, account: &Named) -> String {
        let note = "************************* IMPORTANT *************************\n\
                    This NKEY Seed was made by `nats-account-server demo`. Use it for nothing but the demo.\n\n";
        let creds = testkit::creds(&self.user_jwt(user, account), &user.keys, note);
        format!("{creds}\n*************************************************************\n")
    }
}

/// Signs claims about somebody, with `more` in their body.
fn sign(subject: &Named, claims: Value, more: Value, signer: &Named) -> String {
    testkit::sign(&with(claims, json!({ "name": subject.name, "nats": more })), &signer.keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::{AccountJwt, OperatorJwt, is_revoked};

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn the_operator_vouches_for_its_accounts_and_a_stranger_does_not() {
        let cast = Cast::new(NOW);
        let operator = cast.operator_jwt("http://127.0.0.1:1/jwt/v1", "nats://127.0.0.1:2");
        let operator = OperatorJwt::decode(&operator).expect("an operator");
        assert!(operator.validate(NOW).iter().next().is_none());
        let token = cast.account_jwt(&cast.app, Version::default());
        let account = AccountJwt::decode(&token).expect("an account");
        assert!(account.validate(NOW).iter().next().is_none());
        assert!(operator.did_sign(&account.claims.iss, &account.claims.sub));
        let token = cast.account_signed_by(&cast.stranger, &cast.app, Version::default());
        let account = AccountJwt::decode(&token).expect("an account");
        assert!(!operator.did_sign(&account.claims.iss, &account.claims.sub));
    }

    #[test]
    fn a_later_version_is_newer_and_revokes_whom_it_names() {
        let cast = Cast::new(NOW);
        let version = Version { number: 2, connections: Some(1), revoked: Some(&cast.alice) };
        let token = cast.account_jwt(&cast.app, version);
        let account = AccountJwt::decode(&token).expect("an account");
        let first = cast.account_jwt(&cast.app, Version::default());
        let first = AccountJwt::decode(&first).expect("an account");
        assert!(first.claims.iat < account.claims.iat && account.claims.iat <= NOW);
        assert_eq!(account.body.limits.conn, 1);
        assert!(is_revoked(&account.body.revocations, &cast.alice.id(), first.claims.iat));
        assert!(!is_revoked(&account.body.revocations, &cast.bob.id(), first.claims.iat));
    }
}
