//! What is no request, or more than there is room for: nothing is stored, nobody dies, others are answered.

use async_nats::HeaderMap;

use super::fleet::{DELETE, Fleet, NEWEST, UPDATE, lookup, update};
use crate::support::until;

#[tokio::test]
async fn junk_is_counted_and_changes_nothing() {
    let fleet = Fleet::url(NEWEST).await;
    let (account, jwt) = fleet.open(60).await;
    let serial = fleet.primary.http.metric("serial", "").await;
    let lower = account.key().to_lowercase();
    for key in ["junk", &lower, "%2e%2e%2fetc", "\u{1}\u{2}", "ключ", &"A".repeat(55), &"A".repeat(400)] {
        for subject in [lookup(key), update(key), format!("$SYS.ACCOUNT.{key}.CLAIMS.UPDATE")] {
            fleet.system.publish_with_reply(subject, "nobody.hears", "x".into()).await.unwrap();
        }
    }
    let bodies = [Vec::new(), b"\xff\xfe".to_vec(), b"a.b.c".to_vec(), vec![b'x'; 1_000_000], vec![b'.'; 100_000]];
    for body in &bodies {
        for subject in [UPDATE, DELETE, &update(&account.key())] {
            fleet.system.publish_with_reply(subject.to_owned(), "nobody.hears", body.clone().into()).await.unwrap();
        }
    }
    let mut headers = HeaderMap::new();
    headers.insert("X", "y");
    fleet.system.publish_with_headers(UPDATE, headers, "".into()).await.unwrap();
    until("all of it is counted", || async {
        fleet.counted("lookup", "junk").await >= 7.0
            && fleet.counted("update", "junk").await >= 14.0
            && fleet.counted("update", "refused").await >= 11.0
            && fleet.counted("delete", "refused").await >= 5.0
    })
    .await;
    assert_eq!(fleet.held(&account).await, jwt);
    assert_eq!(fleet.primary.http.metric("serial", "").await, serial);
    assert_eq!(fleet.request(&lookup(&account.key()), "").await.payload, jwt);
    // A line now and then, not one for each.
    let lines = fleet.primary.log().lines().filter(|line| line.contains("is ignored: ")).count();
    assert!((1..10).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn a_private_key_is_not_repeated() {
    let fleet = Fleet::url(NEWEST).await;
    let (account, jwt) = fleet.open(60).await;
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    for subject in [lookup(&seed), update(&seed), format!("$SYS.ACCOUNT.{seed}.CLAIMS.UPDATE")] {
        fleet.system.publish_with_reply(subject, "nobody.hears", "x".into()).await.unwrap();
    }
    let decorated = format!("-----BEGIN NATS ACCOUNT JWT-----\n{jwt}\n------END NATS ACCOUNT JWT------\n");
    for (body, said) in [
        (seed.clone(), "treat that key as disclosed"),
        (format!("{jwt}\n{seed}"), "treat that key as disclosed"),
        (account.user().creds(), "treat that key as disclosed"),
        // What machines send is bare.
        (decorated, "illegal base64 data"),
    ] {
        for subject in [UPDATE, DELETE, &update(&account.key())] {
            let answers = fleet.ask_all(subject, body.clone()).await;
            let answer = Fleet::ours(&answers)[0]["error"]["description"].to_string();
            assert!(answer.contains(said), "{subject}: {answer}");
            assert!(!answer.contains(&seed[..12]), "{answer}");
        }
    }
    until("it is logged", || async { fleet.primary.log().matches("is ignored: ").count() > 0 }).await;
    assert!(!fleet.primary.log().contains(&seed[..12]), "{}", fleet.primary.log());
    assert_eq!(fleet.held(&account).await, jwt);
}

#[tokio::test]
async fn a_flood_of_lookups_for_nobody_keeps_others_answered() {
    let fleet = Fleet::url(NEWEST).await;
    let (account, jwt) = fleet.open(60).await;
    // Keys that are keys, of nobody.
    let stranger = || nkeys::KeyPair::new_account().public_key();
    for _ in 0..20_000 {
        fleet.system.publish_with_reply(lookup(&stranger()), "nobody.hears", "".into()).await.unwrap();
    }
    assert_eq!(fleet.request(&lookup(&account.key()), "").await.payload, jwt);
    until("all are counted", || async {
        fleet.counted("lookup", "absent").await + fleet.counted("lookup", "dropped").await >= 20_000.0
    })
    .await;
    assert_eq!(fleet.request(&lookup(&account.key()), "").await.payload, jwt);
}
