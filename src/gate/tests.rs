//! The gate as tables (what each path admits) and as properties (nothing ever goes back, followers converge).

use nkeys::KeyPair;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Gate, Held, Identity, Ordering, Position, Refusal, Trust, Via};
use crate::jwt::encode;
use crate::key::AccountKey;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

struct World {
    operator: KeyPair,
    signer: KeyPair,
    account: KeyPair,
    gate: Gate,
}

fn world(strict: bool) -> World {
    let (operator, signer, account) = (KeyPair::new_operator(), KeyPair::new_operator(), KeyPair::new_account());
    let claims = json!({
        "sub": operator.public_key(), "name": "op", "iat": NOW - HOUR,
        "nats": { "signing_keys": [signer.public_key()], "strict_signing_key_usage": strict, "type": "operator", "version": 2 }
    });
    let jwt = encode::sign(&claims, &operator).expect("signed");
    let trust = Trust::from_operator_jwt(&jwt, NOW).expect("an operator");
    World { gate: Gate::new(Some(trust), None, HOUR), operator, signer, account }
}

fn claims(account: &KeyPair, iat: i64) -> Value {
    json!({
        "sub": account.public_key(), "name": "a", "iat": iat,
        "nats": {
            "limits": { "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 },
            "default_permissions": { "pub": {}, "sub": {} }, "type": "account", "version": 2
        }
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn sign(claims: &Value, signer: &KeyPair) -> String {
    encode::sign(claims, signer).expect("signed")
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
        (
            "a user",
            "undecodable",
            sign(
                &json!({ "sub": KeyPair::new_user().public_key(), "iat": NOW, "nats": { "type": "user", "version": 2 } }),
                &world.account,
            ),
        ),
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
            Via::FirstScan | Via::Configured | Via::Feed | Via::Upstream => ("admitted", "admitted"),
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
            Via::FirstScan | Via::EditedFile | Via::Configured | Via::Upstream | Via::Feed => "admitted",
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
    let first = encode::sign_payload_v1(&payload.to_string(), &world.operator).expect("signed");
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
fn a_deletion_beats_every_jwt_up_to_its_own_time() {
    let mut held = Held::default();
    held.put(100, [1; 32], None);
    assert!(held.order_delete(&AccountKey::from_raw([0; 32]), 99).is_err());
    assert!(held.order_delete(&AccountKey::from_raw([0; 32]), 100).is_ok());
    assert!(held.delete(100) && !held.is_live());
    assert!(!held.delete(100), "the same again is no news");
    assert!(matches!(held.order(100, &[2; 32], Via::Post, None), Ordering::Refused(Refusal::Deleted { .. })));
    assert!(matches!(held.order(101, &[2; 32], Via::Post, None), Ordering::Newer));
    held.put(101, [2; 32], None);
    assert!(held.is_live());
}

/// What a primary commits in the model: versions with few distinct times, so that ties are common, and deletions.
#[derive(Debug, Clone)]
enum Commit {
    Put { iat: i64, identity: Identity },
    Delete { iat: i64 },
}

/// A primary in the model: its rules, and the changes that they let through, in order.
fn run_primary(attempts: &[Commit]) -> (Held, Vec<Commit>) {
    let (mut held, mut log) = (Held::default(), Vec::new());
    for attempt in attempts {
        match attempt {
            Commit::Put { iat, identity } => {
                if let Ordering::Newer = held.order(*iat, identity, Via::Post, None) {
                    held.put(*iat, *identity, None);
                    log.push(attempt.clone());
                }
            }
            Commit::Delete { iat } => {
                if held.order_delete(&AccountKey::from_raw([0; 32]), *iat).is_ok() && held.delete(*iat) {
                    log.push(attempt.clone());
                }
            }
        }
    }
    (held, log)
}

fn position(index: usize) -> Option<Position> {
    Some(Position { session: [7; 16], serial: index as u64 + 1 })
}

/// The newest put among the first `count` changes, if it is not deleted: what a GET at the primary answers then.
fn answer(log: &[Commit], count: usize) -> Option<usize> {
    let last = log[..count].iter().rposition(|change| matches!(change, Commit::Put { .. }))?;
    (last + 1..count).all(|later| !matches!(log[later], Commit::Delete { .. })).then_some(last)
}

/// A follower in the model.
struct Follower<'l> {
    log: &'l [Commit],
    held: Held,
    /// How many changes the primary has made so far.
    made: usize,
    best: Option<usize>,
}

impl Follower<'_> {
    fn offer(&mut self, index: usize, via: Via, at: Option<Position>) {
        let Commit::Put { iat, identity } = &self.log[index] else { return };
        match self.held.order(*iat, identity, via, at) {
            Ordering::Newer | Ordering::Same => self.held.put(*iat, *identity, at),
            Ordering::Behind => self.held.note_behind(*identity, at),
            Ordering::Refetch => self.fetch(),
            Ordering::Refused(_) => {}
        }
        self.check();
    }

    /// Asks the primary, which answers with what it holds now.
    fn fetch(&mut self) {
        if let Some(index) = answer(self.log, self.made) {
            self.offer(index, Via::Upstream, position(index));
        }
    }

    /// No key ever goes back: what is held is never an earlier change than what was held before.
    fn check(&mut self) {
        let now = self.log.iter().position(
            |change| matches!(change, Commit::Put { identity, .. } if Some(identity) == self.held.identity()),
        );
        assert!(now >= self.best, "went back from {:?} to {now:?} in {:?}", self.best, self.log);
        self.best = now;
    }
}

fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let commit = prop_oneof![
        8 => (0..4i64, 0..6u8).prop_map(|(iat, n)| Commit::Put { iat: 100 + iat, identity: [n * 4 + iat as u8; 32] }),
        1 => (0..4i64).prop_map(|iat| Commit::Delete { iat: 100 + iat }),
    ];
    proptest::collection::vec(commit, 1..14)
}

/// What a follower meets besides the feed.
#[derive(Debug, Clone)]
enum Meet {
    /// A claims update of a change that was made, heard at any later time.
    Hint(usize),
    /// Its own question to the primary.
    Fetch,
    /// An answer that was on its way for a while: what the primary held some changes ago.
    Late(usize),
    /// The next change of the feed.
    Feed,
}

fn meets() -> impl Strategy<Value = Vec<Meet>> {
    let meet = prop_oneof![
        3 => any::<prop::sample::Index>().prop_map(|index| Meet::Hint(index.index(1 << 16))),
        2 => Just(Meet::Fetch),
        2 => (0..4usize).prop_map(Meet::Late),
        4 => Just(Meet::Feed),
    ];
    proptest::collection::vec(meet, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_key_ever_goes_back_on_a_primary(attempts in commits(), vias in proptest::collection::vec(0..8usize, 14)) {
        let mut held = Held::default();
        let mut left: Vec<Identity> = Vec::new();
        for (attempt, via) in attempts.iter().zip(vias) {
            let before = held.clone();
            match attempt {
                Commit::Put { iat, identity } => {
                    if let Ordering::Newer = held.order(*iat, identity, Via::ALL[via], None) {
                        left.extend(before.identity());
                        held.put(*iat, *identity, None);
                        prop_assert!(!left.contains(identity), "{identity:?} came back");
                    }
                }
                Commit::Delete { iat } => {
                    if held.order_delete(&AccountKey::from_raw([0; 32]), *iat).is_ok() {
                        held.delete(*iat);
                    }
                }
            }
            prop_assert!(held.iat() >= before.iat());
            prop_assert!(held.deleted() >= before.deleted());
        }
    }

    #[test]
    fn a_follower_ends_where_its_primary_is(attempts in commits(), meets in meets()) {
        let (primary, log) = run_primary(&attempts);
        let mut follower = Follower { log: &log, held: Held::default(), made: 0, best: None };
        let mut fed = 0;
        let all = meets.into_iter().chain(std::iter::repeat_n(Meet::Feed, log.len()));
        for meet in all {
            // The primary goes on while the follower lags behind.
            follower.made = (follower.made + 1).min(log.len());
            match meet {
                Meet::Hint(n) => {
                    let index = n % follower.made.max(1);
                    if index < follower.made {
                        follower.offer(index, Via::Hint, None);
                    }
                }
                Meet::Fetch => follower.fetch(),
                Meet::Late(ago) => {
                    // An answer that something overtook is not offered (see the replica's fetch): only one whose
                    // version the follower knows the place of can meet a later one here.
                    let known = follower.held.identity().is_none() || follower.held.is_placed();
                    if known && let Some(index) = answer(&log, follower.made.saturating_sub(ago)) {
                        follower.offer(index, Via::Upstream, position(index));
                    }
                }
                Meet::Feed if fed < log.len() => {
                    follower.made = follower.made.max(fed + 1);
                    match &log[fed] {
                        Commit::Put { .. } => follower.offer(fed, Via::Feed, position(fed)),
                        Commit::Delete { iat } => drop(follower.held.delete(*iat)),
                    }
                    fed += 1;
                }
                Meet::Feed => {}
            }
        }
        prop_assert_eq!(follower.held.is_live(), primary.is_live());
        if primary.is_live() {
            prop_assert_eq!(follower.held.identity(), primary.identity());
        }
    }
}
