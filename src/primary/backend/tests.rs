//! What is answered while the folder is imported, in whatever order the scan and one who asks go on.

use std::time::Duration;

use nkeys::KeyPair;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::gate::{Gate, Trust, Via};
use crate::metrics::Profile;
use crate::node::{ActivationAnswer, Node, NodeParts, OldText};
use crate::primary::schedules::{AskedAccount, FilePlace, Scene};
use crate::primary::{self, Source};
use crate::testkit::{self, sign};

fn node(scene: &Scene) -> Arc<Node> {
    let metrics = Arc::new(Metrics::new(Profile::primary()).expect("made"));
    Arc::new(Node::primary(Arc::new(scene.primary.clone()), NodeParts::new(scene.gate.clone(), metrics)))
}

/// Asks a node in every order for accounts in places of every kind. `ask` says which text it found.
async fn in_every_order(ask: impl AsyncFn(&Node, &AskedAccount) -> Result<Option<String>, LookupError>) {
    for place in FilePlace::KINDS {
        let scene = Scene::brief(place).await;
        let node = node(&scene);
        let judge = |found: Result<Option<String>, LookupError>, asked: &AskedAccount| match found {
            Ok(found) if found.as_ref() == place.is_account().then_some(&asked.jwt) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        scene.in_every_order(async |asked| ask(&node, asked).await, judge).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_is_never_told_that_an_account_is_absent_whose_file_waits() {
    in_every_order(async |node, asked| {
        // As a worker does: what is at hand comes first.
        let answer = match node.get_now(&asked.key).map_or_else(|| node.look_now(&asked.key), Now::Served) {
            Now::Served(answer) => Some(answer),
            Now::Miss(Miss::Absent) => None,
            Now::Miss(_) => node.get(&asked.key).await?,
        };
        Ok(answer.map(|answer| answer.entry().text().to_owned()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_a_nats_server() {
    in_every_order(async |node, asked| {
        let token = match node.lookup_now(&asked.key) {
            LookupNow::Served(token) => Some(token),
            LookupNow::Absent => None,
            LookupNow::Unsure => node.lookup(&asked.key).await,
        };
        Ok(token.map(|token| String::from_utf8(token.to_vec()).expect("text")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_history_and_its_propagation_are_found() {
    in_every_order(async |node, asked| {
        let history = node.history(&asked.key).await?.expect("a primary keeps one");
        let Some(version) = history.versions.last() else { return Ok(None) };
        assert!(history.is_live);
        Ok(match node.text_of(&asked.key, version.serial).await? {
            Some(OldText::Kept(text)) => Some(String::from_utf8(text).expect("text")),
            Some(OldText::Unknown { .. }) | None => None,
        })
    })
    .await;
    in_every_order(async |node, asked| {
        let found = node.propagation(asked.key, None).await?;
        Ok(found.map(|found| {
            assert_eq!(found.account, asked.key.text());
            asked.jwt.clone()
        }))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_is_never_absent_whose_file_waits() {
    for place in [FilePlace::Flat, FilePlace::Elsewhere, FilePlace::Nowhere] {
        let scene = Scene::with_activations(place).await;
        let node = node(&scene);
        scene
            .in_every_order(
                async |asked| node.activation(&asked.id).await,
                |found, asked| match found {
                    Ok(ActivationAnswer::Served(found)) if found.text() == asked.activation && place.is_account() => {
                        Ok(())
                    }
                    Ok(ActivationAnswer::Absent) if !place.is_account() => Ok(()),
                    other => Err(format!("{other:?}")),
                },
            )
            .await;
    }
}

fn primary(gate: &Arc<Gate>) -> Arc<Primary> {
    let setup = primary::Setup::small(Source::Memory);
    Arc::new(Primary::open(&setup, gate.clone()).expect("opens"))
}

async fn answers(node: &Node) -> [bool; 3] {
    [
        node.pack_hash().await.expect("open").is_some(),
        node.served(None, 9).await.expect("readable").is_some(),
        node.served_keys(None, 9).await.expect("readable").is_some(),
    ]
}

#[tokio::test]
async fn a_primary_lists_what_it_serves_once_it_has_taken_in_what_was_there() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let iat = clock::unix_seconds();
    let trust = sign(&testkit::operator(&operator, iat, &[]), &operator);
    let trust = Trust::from_operator_jwt(&trust, iat).expect("an operator");
    let gate = Arc::new(Gate::new(Some(trust), None, 3_600));
    let metrics = Arc::new(Metrics::new(Profile::primary()).expect("made"));
    let primary = primary(&gate);
    primary.settle_operator().await;
    let node = Node::primary(Arc::new(primary.clone()), NodeParts::new(gate, metrics.clone()));
    let jwt = sign(&testkit::account(&account, iat), &operator);
    node.submit(jwt.as_bytes(), None, Via::Post).await.expect("taken");
    assert_eq!(answers(&node).await, [false; 3]);

    let _directory = primary.start_directory(&metrics, Duration::ZERO).expect("begun");
    assert_eq!(answers(&node).await, [true; 3]);
    let digest: [u8; 32] = Sha256::digest(&jwt).into();
    assert_eq!(node.pack_hash().await.expect("open"), Some(digest));
    let served = node.served(None, 9).await.expect("readable").expect("known");
    assert_eq!(served.accounts.iter().map(|stored| stored.entry.text()).collect::<Vec<_>>(), [jwt]);
    let key = AccountKey::parse(&account.public_key()).expect("a key");
    let listed = node.served_keys(None, 9).await.expect("readable").expect("known");
    assert_eq!((listed.keys, listed.next), (vec![key], None));
    let after = node.served_keys(Some(key), 9).await.expect("readable").expect("known");
    assert!(after.keys.is_empty());
}
