//! Whether an account may import something from another one: which export covers the import, and what that export demands.
//!
//! The rules are those of nats-server (`checkStreamExportApproved`, `checkAuth` and `checkActivation` of 2.10 to 2.15). They
//! are stricter than the Go library's rules for subjects: a wildcard of an import needs one in the export.

use super::claims::{Export, Import, StreamKind, is_revoked};
use super::{AccountJwt, ActivationJwt, DecodeError, Issues, rules};

/// Why a nats-server does not let an account import something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotShared {
    /// No export of this type covers the subject.
    NoExport,
    /// The export wants the key of the importer at this place of the subject, counted from 1.
    NotItsPlace(u64),
    /// The export needs an activation, and the import has none.
    NoActivation,
    /// The activation is none, or is for something else.
    BadActivation(String),
    /// The exporter does not list the key that signed the activation.
    NotVouched(String),
    /// The activation expired at this time, unix seconds.
    Expired(i64),
    /// The export revokes the activation.
    Revoked,
}

impl Import {
    /// The subject as the exporter knows it. A service that was written before `local_subject` has it in `to`.
    pub fn exported_subject(&self) -> &str {
        if self.kind == StreamKind::Service && !self.to.is_empty() { &self.to } else { &self.subject }
    }
}

impl AccountJwt {
    /// Whether `importer`, the key of an account, may have this import from this account at `now`, in unix seconds. Returns
    /// when that ends, if an activation says so.
    pub fn shares(&self, import: &Import, importer: &str, now: i64) -> Result<Option<i64>, NotShared> {
        let subject = import.exported_subject();
        let exports = || self.body.exports.iter().flatten().filter(|export| export.kind == import.kind);
        let exact = exports().find(|export| export.subject == subject);
        let export = exact.or_else(|| exports().find(|export| covers(&export.subject, subject)));
        let export = export.ok_or(NotShared::NoExport)?;
        match export.account_token_position {
            0 if export.token_req => self.activated(export, import, importer, now),
            0 => Ok(None),
            // What the export itself is called has a wildcard at this place.
            place if exact.is_none() && token(subject, place) == Some(importer) => Ok(None),
            place => Err(NotShared::NotItsPlace(place)),
        }
    }

    /// Whether the activation in an import counts.
    fn activated(&self, export: &Export, import: &Import, importer: &str, now: i64) -> Result<Option<i64>, NotShared> {
        if import.token.is_empty() {
            return Err(NotShared::NoActivation);
        }
        let bad = |issues: &Issues| issues.told().next().map(|text| NotShared::BadActivation(text.into_owned()));
        let activation = ActivationJwt::decode(&import.token)
            .map_err(|error: DecodeError| NotShared::BadActivation(error.to_string()))?;
        let issues = rules::of_import(import, importer);
        if issues.is_blocking(true) {
            return Err(bad(&issues).unwrap_or(NotShared::NoActivation));
        }
        let (claims, named) = (&activation.claims, &activation.body.issuer_account);
        let is_vouched = named.is_empty() || *named == self.claims.sub && self.did_sign(&claims.iss, named);
        if !is_vouched {
            return Err(NotShared::NotVouched(claims.iss.clone()));
        }
        if claims.exp != 0 && claims.exp <= now {
            return Err(NotShared::Expired(claims.exp));
        }
        let issues = activation.validate(now);
        if issues.is_blocking(true) {
            return Err(bad(&issues).unwrap_or(NotShared::NoActivation));
        }
        if is_revoked(&export.revocations, &claims.sub, claims.iat) {
            return Err(NotShared::Revoked);
        }
        Ok(Some(claims.exp).filter(|exp| *exp != 0))
    }
}

/// A token of a subject, counted from 1.
fn token(subject: &str, place: u64) -> Option<&str> {
    subject.split('.').nth(usize::try_from(place).ok()?.checked_sub(1)?)
}

