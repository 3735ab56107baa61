//! What differs among full resolvers and us comes to be the same everywhere.

use serde_json::json;

use super::fleet::NEWEST;
use super::pair::{OLDEST, Pair};
use crate::support::{Account, Operator, now, until};

/// Each release is in one of the pairs.
const PAIRS: [[&str; 2]; 3] = [[OLDEST, "2.10.26"], ["2.11.11", "2.12.8"], ["2.14.6", NEWEST]];

#[tokio::test]
async fn what_a_full_resolver_has_wrong_is_put_right_and_what_is_news_is_taken() {
    futures_util::future::join_all(PAIRS.map(put_right)).await;
}

async fn put_right(versions: [&'static str; 2]) {
    let mut pair = Pair::new(versions, "1h").await;
    let then = now() - 100;
    let operator = pair.operator.clone();
    let sign = |account: &Account, age| operator.sign(&account.claims(then - age));
    let accounts: [Account; 8] = std::array::from_fn(|_| Account::new());
    let [older, tie, foreign, garbage, newline, news, unknown, alike] = &accounts;
    let current = accounts.each_ref().map(|account| sign(account, 0));
    let [of_older, of_tie, of_foreign, of_garbage, of_newline, _, of_unknown, of_alike] = &current;
    let newer = sign(news, -50);
    let mut other = tie.claims(then);
    other["nats"]["tags"] = json!(["another one of the same second"]);
    let other = pair.operator.sign(&other);

    pair.everybody(older, of_older, [&sign(older, 500), of_older]);
    pair.everybody(tie, of_tie, [&other, &other]);
    pair.everybody(foreign, of_foreign, [&Operator::new().account(foreign, 10), of_foreign]);
    pair.everybody(garbage, of_garbage, ["garbage", of_garbage]);
    pair.everybody(newline, of_newline, [&format!("{of_newline}\n"), of_newline]);
    pair.everybody(news, &sign(news, 0), [&newer, &sign(news, 0)]);
    pair.everybody(unknown, "", [of_unknown, ""]);
    pair.everybody(alike, of_alike, [of_alike, of_alike]);
    pair.start().await;

    let texts = [of_older, of_tie, of_foreign, of_garbage, of_newline, &newer, of_unknown, of_alike];
    let names = ["older", "tie", "foreign", "garbage", "newline", "news", "unknown", "alike"];
    for ((name, account), text) in names.into_iter().zip(&accounts).zip(texts) {
        pair.converge(&format!("{versions:?} {name}"), account, text).await;
    }
    let all = texts.map(String::as_str);
    until("the sums are equal", || async {
        let mut equal = true;
        for _ in 0..5 {
            equal &= pair.is_sum(&all).await;
        }
        equal
    })
    .await;
    pair.is_at_rest().await;
    // A tool brings back an older one, and full resolvers obey.
    let older = sign(alike, 500);
    pair.update(&older).await;
    assert!(pair.peers.iter().all(|peer| peer.held(alike) == older), "{versions:?}");
    pair.converge(&format!("{versions:?} alike again"), alike, of_alike).await;
    pair.is_at_rest().await;
    // As often as needed, and no more.
    for (reason, times) in [("older", 2.0), ("tie", 1.0), ("foreign", 2.0), ("spelling", 1.0), ("deleted", 0.0)] {
        assert_eq!(pair.healed(reason).await, times, "{versions:?} {reason}");
    }
}
