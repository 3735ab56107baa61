//! nats-servers that run something else than what is stored.

use super::{codes, document};
use crate::support::fleet::{Fleet, NEWEST};
use crate::support::login::login;
use crate::support::{Account, now, until};

#[tokio::test]
async fn a_nats_server_that_goes_on_with_a_deleted_account_is_named() {
    let fleet = Fleet::url(NEWEST).await;
    let (url, http) = (&fleet.primary.url, &fleet.primary.http);
    let (account, users) = (Account::named("app"), tempfile::tempdir().unwrap());
    let user = account.user();
    http.post(&account.path(), fleet.operator.account(&account, 100)).await.expect(200);
    let session = login(fleet.nats.address(), &user).await.unwrap();
    let explained = async || document(users.path(), &user, &["--url", url]).await;
    until("the nats-server is in sync", || async {
        let (document, status) = explained().await;
        status == 0 && document["nats_servers"][0]["state"] == "in_sync"
    })
    .await;
    let (document, _) = explained().await;
    assert_eq!(
        (&document["verdict"], &document["nats_servers"][0]["verdict"]),
        (&"accepted".into(), &"accepted".into())
    );
    assert!(document.get("nats_servers_unknown").is_none(), "{document:#}");

    http.delete(&account.path(), fleet.operator.delete_request(&[&account], 0)).await.expect(200);
    until("the nats-server is known to go on", || async {
        explained().await.0["nats_servers"][0]["state"] == "behind"
    })
    .await;
    let (document, status) = explained().await;
    assert_eq!((&document["verdict"], status), (&"unsure".into(), 2), "{document:#}");
    assert_eq!(codes(&document, "fail"), ["account"]);
    let there = &document["nats_servers"][0];
    assert_eq!((&there["verdict"], &there["status"]), (&"accepted".into(), &"unknown".into()), "{document:#}");
    let iat = there["runs"].as_i64().unwrap();
    assert!((now() - 200..now() - 90).contains(&iat), "{document:#}");
    assert!(there["text"].as_str().unwrap().contains("and accepts the user, until it is repaired"), "{document:#}");
    // It is right.
    assert!(session.is_up() && login(fleet.nats.address(), &user).await.is_ok());
}
