//! Throwaway keys, and the JWTs that they sign.

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::error::DemoError;
use crate::jwt::encode;

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

    /// The private key, as text.
    pub(super) fn seed(&self) -> Result<String, DemoError> {
        self.keys.seed().map_err(|error| DemoError::new(format!("cannot write a seed: {error}")))
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
    pub(super) fn operator_jwt(&self, account_server: &str, nats_url: &str) -> Result<String, DemoError> {
        let nats = json!({
            "signing_keys": [self.signing.id()],
            "account_server_url": account_server,
            "operator_service_urls": [nats_url],
            "system_account": self.system.id(),
            "type": "operator",
            "version": 2,
        });
        self.sign(&self.operator, self.start, nats, &self.operator)
    }

    /// The JWT of an account, signed with the operator's signing key.
    pub(super) fn account_jwt(&self, account: &Named, version: Version<'_>) -> Result<String, DemoError> {
        self.account_signed_by(&self.signing, account, version)
    }

    /// The JWT of an account, signed by any operator.
    pub(super) fn account_signed_by(
        &self,
        signer: &Named,
        account: &Named,
        version: Version<'_>,
    ) -> Result<String, DemoError> {
        let issued = self.start + version.number * APART;
        let mut nats = json!({
            "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": version.connections.unwrap_or(-1), "leaf": -1,
            },
            "default_permissions": { "pub": {}, "sub": {} },
            "type": "account",
            "version": 2,
        });
        if let Some(user) = version.revoked {
            // Every JWT of this user that was issued up to then.
            nats["revocations"] = json!({ user.id(): issued });
        }
        self.sign(account, issued, nats, signer)
    }

    /// The JWT of a user, signed with its account's key.
    pub(super) fn user_jwt(&self, user: &Named, account: &Named) -> Result<String, DemoError> {
        let nats = json!({
            "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2,
        });
        self.sign(user, self.start, nats, account)
    }

    /// A credentials file: the user's JWT and seed, in the form that every NATS client reads.
    pub(super) fn creds(&self, user: &Named, account: &Named) -> Result<String, DemoError> {
        let (token, seed) = (self.user_jwt(user, account)?, user.seed()?);
        Ok(format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             This NKEY Seed was made by `nats-account-server demo`. Use it for nothing but the demo.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n"
        ))
    }

    fn sign(&self, subject: &Named, issued: i64, nats: Value, signer: &Named) -> Result<String, DemoError> {
        let claims = json!({ "iat": issued, "name": subject.name, "sub": subject.id(), "nats": nats });
        encode::sign(&claims, &signer.keys).map_err(|error| DemoError::new(format!("cannot sign a JWT: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::{AccountJwt, OperatorJwt, is_revoked};

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn the_operator_vouches_for_its_accounts_and_a_stranger_does_not() {
        let cast = Cast::new(NOW);
        let operator = cast.operator_jwt("http://127.0.0.1:1/jwt/v1", "nats://127.0.0.1:2").expect("a JWT");
        let operator = OperatorJwt::decode(&operator).expect("an operator");
        assert!(operator.validate(NOW).iter().next().is_none());
        let token = cast.account_jwt(&cast.app, Version::default()).expect("a JWT");
        let account = AccountJwt::decode(&token).expect("an account");
        assert!(account.validate(NOW).iter().next().is_none());
        assert!(operator.did_sign(&account.claims.iss, &account.claims.sub));
        let token = cast.account_signed_by(&cast.stranger, &cast.app, Version::default()).expect("a JWT");
        let account = AccountJwt::decode(&token).expect("an account");
        assert!(!operator.did_sign(&account.claims.iss, &account.claims.sub));
    }

    #[test]
    fn a_later_version_is_newer_and_revokes_whom_it_names() {
        let cast = Cast::new(NOW);
        let version = Version { number: 2, connections: Some(1), revoked: Some(&cast.alice) };
        let token = cast.account_jwt(&cast.app, version).expect("a JWT");
        let account = AccountJwt::decode(&token).expect("an account");
        let first = cast.account_jwt(&cast.app, Version::default()).expect("a JWT");
        let first = AccountJwt::decode(&first).expect("an account");
        assert!(first.claims.iat < account.claims.iat && account.claims.iat <= NOW);
        assert_eq!(account.body.limits.conn, 1);
        assert!(is_revoked(&account.body.revocations, &cast.alice.id(), first.claims.iat));
        assert!(!is_revoked(&account.body.revocations, &cast.bob.id(), first.claims.iat));
    }
}
