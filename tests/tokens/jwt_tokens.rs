//! What the vectors do not say about tokens: making them, showing them, and what holds of every decoded one.
use nats_account_server::calendar::utc_date;
use nats_account_server::jwt::{
    AccountJwt, ActivationJwt, DecodeError, GenericJwt, OperatorJwt, encode, is_revoked, readable,
};
use nats_account_server::testkit::{HEADER_V1, sign_raw};
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};

fn pair(kind: KeyPairType, byte: u8) -> KeyPair {
    KeyPair::new_from_raw(kind, [byte; 32]).unwrap()
}

fn operator() -> KeyPair {
    pair(KeyPairType::Operator, 1)
}

fn account() -> KeyPair {
    pair(KeyPairType::Account, 2)
}

fn account_claims() -> Value {
    json!({"iat": 1, "sub": account().public_key(), "nats": {"type": "account", "version": 2}})
}

/// Made by `AccountClaims.Encode` of the Go library, from keys of 32 equal bytes.
const BY_THE_LIBRARY: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJhdWQiOiJ4IiwiZXhwIjo0MTAyNDQ0ODAwLCJqdGkiOiJVNVFDNUg3UzJBWUpTSExJWkY1Vks2SVlINUQ0Mk9YT0xaUDVKNE4zVko2STNISDYyVEJRIiwiaWF0IjoxNzk1NTIwNDE0LCJpc3MiOiJPQ0ZJUlk2NU9RRTdERlA1S0xOUzJQRjJMVlpNVVpZSlg0T1pJRVEzNk4ySVFBTlVCNVhWWU9DUyIsIm5hbWUiOiJhXHUwMDNjYlx1MDAzZVx1MDAyNlx1MjAyOMOpXCJcXFxiXGZcdFx1MDAwMX8iLCJzdWIiOiJBQ0FUUzVZT1ZCNlJPWDJXVU5LR05RMk1QM0dNWERNS1NHMk80TjVDTFgzQTZXNFBaR1paSUwyUiIsIm5hdHMiOnsibGltaXRzIjp7InN1YnMiOi0xLCJkYXRhIjotMSwicGF5bG9hZCI6LTEsImltcG9ydHMiOi0xLCJleHBvcnRzIjotMSwid2lsZGNhcmRzIjp0cnVlLCJjb25uIjotMSwibGVhZiI6LTF9LCJkZWZhdWx0X3Blcm1pc3Npb25zIjp7InB1YiI6e30sInN1YiI6e319LCJhdXRob3JpemF0aW9uIjp7fSwidHlwZSI6ImFjY291bnQiLCJ2ZXJzaW9uIjoyfX0.VLbdzFBDsUv5ovDA8bxfldaPHHmMnzZBSYW0Ds5t0gwYyg3eIC6OWuCwN_VLfQitpJ9oVHfB6dxzsnnZkfPuBw";

