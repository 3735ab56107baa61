//! The scope `admin`: an operator JWT that a signing key signed.

use nkeys::KeyPair;
use serde_json::json;

use super::world::{World, basic, get, send, user};

#[tokio::test]
async fn a_signing_key_may_change_the_operator_for_an_admin_alone() {
    let world = World::new(&json!({
        "anonymous": ["read", "push"], "users": [user("keeper", &["read", "list", "push", "admin"]), user("ci", &["push"])],
    }));
    let server = world.start().await;
    let (key, next) = (KeyPair::new_operator(), KeyPair::new_operator());
    let path = "/jwt/v1/operator";
    let (keeper, ci) = (basic("keeper", "hush-hush"), basic("ci", "hush-hush"));
    send(&server.http, "POST", path, Some(&ci), &world.operator.listing(&[&key], 5)).await.expect(200);
    let claims = |age: i64| {
        let mut claims = world.operator.claims(&[&key, &next], crate::support::now() - age);
        claims["iss"] = key.public_key().into();
        nats_account_server::testkit::sign(&claims, &key)
    };
    let (signed, older) = (claims(3), claims(4));
    for credential in [None, Some(&*ci)] {
        let reply = send(&server.http, "POST", path, credential, &signed).await.expect(400);
        assert!(reply.body.contains("scope admin"), "{}", reply.body);
    }
    let reply = send(&server.http, "POST", path, Some(&keeper), &signed).await.expect(200);
    assert!(reply.body.contains(&next.public_key()), "{}", reply.body);
    assert_eq!(server.http.get(path).await.expect(200).body, signed);
    // The rest of the rule holds for an admin, too.
    send(&server.http, "POST", path, Some(&keeper), &older).await.expect(409);
    let stranger = KeyPair::new_operator();
    let mut unlisted = world.operator.claims(&[&stranger], crate::support::now() - 1);
    unlisted["iss"] = stranger.public_key().into();
    let unlisted = nats_account_server::testkit::sign(&unlisted, &stranger);
    send(&server.http, "POST", path, Some(&keeper), &unlisted).await.expect(400);
    let changes = get(&server.http, "/jwt/v1/changes?after=0", &keeper).await.expect(200).json();
    assert_eq!(changes["head"], 3, "{changes}");
}
