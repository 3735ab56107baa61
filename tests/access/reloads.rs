//! SIGHUP changes who may do what at once.

use serde_json::json;

use super::world::{World, basic, bearer, get, send, token, user, user_with};
use crate::support::feed::Events;
use crate::support::{Account, Http, within};

/// A client that shows a credential with every request.
fn client(url: &str, credential: &str) -> Http {
    let headers =
        reqwest::header::HeaderMap::from_iter([(reqwest::header::AUTHORIZATION, credential.parse().unwrap())]);
    let client = reqwest::Client::builder().no_proxy().default_headers(headers).build().unwrap();
    Http::with(client, url)
}

#[tokio::test]
async fn a_reload_that_withdraws_access_ends_what_is_open() {
    let account = Account::new();
    let access =
        |users: &[serde_json::Value]| json!({ "anonymous": [], "users": users, "tokens": [token("eu-1", &["list"])] });
    let lister = |scopes: &[&str]| user("lister", scopes);
    let world = World::new(&access(&[lister(&["list"]), user("nsc", &["push"])]));
    let server = world.start().await;
    let (mine, stays) = (client(&server.url, &basic("lister", "hush-hush")), client(&server.url, &bearer("eu-1")));
    let (mut mine_stream, mut other_stream) = (Events::open(&mine, "").await, Events::open(&stays, "").await);
    for stream in [&mut mine_stream, &mut other_stream] {
        assert_eq!(stream.next().await.unwrap().0, "hello");
    }
    let poll = |http: Http| tokio::spawn(async move { http.get("/jwt/v1/changes?after=1&wait=60s").await });
    let (mine_poll, other_poll) = (poll(mine.clone()), poll(stays.clone()));
    // A reload that changes nothing for them.
    world.reload(&server, &access(&[user("other", &[]), lister(&["list", "read"]), user("nsc", &["push"])]), 1).await;
    assert_eq!(other_stream.next().await.unwrap().0, "heartbeat");
    assert_eq!(mine_stream.next().await.unwrap().0, "heartbeat");
    assert!(!mine_poll.is_finished());

    world.reload(&server, &access(&[lister(&["read"]), user("nsc", &["push"])]), 2).await;
    within("the end of the stream", async { while mine_stream.next().await.is_some() {} }).await;
    let reply = within("the end of the poll", mine_poll).await.unwrap().expect(403);
    assert!(reply.body.contains("user lister lacks the scope list"), "{}", reply.body);
    mine.get("/jwt/v1/pack").await.expect(403);
    let jwt = world.operator.account(&account, 10);
    send(&server.http, "POST", &account.path(), Some(&basic("nsc", "hush-hush")), &jwt).await.expect(200);
    assert_eq!(other_stream.next_change().await["jwt"], jwt);
    within("the change", other_poll).await.unwrap().expect(200);
    mine.get(&account.path()).await.expect(200);

    // A password that changes, and one that cannot be used.
    world.reload(&server, &access(&[user_with("lister", "other", &["read"])]), 3).await;
    get(&server.http, &account.path(), &basic("lister", "hush-hush")).await.expect(401);
    get(&server.http, &account.path(), &basic("lister", "other")).await.expect(200);
    send(&server.http, "POST", &account.path(), Some(&basic("nsc", "hush-hush")), &jwt).await.expect(401);
    let mut broken = user("lister", &["read", "list"]);
    broken["password"] = "$2b$10$cut".into();
    world.reload(&server, &access(&[broken]), 4).await;
    server.logs("cannot use the new access: access.users: the password of lister cannot be used").await;
    get(&server.http, &account.path(), &basic("lister", "other")).await.expect(200);
    world.reload(&server, &json!({ "anonymous": ["list"] }), 5).await;
    assert_eq!(server.http.metric("reloads_total", "{result=\"failed\",what=\"access\"}").await, 1.0);
    assert!(server.log().contains("access: every client may, without credentials: list"), "{}", server.log());
}
