//! The configured file: in every form that editors leave, at a start and at a reload.

use super::{World, in_force, reload, report};
use crate::support::{Launch, Operator, until};

/// What becomes of a JWT in an editor.
type Form = Box<dyn Fn(&str) -> Vec<u8>>;

#[tokio::test]
async fn files_are_read_with_whatever_editors_put_around_a_jwt() {
    let world = World::new();
    let primary = world.primary().await;
    let utf16 = |text: String, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let decorated =
        |jwt: &str| format!("-----BEGIN NATS OPERATOR JWT-----\r\n{jwt}\r\n------END NATS OPERATOR JWT------\r\n");
    let forms: [(&str, Form); 6] = [
        ("a byte order mark and CRLF", Box::new(|jwt| format!("\u{feff}{jwt}\r\n").into_bytes())),
        ("blanks", Box::new(|jwt| format!("\n\t {jwt} \n\n").into_bytes())),
        ("quotes", Box::new(|jwt| format!("\"{jwt}\"\n").into_bytes())),
        ("UTF-16", Box::new(move |jwt| utf16(format!("\u{feff}{jwt}\r\n"), u16::to_le_bytes))),
        ("UTF-16 of the other order", Box::new(move |jwt| utf16(format!("\u{feff}{jwt}"), u16::to_be_bytes))),
        ("decoration with CRLF", Box::new(move |jwt| decorated(jwt).into_bytes())),
    ];
    for (age, (what, form)) in (100..).step_by(100).zip(&forms) {
        let jwt = world.by_identity(&[0], 2_000 - age);
        world.configure(form(&jwt));
        reload(&primary).await;
        assert_eq!(primary.http.get("/jwt/v1/operator").await.body, jwt, "{what}");
        let started = world.launch("other").start().await;
        assert_eq!(started.http.get("/jwt/v1/operator").await.body, jwt, "{what}");
    }
}

#[tokio::test]
async fn a_start_and_a_reload_say_the_same_of_a_file() {
    let world = World::new();
    let begun = std::fs::read_to_string(world.file()).unwrap();
    let mut primary = world.primary().await;
    let held = world.by_key(0, &[0, 1], 1_000);
    world.configure(&held);
    reload(&primary).await;
    in_force(&primary, &held).await;
    for (what, jwt, reason) in [
        ("older", world.by_identity(&[0], 4_000), "newer"),
        ("the first one", begun.clone(), "was replaced by a later one"),
        ("by a key that is not listed", world.by_key(2, &[2], 10), "does not list"),
        ("by a key that lists itself alone", world.by_key(3, &[0, 3], 10), "operator trust FILE"),
        ("of the same second by a signing key", world.by_key(1, &[1], 1_000), "newer"),
        ("from the future", world.by_identity(&[0], -31_536_000), "in the future"),
        ("from the future, by a listed key", world.by_key(0, &[0], -31_536_000), "in the future"),
        ("no JWT", "hello".to_owned(), "not a valid operator JWT"),
    ] {
        world.configure(&jwt);
        reload(&primary).await;
        for at in ["reload", "start"] {
            if at == "start" {
                primary = primary.stop_and_start().await;
            }
            assert_eq!(primary.http.get("/jwt/v1/operator").await.body, held, "{what} {at}");
            until("the report says so", || async {
                let ready = report(&primary).await;
                ready.contains("is not in force: ") && ready.contains(reason)
            })
            .await;
            primary.logs(reason).await;
            primary.http.get("/readyz").await.expect(200);
        }
    }
    // The file may be gone, too.
    std::fs::remove_file(world.file()).unwrap();
    let primary = primary.stop_and_start().await;
    in_force(&primary, &held).await;
    primary.logs("cannot read the operator JWT").await;
    world.configure(&held);
    reload(&primary).await;
    let ready = report(&primary).await;
    assert!(!ready.contains("is not in force"), "{ready}");
}

#[tokio::test]
async fn a_first_start_takes_any_signer_and_no_future() {
    let world = World::new();
    world.configure(world.by_identity(&[0], -31_536_000));
    let (status, log) = world.launch("a").fail().await;
    assert_eq!(status, Some(1));
    assert!(log.contains("in the future"), "{log}");
    // It removed its own signer, so nobody can check that.
    let jwt = world.by_key(0, &[1], 10);
    world.configure(&jwt);
    let primary = world.launch("b").start().await;
    primary
        .logs(&format!("signed by the signing key {}, which cannot be checked at a first start", world.key(0)))
        .await;
    in_force(&primary, &jwt).await;
    let page = primary.http.get("/jwt/v1/operator?chain=true").await.expect(200).json();
    assert_eq!(page["origin"], "configured");
    // The anchor is what older JWTs do not get past, whoever signed it.
    primary.http.post("/jwt/v1/operator", world.by_identity(&[0], 5_000)).await.expect(409);
}

#[tokio::test]
async fn what_nats_servers_tolerate_is_a_warning() {
    let world = World::new();
    let mut claims = world.claims(&[0], 100);
    claims["exp"] = (super::now() - 10).into();
    claims["nats"]["operator_service_urls"] = serde_json::json!(["nats://u:p@localhost:4222/", "localhost:4222"]);
    claims["nats"]["account_server_url"] = "accounts.example.com/jwt/v1".into();
    world.configure(world.operator.sign_by_identity_key(&claims));
    let primary = world.primary().await;
    for part in ["operator service url", "account server url", "claim is expired", "HAS EXPIRED"] {
        primary.logs(part).await;
    }
    claims["nats"]["signing_keys"] = serde_json::json!(["x"]);
    claims["iat"] = super::now().into();
    world.configure(world.operator.sign_by_identity_key(&claims));
    reload(&primary).await;
    primary.logs("x is not an operator public key").await;
}

#[tokio::test]
async fn a_replica_keeps_to_its_operator_as_a_primary_does() {
    let (world, other) = (World::new(), Operator::new());
    let primary = world.primary().await;
    let held = world.by_key(0, &[0, 1], 1_000);
    world.configure(&held);
    reload(&primary).await;
    let file = world.folder("replica.jwt");
    std::fs::write(&file, world.by_identity(&[0], 5_000)).unwrap();
    let launch =
        || Launch::default().flag("-primary", &primary.url).flag("-operator", &file).dir(&world.folder("replica"));
    let replica = launch().start().await;
    in_force(&replica, &held).await;
    let ready = report(&replica).await;
    assert!(ready.contains("replica.jwt, as it was read last, is not in force"), "{ready}");
    std::fs::write(&file, "hello").unwrap();
    let replica = replica.stop_and_start().await;
    in_force(&replica, &held).await;
    drop(replica);
    std::fs::write(&file, other.jwt()).unwrap();
    let (status, log) = launch().fail().await;
    assert_eq!(status, Some(1));
    assert!(log.contains(&format!("--change-operator {}", other.key())), "{log}");
    let changed = launch().flag("--change-operator", other.key()).start().await;
    in_force(&changed, &other.jwt()).await;
}
