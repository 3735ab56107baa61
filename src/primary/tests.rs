//! A change of the operator's JWT while the server runs, and changes before the folder is taken in.

use std::sync::Arc;

use nkeys::KeyPair;
use serde_json::json;

use super::progress::ScanStage;
use super::{Primary, Setup, Source};
use crate::clock;
use crate::feed::Content;
use crate::folder::Layout;
use crate::gate::operator::Way;
use crate::gate::{Gate, OperatorChange, OperatorRefusal, Refusal, SentFor, Trust, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::node::{Lookup, PackVerdict, WriteError};
use crate::store::journal::{CommitError, OperatorWrite, Write};
use crate::testkit::{self, sign};

struct PrimaryWorld {
    operator: KeyPair,
    first: KeyPair,
    second: KeyPair,
    now: i64,
    primary: Arc<Primary>,
    gate: Arc<Gate>,
}

fn trust(operator: &KeyPair, keys: &[&KeyPair], iat: i64, signer: &KeyPair) -> Trust {
    let jwt = sign(&testkit::operator(operator, iat, keys), signer);
    Trust::from_operator_jwt(&jwt, iat).expect("an operator")
}

impl PrimaryWorld {
    async fn new() -> Self {
        let world = Self::of(Source::Memory).await;
        world.primary.progress.reach(ScanStage::Complete);
        world
    }

    async fn of(source: Source) -> Self {
        let (operator, first, second) = (KeyPair::new_operator(), KeyPair::new_operator(), KeyPair::new_operator());
        let now = clock::unix_seconds();
        let begun = trust(&operator, &[&first, &second], now - 1_000, &operator);
        let gate = Arc::new(Gate::new(Some(begun), None, 3_600));
        let setup = Setup::small(source);
        let primary = Arc::new(Primary::open(&setup, gate.clone()).expect("opens"));
        primary.settle_operator().await;
        Self { operator, first, second, now, primary, gate }
    }

    async fn set_operator(&self, trust: Trust) -> Result<OperatorChange, WriteError> {
        self.primary.set_operator(Arc::new(trust), Way::File, None, None).await
    }

    fn listing(&self, keys: &[&KeyPair], age: i64) -> Trust {
        trust(&self.operator, keys, self.now - age, &self.operator)
    }

    fn jwt(&self, account: &KeyPair, signer: &KeyPair, age: i64) -> String {
        sign(&testkit::account(account, self.now - age), signer)
    }

    async fn push(&self, account: &KeyPair, signer: &KeyPair, age: i64) -> Result<AccountKey, CommitError> {
        let jwt = self.jwt(account, signer, age);
        self.primary.submit(jwt.as_bytes(), None, Via::Post).await.map(|submitted| *submitted.entry.key())
    }
}

#[tokio::test]
async fn what_a_change_of_the_operator_does_is_counted_and_done_before_it_is_answered() {
    let world = PrimaryWorld::new().await;
    let (kept, lost) = (KeyPair::new_account(), KeyPair::new_account());
    let kept = world.push(&kept, &world.first, 500).await.expect("taken");
    let lost = world.push(&lost, &world.second, 500).await.expect("taken");
    let generation = world.primary.generation(&lost);
    assert!(world.primary.cached(&lost).is_some());

    let change = world.set_operator(world.listing(&[&world.first], 100)).await.expect("newer");
    assert!(change.changed && change.by_signing_key.is_none());
    assert_eq!((change.withheld, change.back, world.primary.withheld()), (1, 0, 1));
    assert_eq!(change.withdrawn.iter().map(|key| key.text()).collect::<Vec<_>>(), [world.second.public_key()]);
    assert!(world.primary.cached(&lost).is_none() && world.primary.cached(&kept).is_some());
    assert_ne!(world.primary.generation(&lost), generation, "what workers keep is good no more");
    assert!(
        matches!(world.primary.lookup_now(&lost), Some(Lookup::Withheld(key)) if key.text() == world.second.public_key())
    );
    assert!(world.primary.cached(&lost).is_none());
    assert_eq!(world.primary.journal().count(), 2);

    let again = world.set_operator(world.listing(&[&world.first], 100)).await.expect("the same");
    assert!(!again.changed);
    let change = world.set_operator(world.listing(&[&world.first, &world.second], 50)).await.expect("newer");
    assert_eq!((change.withheld, change.back), (0, 1));
    assert!(matches!(world.primary.lookup_now(&lost), Some(Lookup::Served(_))));
}

#[tokio::test]
async fn a_reload_takes_no_older_jwt_and_no_other_operators() {
    let world = PrimaryWorld::new().await;
    let refused = |result: Result<_, WriteError>| match result {
        Err(WriteError::Refused(Refusal::Operator(refusal))) => refusal,
        other => panic!("{other:?}"),
    };
    let older = world.set_operator(world.listing(&[&world.first], 2_000)).await;
    assert!(matches!(refused(older), OperatorRefusal::Older { .. }));
    let stranger = KeyPair::new_operator();
    let other = world.set_operator(trust(&stranger, &[], world.now, &stranger)).await;
    assert!(refused(other).to_string().contains("--change-operator"));
    let thief = KeyPair::new_operator();
    let by_thief = trust(&world.operator, &[&thief], world.now, &thief);
    assert!(matches!(refused(world.set_operator(by_thief).await), OperatorRefusal::Unlisted { .. }));
    assert_eq!(world.primary.journal().head().serial, 1);
    // A listed signing key's is the next link.
    let by_signer = trust(&world.operator, &[&world.first], world.now, &world.first);
    let change = world.set_operator(by_signer).await.expect("listed");
    assert_eq!((change.by_signing_key, change.links), (Some(world.first.public_key()), 2));
    assert_eq!(world.primary.journal().head().serial, 2);
    assert!(world.push(&KeyPair::new_account(), &world.second, 0).await.is_err());
}

#[tokio::test]
async fn what_was_read_before_a_change_does_not_get_into_the_cache_after_it() {
    let world = PrimaryWorld::new().await;
    let account = KeyPair::new_account();
    let key = world.push(&account, &world.second, 500).await.expect("taken");
    let Some(Lookup::Served(stored)) = world.primary.lookup_now(&key) else { panic!("it is served") };
    // As if the cache had been looked through just before this came into it, in the same generation.
    world.gate.set_trust(world.listing(&[&world.first], 100));
    world.primary.bodies.enforce();
    world.primary.bodies.keep(&stored, world.primary.generation(&key));
    assert!(world.primary.cached(&key).is_none());
}

#[tokio::test]
async fn a_jwt_that_was_admitted_before_the_withdrawal_of_its_key_is_not_committed_after_it() {
    let world = PrimaryWorld::new().await;
    let account = KeyPair::new_account();
    // Both are on the queue, the withdrawal first; the push was admitted before.
    let arrival = world.gate.arrival(Way::File, world.now);
    let withdrawal = Write::Operator(OperatorWrite::Offer(Arc::new(world.listing(&[&world.first], 100)), arrival));
    let jwt = world.jwt(&account, &world.second, 500);
    let entry = world.gate.admit(jwt.as_bytes(), None, Via::Post, world.now).expect("admitted");
    let key = *entry.key();
    let outcomes = world.primary.journal.commit_all(vec![withdrawal, Write::Put(Arc::new(entry), Via::Post)]).await;
    assert!(matches!(outcomes[..], [Ok(_), Err(CommitError::Refused(Refusal::Untrusted(_)))]), "{outcomes:?}");
    assert!(matches!(world.primary.lookup_now(&key), Some(Lookup::Absent)));
}

#[tokio::test]
async fn expired_activations_are_forgotten_and_what_they_replaced_does_not_come_back() {
    let world = PrimaryWorld::new().await;
    let primary = world.primary;
    let (account, importer) = (KeyPair::new_account(), KeyPair::new_account());
    let jwt = sign(&testkit::account(&account, world.now - 500), &world.first);
    primary.submit(jwt.as_bytes(), None, Via::Post).await.expect("taken");
    let activation = |subject: &str, iat: i64, exp: i64| {
        let claims = testkit::activation(&importer.public_key(), subject, iat);
        sign(&testkit::with(claims, json!({ "exp": exp })), &account)
    };
    let submit = |token: String| {
        let primary = primary.clone();
        async move { primary.submit_activation(token.as_bytes(), SentFor::ANY, Via::FirstScan).await }
    };
    let (old, new) = (activation("a", world.now - 20, 0), activation("a", world.now - 10, world.now + 100));
    let kept = activation("b", world.now - 10, world.now + 300);
    submit(old.clone()).await.expect("taken");
    let id = *submit(new).await.expect("newer").activation.id();
    let other = *submit(kept).await.expect("taken").activation.id();
    submit(activation("c", world.now, 0)).await.expect("taken");
    let refused = submit(activation("d", world.now, 0)).await.expect_err("the limit");
    assert!(refused.to_string().contains("has 3 activations"), "{refused}");

    assert_eq!(primary.sweep_once(world.now + 100).await.expect("swept"), 0, "in its last second it still holds");
    assert!(primary.activation(&id).expect("readable").is_some());
    assert_eq!(primary.sweep_once(world.now + 101).await.expect("swept"), 1);
    assert!(primary.activation(&id).expect("readable").is_none());
    assert!(primary.activation(&other).expect("readable").is_some());
    assert_eq!(primary.sweep_once(world.now + 101).await.expect("swept"), 0);
    let back = submit(old).await.expect_err("replaced");
    assert!(matches!(back, CommitError::Refused(Refusal::Older { .. })), "{back}");
    submit(activation("d", world.now, 0)).await.expect("there is room");
    // The history goes on without their texts.
    let changes = primary.journal().read_from_disk(0).expect("readable");
    let texts: Vec<bool> = changes
        .iter()
        .filter(|change| matches!(change.content, Content::Activation(_) | Content::PastActivation { .. }))
        .map(|change| matches!(change.content, Content::Activation(_)))
        .collect();
    assert_eq!(texts, [false, false, true, true, true]);
}

#[tokio::test]
async fn before_its_turn_in_the_first_scan_a_file_is_weighed_against_what_changes_its_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let world =
        PrimaryWorld::of(Source::Folder { dir: folder.path().to_owned(), layout: Layout::Flat, mode: 0o640 }).await;
    let (deleted, pushed) = (KeyPair::new_account(), KeyPair::new_account());
    for account in [&deleted, &pushed] {
        let file = folder.path().join(format!("{}.jwt", account.public_key()));
        std::fs::write(file, world.jwt(account, &world.first, 100)).expect("written");
    }
    let request =
        |age| sign(&testkit::delete_request(&world.first, &[deleted.public_key()], world.now - age), &world.first);
    // The directory is not watched yet: no file had its turn.
    let older = world.primary.delete(request(200).as_bytes(), None, Via::Update).await;
    assert!(matches!(older, Err(CommitError::Refused(Refusal::DeleteOlder { .. }))), "{older:?}");
    let older = world.push(&pushed, &world.first, 200).await;
    assert!(matches!(older, Err(CommitError::Refused(Refusal::Older { .. }))), "{older:?}");
    assert_eq!(world.primary.journal().count(), 2);
    world.primary.delete(request(50).as_bytes(), None, Via::Update).await.expect("later than the file");
    world.push(&pushed, &world.first, 50).await.expect("later than the file");
    assert_eq!(world.primary.journal().count(), 1);
}

