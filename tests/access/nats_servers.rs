//! Real nats-servers with a user and a password in the URL of their resolver.

use serde_json::json;

use super::world::{World, basic, send, user};
use crate::support::login::login;
use crate::support::{Account, NatsServer};

const VERSIONS: [&str; 2] = ["2.10.26", "2.15.1"];

#[tokio::test]
async fn nats_servers_read_from_a_closed_server_by_the_user_in_their_url() {
    let account = Account::new();
    let users = [user("nats", &["read"]), user("nsc", &["read", "push"])];
    let world = World::new(&json!({ "anonymous": [], "users": users }));
    let server = world.start().await;
    for account in [&account, world.operator.system()] {
        let jwt = world.operator.account(account, 10);
        send(&server.http, "POST", &account.path(), Some(&basic("nsc", "hush-hush")), &jwt).await.expect(200);
    }
    for version in VERSIONS {
        if !NatsServer::has(version) {
            println!("skipped: nats-server {version} is missing: run tests/get-nats-server.sh {version}");
            continue;
        }
        let resolver = server.url.replace("://", "://nats:hush-hush@");
        let nats = NatsServer::start(version, &world.operator, &resolver).await;
        let session = login(nats.address(), &account.user()).await;
        assert!(session.is_ok_and(|session| session.is_up()), "{}", nats.log());
        assert!(login(nats.address(), &Account::new().user()).await.is_err());
    }
}
