//! The gate as tables: what each path admits.

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{Deletion, Gate, Held, Mark, Refusal, SentFor, Standing, Trust, Version, Via};
use crate::jwt::HashId;
use crate::key::{AccountKey, Kind, PublicKey};
use crate::testkit::{self, HEADER_V1, sign, sign_raw};

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

struct GateWorld {
    operator: KeyPair,
    signer: KeyPair,
    account: KeyPair,
    gate: Gate,
}

fn world(strict: bool) -> GateWorld {
    let (operator, signer, account) = (KeyPair::new_operator(), KeyPair::new_operator(), KeyPair::new_account());
    let claims = testkit::operator(&operator, NOW - HOUR, &[&signer]);
    let claims = testkit::with(claims, json!({ "nats": { "strict_signing_key_usage": strict } }));
    let jwt = sign(&claims, &operator);
    let trust = Trust::from_operator_jwt(&jwt, NOW).expect("an operator");
    GateWorld { gate: Gate::new(Some(trust), None, HOUR), operator, signer, account }
}

fn claims(account: &KeyPair, iat: i64) -> Value {
    testkit::with(testkit::account(account, iat), json!({ "name": "a" }))
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn reason(result: Result<super::Entry, Refusal>) -> &'static str {
    match result {
        Ok(_) => "admitted",
        Err(refusal) => refusal.reason(),
    }
}

#[test]
fn what_is_not_genuine_or_not_ours_is_refused_on_every_path() {
    let world = world(false);
    let key = AccountKey::parse(&world.account.public_key()).expect("a key");
    let stranger = KeyPair::new_operator();
    let good = claims(&world.account, NOW);
    let mut torn = sign(&good, &world.operator);
    torn.truncate(torn.len() - 9);
    let mut blocking = good.clone();
    blocking["nats"]["exports"] = json!([{ "subject": "a..b", "type": "stream" }]);
    let cases = [
        ("garbage", "undecodable", "garbage".to_owned()),
        ("torn", "undecodable", torn),
        ("empty", "undecodable", String::new()),
        ("foreign", "untrusted", sign(&good, &stranger)),
        ("self-signed", "issuer_kind", sign(&good, &world.account)),
        ("about another account", "wrong_account", sign(&claims(&KeyPair::new_account(), NOW), &world.operator)),
        ("blocking", "invalid", sign(&blocking, &world.operator)),
        ("a user", "undecodable", sign(&testkit::user(&KeyPair::new_user(), NOW), &world.account)),
    ];
    for via in Via::ALL {
        for (name, expected, token) in &cases {
            let result = world.gate.admit(token.as_bytes(), Some(&key), via, NOW);
            assert_eq!(reason(result), *expected, "{name} via {}", via.label());
        }
        let fine = sign(&good, &world.signer);
        assert_eq!(reason(world.gate.admit(fine.as_bytes(), Some(&key), via, NOW)), "admitted", "via {}", via.label());
    }
}

#[test]
fn expired_and_future_tokens_are_refused_where_a_change_is_asked_for_and_kept_where_it_is_carried() {
    let world = world(false);
    let expired = sign(&with(claims(&world.account, NOW - HOUR), "exp", json!(NOW - 1)), &world.operator);
    let future = sign(&claims(&world.account, NOW + HOUR + 1), &world.operator);
    let tolerated = sign(&claims(&world.account, NOW + HOUR), &world.operator);
    for via in Via::ALL {
        let (time, ahead) = match via {
            Via::Post | Via::Update | Via::EditedFile | Via::Pack | Via::Hint => ("time", "future"),
            Via::FirstScan | Via::Import | Via::Configured | Via::Feed | Via::Upstream | Via::Promotion => {
                ("admitted", "admitted")
            }
        };
        let judge = |token: &str| reason(world.gate.admit(token.as_bytes(), None, via, NOW));
        assert_eq!(judge(&expired), time, "expired via {}", via.label());
        assert_eq!(judge(&future), ahead, "future via {}", via.label());
        assert_eq!(judge(&tolerated), "admitted", "tolerated via {}", via.label());
    }
}

#[test]
fn a_strict_operator_accepts_signing_keys_only() {
    let world = world(true);
    let by = |signer: &KeyPair| {
        reason(world.gate.admit(sign(&claims(&world.account, NOW), signer).as_bytes(), None, Via::Post, NOW))
    };
    assert_eq!(by(&world.operator), "identity_key");
    assert_eq!(by(&world.signer), "admitted");
}

#[test]
fn without_an_operator_only_what_is_found_or_followed_is_admitted() {
    let world = world(false);
    let gate = Gate::new(None, None, HOUR);
    let token = sign(&claims(&world.account, NOW), &world.operator);
    for via in Via::ALL {
        let expected = match via {
            Via::FirstScan
            | Via::Import
            | Via::EditedFile
            | Via::Configured
            | Via::Upstream
            | Via::Feed
            | Via::Promotion => "admitted",
            _ => "no_operator",
        };
        assert_eq!(reason(gate.admit(token.as_bytes(), None, via, NOW)), expected, "via {}", via.label());
    }
}

