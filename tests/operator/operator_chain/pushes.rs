//! `POST /jwt/v1/operator`.

use super::{World, answers, in_force, reload, report};
use crate::support::Launch;

const PATH: &str = "/jwt/v1/operator";

#[tokio::test]
async fn what_the_identity_key_signed_can_be_pushed_and_what_it_withholds_is_asked_for() {
    let world = World::new();
    let first = std::fs::read_to_string(world.file()).unwrap();
    let primary = world.primary().await;
    let replica = Launch::default().flag("-primary", &primary.url).start().await;
    replica.follows().await;
    let accounts = [world.put(&primary, 0).await, world.put(&primary, 0).await];
    let both = world.by_identity(&[0, 1], 900);
    let pushed = primary.http.post(PATH, format!("\u{feff} \"{both}\"\r\n")).await.expect(200);
    for part in ["the identity key signed the new one", &world.key(1), "0 accounts are withheld"] {
        assert!(pushed.body.contains(part), "{}", pushed.body);
    }
    in_force(&replica, &both).await;
    primary.http.post(PATH, both.clone()).await.expect(200);

    let kept = world.put(&primary, 1).await;
    let withdrawal = world.by_identity(&[1], 100);
    for query in ["", "?withhold=1", "?withhold=0"] {
        let refused = primary.http.post(&format!("{PATH}{query}"), withdrawal.clone()).await.expect(409);
        assert!(refused.body.starts_with("2 accounts would be withheld"), "{}", refused.body);
        assert!(refused.body.contains("?withhold=2"), "{}", refused.body);
    }
    primary.http.post(&format!("{PATH}?withhold=all"), withdrawal.clone()).await.expect(400);
    answers(&primary, &accounts[0], 200).await;
    primary.http.post(&format!("{PATH}?withhold=5"), withdrawal.clone()).await.expect(200);
    in_force(&replica, &withdrawal).await;
    for server in [&primary, &replica] {
        answers(server, &accounts[1], 404).await;
        answers(server, &kept, 200).await;
    }
    // The configured file is never written, and is older now.
    let ready = report(&primary).await;
    assert!(
        ready.contains("operator.jwt, as it was read last, is not in force: the operator JWT in force is newer"),
        "{ready}"
    );
    assert_eq!(std::fs::read_to_string(world.file()).unwrap(), first);
    let primary = primary.stop_and_start().await;
    in_force(&primary, &withdrawal).await;
    primary.logs("the configured operator JWT is not used").await;
}

#[tokio::test]
async fn what_is_no_match_for_the_one_in_force_is_rejected_with_a_reason() {
    let world = World::new();
    let primary = world.primary().await;
    let stranger = crate::support::Operator::new();
    let current = world.by_identity(&[0], 1_000);
    primary.http.post(PATH, current.clone()).await.expect(200);
    for (what, jwt, status, reason) in [
        ("a signing key's", world.by_key(0, &[0, 1], 10), 400, "only a JWT that the identity key signed"),
        ("replaced before", std::fs::read_to_string(world.file()).unwrap(), 409, "newer"),
        ("older", world.by_identity(&[0], 2_000), 409, "newer"),
        ("from the future", world.by_identity(&[0, 1], -7_200), 400, "in the future"),
        ("another operator's", stranger.jwt(), 400, "--change-operator"),
        ("nothing", String::new(), 400, "bad JWT in request"),
        ("an account's", world.account(&super::Account::new(), 0, 10), 400, "bad JWT in request"),
        ("one with a broken signature", current[..current.len() - 4].to_owned() + "AAAA", 400, "bad JWT in request"),
    ] {
        let reply = primary.http.post(PATH, jwt).await.expect(status);
        assert!(reply.body.contains(reason), "{what}: {}", reply.body);
    }
    in_force(&primary, &current).await;
    assert_eq!(primary.http.metric("accepted_total", "path=\"post\"").await, 1.0);
}

#[tokio::test]
async fn replicas_and_read_only_folders_answer_as_they_do_for_accounts() {
    let world = World::new();
    let primary = world.primary().await;
    let newer = world.by_identity(&[0, 1], 10);
    let replica = |writes: &str| Launch::default().flag("-primary", &primary.url).env("NAS_REPLICA__WRITES", writes);
    let refusing = replica("refuse").start().await;
    let refused = refusing.http.post(PATH, newer.clone()).await.expect(405);
    assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS");
    let forwarding = replica("forward").start().await;
    forwarding.follows().await;
    forwarding.http.post(PATH, newer.clone()).await.expect(200);
    // Who is answered reads his own write.
    assert_eq!(forwarding.http.get(PATH).await.body, newer);
    in_force(&primary, &newer).await;
    let folder = world.folder("read-only");
    std::fs::create_dir(&folder).unwrap();
    let read_only =
        Launch::default().flag("-operator", world.file()).dir(&folder).env("NAS_STORE__READONLY", "true").start().await;
    let refused = read_only.http.post(PATH, newer).await.expect(405);
    assert!(refused.body.contains("change the files there"), "{}", refused.body);
    let without = Launch::default().start().await;
    without.http.post(PATH, world.by_identity(&[0], 10)).await.expect(400);
    without.http.get(PATH).await.expect(404);
}

#[tokio::test]
async fn nothing_that_a_stolen_key_signs_bars_its_withdrawal() {
    let world = World::new();
    let primary = world.primary().await;
    let replica = Launch::default().flag("-primary", &primary.url).start().await;
    replica.follows().await;
    // The thief lists himself, removes the honest key, and dates it ahead as far as he can.
    let stolen = world.by_key(0, &[3], -3_500);
    world.configure(&stolen);
    reload(&primary).await;
    in_force(&replica, &stolen).await;
    let withdrawal = world.by_identity(&[1], 0);
    primary.http.post(PATH, withdrawal.clone()).await.expect(200);
    in_force(&replica, &withdrawal).await;
    for _ in 0..2 {
        // His file is still there, and he has more of them.
        reload(&primary).await;
        in_force(&primary, &withdrawal).await;
        world.configure(world.by_key(3, &[0, 3], -3_590));
    }
    let primary = primary.stop_and_start().await;
    in_force(&primary, &withdrawal).await;
}