/// Whether an exported subject covers everything that an imported one stands for.
fn covers(exported: &str, imported: &str) -> bool {
    let mut tokens = imported.split('.');
    for wanted in exported.split('.') {
        match (wanted, tokens.next()) {
            (_, None) | ("", _) => return false,
            (">", Some(_)) => return true,
            (_, Some("" | ">")) => return false,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;
    use serde_json::{Value, json};

    use super::*;
    use crate::testkit::{self, sign, with};

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn an_export_covers_what_nats_server_says_it_covers() {
        for (exported, imported, expected) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.*", true),
            ("a.*", "a.>", false),
            ("a.>", "a.>", true),
            ("a.>", "a.*.b", true),
            ("a.>", "a", false),
            (">", "a.b", true),
            ("a.b", "a.*", false),
            ("*.b", "a.b", true),
            ("*.b", "a.c", false),
            ("a", "a.b", false),
            ("a.b.c", "a.b", false),
            ("a.*", "a.", false),
        ] {
            assert_eq!(covers(exported, imported), expected, "{exported} {imported}");
        }
    }

    struct World {
        exporter: KeyPair,
        signing: KeyPair,
        importer: KeyPair,
    }

    impl World {
        fn exporter(&self, export: Value) -> AccountJwt {
            let export = with(json!({ "name": "x", "subject": "a.*", "type": "stream" }), export);
            let nats = json!({ "exports": [export], "signing_keys": [self.signing.public_key()] });
            let claims = with(testkit::account(&self.exporter, NOW - 100), json!({ "nats": nats }));
            AccountJwt::decode(&sign(&claims, &KeyPair::new_operator())).unwrap()
        }

        fn import(&self, import: Value) -> Import {
            let import = with(
                json!({ "name": "x", "subject": "a.b", "type": "stream", "account": self.exporter.public_key() }),
                import,
            );
            let claims = with(testkit::account(&self.importer, NOW - 100), json!({ "nats": { "imports": [import] } }));
            let account = AccountJwt::decode(&sign(&claims, &KeyPair::new_operator())).unwrap();
            account.body.imports[0].clone().unwrap()
        }

        fn activation(&self, more: Value, signer: &KeyPair) -> Value {
            let claims = testkit::activation(&self.importer.public_key(), "a.*", NOW - 50);
            json!({ "token": sign(&with(claims, more), signer) })
        }
    }

    #[test]
    fn an_import_is_judged_by_the_export_that_covers_it() {
        let world = World {
            exporter: KeyPair::new_account(),
            signing: KeyPair::new_account(),
            importer: KeyPair::new_account(),
        };
        let (importer, exporter) = (world.importer.public_key(), world.exporter.public_key());
        let stranger = KeyPair::new_account();
        let by_signing = json!({ "nats": { "issuer_account": exporter } });
        let own = |more| world.activation(more, &world.exporter);
        let private = || json!({ "token_req": true });
        let revoking = |key: &str, at: i64| json!({ "token_req": true, "revocations": { key: at } });
        let place = |subject: &str| json!({ "subject": subject });
        for (export, import, expected) in [
            (json!({}), json!({}), Ok(None)),
            (json!({}), json!({ "type": "service" }), Err(NotShared::NoExport)),
            (json!({}), json!({ "subject": "a.b.c" }), Err(NotShared::NoExport)),
            (json!({}), json!({ "subject": "a.*" }), Ok(None)),
            (json!({ "account_token_position": 2 }), json!({}), Err(NotShared::NotItsPlace(2))),
            (json!({ "account_token_position": 2 }), place(&format!("a.{importer}")), Ok(None)),
            (json!({ "account_token_position": 2 }), place("a.*"), Err(NotShared::NotItsPlace(2))),
            (private(), json!({}), Err(NotShared::NoActivation)),
            (private(), own(json!({})), Ok(None)),
            (private(), own(json!({ "exp": NOW + 1 })), Ok(Some(NOW + 1))),
            (private(), own(json!({ "exp": NOW })), Err(NotShared::Expired(NOW))),
            (private(), world.activation(by_signing.clone(), &world.signing), Ok(None)),
            (private(), world.activation(by_signing, &stranger), Err(NotShared::NotVouched(stranger.public_key()))),
            (revoking(&importer, NOW), own(json!({})), Err(NotShared::Revoked)),
            (revoking("*", NOW - 50), own(json!({})), Err(NotShared::Revoked)),
            (revoking(&importer, NOW - 51), own(json!({})), Ok(None)),
        ] {
            let found = world.exporter(export.clone()).shares(&world.import(import.clone()), &importer, NOW);
            assert_eq!(found, expected, "{export} {import}");
        }
        for activation in [
            own(json!({ "sub": stranger.public_key() })),
            own(json!({ "nats": { "subject": "z" } })),
            own(json!({ "nbf": NOW + 5 })),
            world.activation(json!({}), &stranger),
            json!({ "token": "x" }),
        ] {
            let found = world.exporter(private()).shares(&world.import(activation.clone()), &importer, NOW);
            assert!(matches!(found, Err(NotShared::BadActivation(_))), "{activation}: {found:?}");
        }
    }

    #[test]
    fn a_service_may_name_the_exporter_s_subject_in_its_older_place() {
        let import = |kind, to: &str| Import { kind, subject: "s".into(), to: to.into(), ..Import::default() };
        assert_eq!(import(StreamKind::Service, "x").exported_subject(), "x");
        assert_eq!(import(StreamKind::Service, "").exported_subject(), "s");
        assert_eq!(import(StreamKind::Stream, "x").exported_subject(), "s");
    }
}