#[test]
fn no_respelling_is_another_version() {
    let world = world(false);
    let admit = |token: &str| world.gate.admit(token.as_bytes(), None, Via::Post, NOW);
    let token = sign(&claims(&world.account, NOW), &world.operator);
    let identity = *admit(&token).expect("fine").identity();
    // White space behind the token is dropped; inside it makes another text, which is refused.
    for tail in ["\n", "\r\n", " ", "\n\n\t "] {
        let entry = admit(&format!("{token}{tail}")).expect("fine");
        assert_eq!((entry.identity(), entry.text()), (&identity, token.as_str()));
    }
    for at in [1, token.find('.').expect("a dot") + 1, token.len() - 5] {
        let mut broken = token.clone();
        broken.insert(at, '\n');
        assert_eq!(reason(admit(&broken)), "undecodable");
    }
    // The last character of a signature has four bits that mean nothing: 16 spellings, of which one is a token.
    let spellings = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let accepted = spellings.iter().filter(|last| {
        let mut other = token.clone().into_bytes();
        *other.last_mut().expect("not empty") = **last;
        admit(std::str::from_utf8(&other).expect("ascii")).is_ok()
    });
    assert_eq!(accepted.count(), 1);
    // The header of a version-1 token is not signed: any header makes the same version.
    let payload = json!({
        "sub": world.account.public_key(), "iss": world.operator.public_key(), "iat": NOW, "type": "account",
        "nats": { "limits": { "subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1, "wildcards": true } }
    });
    let first = sign_raw(HEADER_V1, &payload.to_string(), &world.operator, true);
    let (_, rest) = first.split_once('.').expect("a dot");
    let header = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"ed25519","typ":"JWT","x":1}"#);
    let second = format!("{header}.{rest}");
    assert_ne!(first, second);
    assert_eq!(admit(&first).expect("fine").identity(), admit(&second).expect("fine").identity());
}

fn delete_request(signer: &KeyPair, accounts: &[String], iat: i64) -> String {
    sign(&json!({ "sub": signer.public_key(), "iat": iat, "nats": { "accounts": accounts, "version": 2 } }), signer)
}

#[test]
fn a_delete_request_needs_the_operator_and_spares_the_system_account() {
    let world = world(false);
    let system = KeyPair::new_account();
    let trust = world.gate.trust().expect("trust");
    let again = Trust::from_operator_jwt(std::str::from_utf8(trust.token()).expect("ascii"), NOW).expect("operator");
    let gate = Gate::new(Some(again), AccountKey::parse(&system.public_key()).ok(), HOUR);
    let account = vec![world.account.public_key()];
    let other = json!({ "sub": world.account.public_key(), "iat": NOW, "nats": { "accounts": account, "version": 2 } });
    let cases = [
        ("fine", "", delete_request(&world.operator, &account, NOW)),
        ("by a signing key", "", delete_request(&world.signer, &account, NOW)),
        ("twice the same", "", delete_request(&world.signer, &[account.clone(), account.clone()].concat(), NOW)),
        ("by a stranger", "untrusted", delete_request(&KeyPair::new_operator(), &account, NOW)),
        ("by an account", "untrusted", delete_request(&world.account, &account, NOW)),
        ("not self-signed", "untrusted", sign(&other, &world.operator)),
        ("of the system account", "system_account", delete_request(&world.operator, &[system.public_key()], NOW)),
        ("of no key", "malformed", delete_request(&world.operator, &["x".to_owned()], NOW)),
        ("from the future", "future", delete_request(&world.operator, &account, NOW + 2 * HOUR)),
        ("garbage", "undecodable", "x.y".to_owned()),
    ];
    for (name, expected, request) in cases {
        let found = match gate.admit_delete(request.as_bytes(), Via::Post, NOW) {
            Ok(tombstone) => {
                assert_eq!(tombstone.keys().len(), 1, "{name}");
                ""
            }
            Err(refusal) => refusal.reason(),
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn an_activation_needs_the_account_that_it_names_on_every_path() {
    let world = world(false);
    let (signer, importer) = (KeyPair::new_account(), KeyPair::new_account());
    let account = |keys: &[&KeyPair]| {
        let mut claims = claims(&world.account, NOW);
        claims["nats"]["signing_keys"] = keys.iter().map(|key| key.public_key()).collect();
        world.gate.admit(sign(&claims, &world.operator).as_bytes(), None, Via::Post, NOW).expect("an account")
    };
    let (plain, listing) = (account(&[]), account(&[&signer]));
    let own = testkit::activation(&importer.public_key(), "a", NOW);
    let mut named = own.clone();
    named["nats"]["issuer_account"] = json!(world.account.public_key());
    let expired = with(own.clone(), "exp", json!(NOW - 1));
    let early = with(own.clone(), "nbf", json!(NOW + 1));
    let cases = [
        ("by the account itself", sign(&own, &world.account), "admitted", "admitted"),
        ("by a signing key", sign(&named, &signer), "untrusted", "admitted"),
        ("by a signing key that names no account", sign(&own, &signer), "untrusted", "untrusted"),
        ("by a stranger", sign(&named, &importer), "untrusted", "untrusted"),
        ("expired", sign(&expired, &world.account), "time", "time"),
    ];
    for via in Via::ALL {
        let judge = |token: &str, by: &super::Entry| {
            let read = world.gate.read_activation(token.as_bytes(), SentFor::ANY, via, NOW);
            match read.and_then(|unproven| unproven.prove(by)) {
                Ok(_) => "admitted",
                Err(refusal) => refusal.reason(),
            }
        };
        for (what, token, by_plain, by_listing) in &cases {
            assert_eq!(judge(token, &plain), *by_plain, "{what} via {}", via.label());
            assert_eq!(judge(token, &listing), *by_listing, "{what} via {}", via.label());
        }
        let expected = if via.demands_valid_time() { "time" } else { "admitted" };
        assert_eq!(judge(&sign(&early, &world.account), &plain), expected, "not valid yet via {}", via.label());
    }
}

#[test]
fn an_activation_is_taken_only_as_what_it_was_sent_for() {
    let (world, importer, signer) = (world(false), KeyPair::new_account(), KeyPair::new_account());
    let mut claims = testkit::activation(&importer.public_key(), "a", NOW);
    claims["nats"]["issuer_account"] = json!(world.account.public_key());
    let token = sign(&claims, &signer);
    let key = |pair: &KeyPair| AccountKey::parse(&pair.public_key()).expect("an account key");
    let id = |signer: &KeyPair| HashId::of(&signer.public_key(), &importer.public_key(), "a").expect("a hash");
    let (own, other, by_signer, by_account) = (id(&signer), id(&world.account), key(&signer), key(&world.account));
    let read = |id, issuer| {
        let sent_for = SentFor { id, issuer };
        world
            .gate
            .read_activation(token.as_bytes(), sent_for, Via::Update, NOW)
            .map(drop)
            .map_err(|error| error.reason())
    };
    assert_eq!(read(None, None), Ok(()));
    assert_eq!(read(Some(&own), Some(&by_signer)), Ok(()));
    assert_eq!(read(Some(&other), Some(&by_signer)), Err("malformed"));
    assert_eq!(read(Some(&own), Some(&by_account)), Err("malformed"), "the issuer is the key that signed");
}

#[test]
fn a_request_to_sign_takes_nothing_back() {
    let issuer = |n| PublicKey::from_raw(Kind::Operator, [n; 32]);
    let (own, withdrawn) = (PublicKey::from_raw(Kind::Account, [9; 32]), issuer(2));
    let standing = Standing::default().with_keys(vec![issuer(1), withdrawn], 0).with_keys(vec![issuer(1)], 500);
    let version = |iat, issuer| Some(Version { iat, identity: [0; 32], issuer });
    let deleted = |iat| Some(Deletion { iat, issuer: issuer(1) });
    let mark = |iat| Mark { issuer: issuer(3), iat, reach: iat };
    let held = |version, deleted, marks| Held::restore(version, vec![], deleted, marks);
    let table = [
        ("nothing is known", held(None, None, vec![]), 0, 0, None),
        ("as late", held(version(100, issuer(1)), None, vec![]), 100, 0, None),
        ("earlier", held(version(100, issuer(1)), None, vec![]), 99, 0, Some("older")),
        ("by no more than clocks differ", held(version(100, issuer(1)), None, vec![]), 40, 60, None),
        ("by more", held(version(100, issuer(1)), None, vec![]), 39, 60, Some("older")),
        ("a withdrawn key reaches so far", held(version(900, withdrawn), None, vec![]), 499, 0, None),
        ("and no less", held(version(900, withdrawn), None, vec![]), 498, 0, Some("older")),
        ("another key had come further", held(version(900, withdrawn), None, vec![mark(490)]), 489, 0, Some("older")),
        ("deleted since", held(version(50, issuer(1)), deleted(100), vec![]), 100, 60, Some("deleted")),
        ("deleted before", held(version(50, issuer(1)), deleted(100), vec![]), 101, 0, None),
    ];
    for (what, held, iat, ahead, wanted) in table {
        let refusal = held.order_request(&own, iat, ahead, &standing).err();
        assert_eq!(refusal.as_ref().map(Refusal::reason), wanted, "{what}");
    }
}