#[tokio::test]
async fn so_it_is_against_a_pack_and_an_activation_against_its_own_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let world =
        PrimaryWorld::of(Source::Folder { dir: folder.path().to_owned(), layout: Layout::Flat, mode: 0o640 }).await;
    let (account, importer) = (KeyPair::new_account(), KeyPair::new_account());
    let file = |name: &str| folder.path().join(format!("{name}.jwt"));
    std::fs::write(file(&account.public_key()), world.jwt(&account, &world.first, 100)).expect("written");
    let activation = |age| sign(&testkit::activation(&importer.public_key(), "a", world.now - age), &account);
    let id = HashId::of(&account.public_key(), &importer.public_key(), "a").expect("a hash");
    std::fs::write(file(&id.text()), activation(50)).expect("written");
    let (older, offered) = (activation(80), world.jwt(&account, &world.first, 200));
    let primary = world.primary;
    let key = AccountKey::parse(&account.public_key()).expect("a key");
    let verdicts = primary.merge(vec![(key, offered.into())]).await.expect("weighed");
    assert!(matches!(verdicts[..], [PackVerdict::Older]), "{verdicts:?}");
    let refused = primary.submit_activation(older.as_bytes(), SentFor::ANY, Via::Post).await;
    assert!(matches!(refused, Err(CommitError::Refused(Refusal::Older { .. }))), "{refused:?}");
}
