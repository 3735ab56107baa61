//! Accounts that some have deleted and others still hold.

use std::time::Instant;

use super::fleet::NEWEST;
use super::pair::{OLDEST, Pair};
use crate::support::{Account, now, until};

#[tokio::test]
async fn what_was_deleted_while_a_full_resolver_was_down_is_deleted_there_when_it_is_back() {
    // They ask each other for packs as well, and so bring back what one of them still has.
    futures_util::future::join_all([[NEWEST, "2.10.26"], [OLDEST, "2.12.8"]].map(delete_everywhere)).await;
}

async fn delete_everywhere(versions: [&'static str; 2]) {
    let mut pair = Pair::new(versions, "1s").await;
    let (account, other) = (Account::new(), Account::new());
    let (jwt, kept) = (pair.operator.account(&account, 60), pair.operator.account(&other, 60));
    pair.everybody(&account, &jwt, [&jwt, &jwt]);
    pair.everybody(&other, &kept, [&kept, &kept]);
    pair.start().await;
    pair.stop_first().await;
    pair.delete(pair.operator.delete_request(&[&account], 0)).await;
    until("we heard it", || async { pair.held(&account).await.is_empty() }).await;
    pair.start_peer(0).await;
    assert_eq!(pair.peers[0].held(&account), jwt);
    pair.until("it is deleted everywhere", || async {
        assert_eq!(pair.held(&account).await, "", "it has come back");
        pair.peers.iter().all(|peer| peer.held(&account).is_empty())
    })
    .await;
    pair.is_at_rest().await;
    pair.converge("deleted", &account, "").await;
    pair.converge("kept", &other, &kept).await;
    assert!(pair.healed("deleted").await >= 1.0);
    assert!(pair.primary().log().contains("a nats-server has accounts that are deleted: "));
}

#[tokio::test]
async fn a_request_that_names_an_account_which_lives_again_is_not_sent_again() {
    let mut pair = Pair::new(["2.14.6", "2.11.11"], "1h").await;
    let (gone, again) = (Account::new(), Account::new());
    for account in [&gone, &again] {
        let jwt = pair.operator.account(account, 60);
        pair.everybody(account, &jwt, [&jwt, &jwt]);
    }
    pair.start().await;
    pair.stop_first().await;
    pair.delete(pair.operator.delete_request(&[&gone, &again], 30)).await;
    until("we heard it", || async { pair.held(&again).await.is_empty() }).await;
    let anew = pair.operator.account(&again, 0);
    pair.update(&anew).await;
    until("it lives again", || async { pair.held(&again).await == anew }).await;
    pair.start_peer(0).await;
    pair.converge("lives again", &again, &anew).await;
    let line = format!("accounts that are deleted here ({}). Their delete request", gone.key());
    pair.until("it is reported", || async { pair.primary().log().contains(&line) }).await;
    let packs = pair.packs("").await;
    until("another pack came", || async { pair.packs("").await > packs }).await;
    assert_eq!((pair.held(&gone).await.as_str(), pair.peers[1].held(&gone).as_str()), ("", ""));
    assert_ne!(pair.peers[0].held(&gone), "");
    assert_eq!(pair.healed("deleted").await, 0.0);
    // As the log says: anew.
    pair.delete(pair.operator.delete_request(&[&gone], 0)).await;
    pair.converge("deleted", &gone, "").await;
    pair.converge("lives on", &again, &anew).await;
}

#[tokio::test]
async fn an_account_that_one_full_resolver_lacks_is_not_sent_to_all() {
    let mut pair = Pair::new(["2.12.8", "2.15.1"], "1h").await;
    let account = Account::new();
    let (older, current) = (pair.operator.account(&account, 500), pair.operator.account(&account, 60));
    pair.everybody(&account, &current, [&older, ""]);
    pair.start().await;
    pair.until("it is reported", || async { pair.primary().log().contains("and another nats-server has none") }).await;
    let packs = pair.packs("").await;
    until("another pack came", || async { pair.packs("").await > packs }).await;
    assert_eq!(pair.held(&account).await, current);
    assert_eq!((pair.peers[0].held(&account), pair.peers[1].held(&account)), (older, String::new()));
    assert_eq!(pair.primary().http.metric("healed_total", "").await, 0.0);
    // As the log says: pushed.
    pair.update(&current).await;
    pair.converge("pushed", &account, &current).await;
}

#[tokio::test]
async fn what_is_dated_in_the_future_is_refused_and_packs_in_vain_become_rare() {
    let mut pair = Pair::new(["2.10.26", NEWEST], "1h").await;
    let (ahead, new) = (Account::new(), Account::new());
    let current = pair.operator.account(&ahead, 60);
    let future = |account: &Account| pair.operator.sign(&account.claims(now() + 86_400));
    let (of_ahead, of_new) = (future(&ahead), future(&new));
    pair.everybody(&ahead, &current, [&of_ahead, &of_ahead]);
    pair.everybody(&new, "", [&of_new, &of_new]);
    pair.start().await;
    let mut at = Vec::new();
    for packs in [1.0, 2.0, 3.0] {
        until("a pack came", || async { pair.packs("unchanged").await >= packs }).await;
        at.push(Instant::now());
    }
    assert!(at[2] - at[1] > (at[1] - at[0]).mul_f64(1.4), "{at:?}");
    assert_eq!((pair.held(&ahead).await, pair.held(&new).await), (current, String::new()));
    assert!(pair.primary().log().contains("NATS pack is rejected: 2 of its 3 JWTs"), "it is not reported");
    assert_eq!(pair.primary().http.metric("healed_total", "").await, 0.0);
}
