//! Servers that are well, each by itself, and do not belong together.

use serde_json::Value;

use super::{codes, document};
use crate::support::{Operator, Proxy, Server, until};

/// The codes of the reasons that are no server's own, and the exit status.
async fn judged(servers: &[&str]) -> (Vec<String>, i32, Value) {
    let (document, status) = document(servers).await;
    (codes(&document).into_iter().map(str::to_owned).collect(), status, document)
}

#[tokio::test]
async fn servers_of_one_fleet_have_one_primary_one_operator_and_one_session() {
    let operator = Operator::new();
    let (primary, second) = (Server::primary(&operator).await, Server::primary(&operator).await);
    let other = Server::primary(&Operator::new()).await;
    let (replica, stray) =
        (Server::replica(&operator, &primary.url).await, Server::replica(&operator, &second.url).await);
    let (way, fleet) = (Proxy::to(primary.host()).await, [&*primary.url, &*replica.url]);
    until("the fleet is well", || async { judged(&fleet).await.1 == 0 }).await;
    until("the stray replica is well", || async { judged(&[&second.url, &stray.url]).await.1 == 0 }).await;
    for (servers, code, said) in [
        // Two addresses of one process are one primary.
        (vec![&*primary.url, &*way.url(), &*replica.url], None, ""),
        (vec![&*primary.url, &*second.url], Some("several_primaries"), second.url.as_str()),
        (vec![&*primary.url, &*stray.url], Some("other_session"), "follows another session than "),
        (vec![&*stray.url, &*replica.url], Some("other_session"), "follow different primaries"),
        (vec![&*replica.url, &*other.url], Some("several_operators"), other.url.as_str()),
    ] {
        let (codes, status, document) = judged(&servers).await;
        match code {
            None => assert_eq!((codes, status), (vec![], 0), "{document:#}"),
            Some(code) => {
                assert!(codes.contains(&code.to_owned()) && status == 1, "{document:#}");
                let reasons = document["reasons"].as_array().unwrap().iter();
                let mut details = reasons.filter(|reason| reason["code"] == code).map(|reason| &reason["detail"]);
                assert!(details.any(|detail| detail.as_str().unwrap().contains(said)), "{document:#}");
                assert!(document["servers"].as_array().unwrap().iter().all(|server| server["state"] == "well"));
            }
        }
    }
    let ran = super::status(&[&primary.url, &second.url]).await.expect(1);
    assert!(ran.stdout.contains("\nFAIL  several_primaries: several primaries accept changes: "), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("\ndegraded: 2 of 2 servers are well\n"), "{}", ran.stdout);
}