#[test]
fn claims_are_signed_byte_for_byte_as_the_library_signs_them() {
    let claims = json!({
        "nats": {
            "limits": {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": -1},
            "default_permissions": {"pub": {}, "sub": {}}, "authorization": {}, "type": "account", "version": 2
        },
        "sub": account().public_key(), "name": "a<b>&\u{2028}\u{e9}\"\\\u{8}\u{c}\t\u{1}\u{7f}",
        "iat": 1_795_520_414, "aud": "x", "exp": 4_102_444_800_i64, "jti": "of no account", "iss": "neither"
    });
    assert_eq!(encode::sign(&claims, &operator()).unwrap(), BY_THE_LIBRARY);
}

#[test]
fn only_an_object_and_a_private_key_make_a_token() {
    assert!(encode::sign(&json!([]), &operator()).is_err());
    let public = KeyPair::from_public_key(&operator().public_key()).unwrap();
    assert!(encode::sign(&account_claims(), &public).is_err());
}

#[test]
fn a_token_is_shown_as_ever() {
    let data = |name: &str| {
        std::fs::read_to_string(format!("{}/tests/data/readable.{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    assert_eq!(readable(&data("jwt")).unwrap(), data("txt"));
}

#[test]
fn what_is_no_token_is_not_shown() {
    for (token, error) in [
        ("", "error decoding account claim: expected 3 chunks"),
        ("a.b.c", "error decoding account claim header: illegal base64 data at input byte 0"),
        ("e30.W.c", "error decoding account claim: illegal base64 data at input byte 0"),
    ] {
        let shown = readable(token).unwrap_err().to_string();
        let start = error.rsplit_once(' ').unwrap().0;
        assert!(shown.starts_with(start), "{shown:?} instead of {error:?}");
    }
}

#[test]
fn the_signing_input_is_what_the_effective_version_signs() {
    let token = encode::sign(&account_claims(), &operator()).unwrap();
    let jwt = AccountJwt::decode(&token).unwrap();
    assert_eq!(jwt.signing_input(&token), token.rsplit_once('.').unwrap().0);
    assert_eq!(jwt.version, 2);

    let old = json!({"iss": operator().public_key(), "type": "account", "nats": {}}).to_string();
    let token = sign_raw(HEADER_V1, &old, &operator(), true);
    let jwt = AccountJwt::decode(&token).unwrap();
    assert_eq!(jwt.signing_input(&token), token.split('.').nth(1).unwrap());
    assert_eq!(jwt.version, 1);
    // The header is not signed, and changes nothing.
    let other = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5In0{}", &token[token.find('.').unwrap()..]);
    assert_eq!(AccountJwt::decode(&other).unwrap().signing_input(&other), jwt.signing_input(&token));
}

#[test]
fn a_token_is_of_its_own_kind_only() {
    let token = encode::sign(&account_claims(), &operator()).unwrap();
    assert_eq!(OperatorJwt::decode(&token).unwrap_err().to_string(), "not operator claim");
    assert_eq!(
        ActivationJwt::decode(&token).unwrap_err(),
        DecodeError::Kind { wanted: "activation", found: "account" }
    );
}

#[test]
fn a_deletion_request_names_accounts() {
    let request = |accounts: Value| {
        let claims = json!({"sub": operator().public_key(), "nats": {"accounts": accounts, "version": 2}});
        GenericJwt::decode(&encode::sign(&claims, &operator()).unwrap()).unwrap()
    };
    assert_eq!(request(json!(["A", "B"])).accounts(), Some(vec!["A", "B"]));
    assert_eq!(request(json!([])).accounts(), Some(vec![]));
    assert_eq!(request(json!(["A", 1])).accounts(), None);
    assert_eq!(request(json!("A")).accounts(), None);
    assert_eq!(request(Value::Null).accounts(), None);
}

#[test]
fn an_account_vouches_for_its_activations() {
    let claims = json!({"sub": account().public_key(), "nats": {"type": "account", "version": 2,
        "signing_keys": ["S", {"kind": "user_scope", "key": "T"}]}});
    let jwt = AccountJwt::decode(&encode::sign(&claims, &operator()).unwrap()).unwrap();
    let own = account().public_key();
    for (iss, issuer_account, signed) in [
        (own.as_str(), "", true),
        (&own, "other", true),
        ("S", &own, true),
        ("T", &own, true),
        ("S", "", false),
        ("X", &own, false),
    ] {
        assert_eq!(jwt.did_sign(iss, issuer_account), signed, "{iss} for {issuer_account}");
    }
}

#[test]
fn a_revocation_covers_what_was_issued_until_then() {
    let revocations = [("U".to_owned(), 10), ("*".to_owned(), 5)].into();
    assert!(is_revoked(&revocations, "U", 10));
    assert!(!is_revoked(&revocations, "U", 11));
    assert!(is_revoked(&revocations, "V", 5));
    assert!(!is_revoked(&revocations, "V", 6));
    assert_eq!(utc_date(10), "1970-01-01");
}

#[test]
fn many_exports_and_imports_are_compared_in_little_time() {
    let exports: Vec<_> =
        (0..8_000).map(|number| json!({"subject": format!("s.{number}"), "type": "service"})).collect();
    let imports: Vec<_> = exports
        .iter()
        .map(|export| {
            let mut import = export.clone();
            import["account"] = "A".into();
            import
        })
        .collect();
    let claims = json!({"nats": {"type": "account", "version": 2, "exports": exports, "imports": imports,
        "limits": {"imports": -1, "exports": -1}}});
    let jwt = AccountJwt::decode(&encode::sign(&claims, &operator()).unwrap()).unwrap();
    let start = std::time::Instant::now();
    assert!(jwt.validate(0).is_empty());
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
