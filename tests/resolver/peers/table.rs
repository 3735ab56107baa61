//! Who answers what, with each release and each kind of resolver beside us.

use async_nats::Message;
use futures_util::future::join_all;

use super::fleet::{DELETE, Fleet, LIST, NEWEST, PACK, UPDATE, json, lookup};
use super::pair::{OLDEST, or_newest};
use crate::support::nats_server::OWN_FOLDER;
use crate::support::{Account, Operator, until};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolver {
    Full,
    Cache,
    Url,
    Memory,
}

#[tokio::test]
async fn nobody_answers_beside_a_full_resolver_and_somebody_everywhere_else() {
    use Resolver::{Cache, Full, Memory, Url};
    for versions in [[OLDEST, "2.10.26", "2.11.11"], ["2.12.8", "2.14.6", NEWEST]] {
        let some = versions.into_iter().flat_map(|version| [Full, Cache, Url, Memory].map(|kind| (version, kind)));
        join_all(some.map(|(version, kind)| answers(or_newest(version), kind))).await;
    }
}

async fn answers(version: &'static str, kind: Resolver) {
    let fleet = start(version, kind).await;
    let what = format!("{version} {kind:?}");
    // A full resolver answers alone, a cache as well as we, and the others know nothing of this.
    let wanted = match kind {
        Resolver::Full => (1, 0),
        Resolver::Cache => (1, 1),
        Resolver::Url | Resolver::Memory => (0, 1),
    };
    let account = Account::new();
    let jwt = fleet.operator.account(&account, 60);
    assert_eq!(by(&fleet.ask_all(UPDATE, jwt.clone()).await), wanted, "{what}: UPDATE");
    until(&format!("{what}: it is taken in"), || async { fleet.held(&account).await == jwt }).await;
    assert_eq!(by(&fleet.ask_all(LIST, "").await), wanted, "{what}: LIST");

    let found = fleet.ask_all(&lookup(&account.key()), "").await;
    assert_eq!(found.len(), if kind == Resolver::Full { 2 } else { 1 }, "{what}: LOOKUP");
    assert!(found.iter().all(|answer| answer.payload == jwt), "{what}: LOOKUP");
    let nobody = fleet.ask_all(&lookup(&Account::new().key()), "").await;
    assert_eq!(nobody.len(), usize::from(kind == Resolver::Full && version != OLDEST), "{what}: LOOKUP of nobody");
    // Two accounts, from one of us.
    let pack = fleet.ask_all(PACK, "").await;
    assert_eq!(pack.iter().map(|line| line.payload.is_empty()).collect::<Vec<_>>(), [false, false, true], "{what}");
    assert_eq!(fleet.packs_given().await > 0.0, kind != Resolver::Full, "{what}: PACK");

    // What only we have is found at login, but by a memory resolver, which asks nobody.
    let (ours, _) = fleet.open(60).await;
    let options = async_nats::ConnectOptions::with_credentials(&ours.user().creds()).unwrap();
    let login = options.connect(format!("nats://{}", fleet.nats.address())).await;
    assert_eq!(login.is_ok(), kind != Resolver::Memory, "{what}: {:?}", login.err());

    let request = fleet.operator.delete_request(&[&account], 0);
    assert_eq!(by(&fleet.ask_all(DELETE, request).await), wanted, "{what}: DELETE");
    until(&format!("{what}: it is deleted"), || async { fleet.held(&account).await.is_empty() }).await;
    assert!(fleet.ask_all(&lookup(&account.key()), "").await.iter().all(|answer| answer.payload.is_empty()), "{what}");
}

async fn start(version: &'static str, kind: Resolver) -> Fleet {
    // One that old cannot be seen.
    let mode = if version == OLDEST && kind == Resolver::Full { "silent" } else { "auto" };
    let setup = |launch: crate::support::Launch| launch.env("NAS_NATS__RESOLVER", mode);
    Fleet::of(version, Operator::new(), setup, |launch, primary, system| {
        let (dir, preload) = (format!("{OWN_FOLDER}/jwt"), format!("resolver_preload: {{ {system} }}"));
        match kind {
            Resolver::Full => launch.with(&format!(
                "resolver: {{ type: full, dir: {dir:?}, allow_delete: true, interval: \"1h\" }}\n{preload}"
            )),
            Resolver::Cache => {
                launch.with(&format!("resolver: {{ type: cache, dir: {dir:?}, limit: 100, ttl: \"1h\" }}\n{preload}"))
            }
            Resolver::Url => launch.asks(&primary.url),
            Resolver::Memory => launch.with(&format!("resolver: MEMORY\n{preload}")),
        }
    })
    .await
}

/// How many of the answers are of nats-servers, and how many are ours.
fn by(answers: &[Message]) -> (usize, usize) {
    let theirs = answers.iter().filter(|answer| answer.status.is_none()).map(json);
    let theirs =
        theirs.filter(|answer| answer["server"]["name"].as_str().is_some_and(|name| name.starts_with("test-")));
    (theirs.count(), Fleet::ours(answers).len())
}
