//! Full resolvers that come and go.

use super::fleet::{Fleet, LIST, NEWEST, UPDATE};
use crate::support::{Account, NatsLaunch, Operator, until};

#[tokio::test]
async fn when_a_full_resolver_joins_we_become_silent_and_when_it_leaves_we_answer_again() {
    let setup = |launch: crate::support::Launch| launch.env("NAS_NATS__SYNC_INTERVAL", "1s");
    let fleet =
        Fleet::of("2.12.8", Operator::new(), setup, |launch, primary, _| launch.cluster(None).asks(&primary.url)).await;
    let (account, jwt) = fleet.open(60).await;
    let answers = |answers: &[async_nats::Message]| (answers.len(), Fleet::ours(answers).len());
    assert_eq!(answers(&fleet.ask_all(UPDATE, jwt.clone()).await), (1, 1));
    let dir = tempfile::tempdir().unwrap();
    let system = fleet.operator.system();
    let lines = format!(
        "resolver: {{ type: full, dir: {:?}, allow_delete: true, interval: \"1s\" }}\nresolver_preload: {{ {}: {} }}",
        dir.path(),
        system.key(),
        fleet.held(system).await
    );
    let launch = NatsLaunch::new(NEWEST, &fleet.operator).named("test-full");
    let full = launch.cluster(Some(fleet.nats.cluster_address())).with(&lines).start().await;
    // It asks us for a pack, and so shows itself.
    until("we see it", || async { fleet.resolver_line().await.contains("full resolver is there") }).await;
    until("it has what we have", || async {
        let file = dir.path().join(format!("{}.jwt", account.key()));
        std::fs::read_to_string(file).is_ok_and(|text| text == jwt)
    })
    .await;
    let (new, late) = (Account::new(), Account::new());
    let of_new = fleet.operator.account(&new, 60);
    assert_eq!(answers(&fleet.ask_all(UPDATE, of_new.clone()).await), (1, 0));
    assert_eq!(answers(&fleet.ask_all(LIST, "").await), (1, 0));
    assert_eq!(fleet.held(&new).await, of_new);
    drop(full);
    until("we see that it has left", || async { fleet.resolver_line().await.contains("no full resolver answered") })
        .await;
    let of_late = fleet.operator.account(&late, 60);
    assert_eq!(answers(&fleet.ask_all(UPDATE, of_late).await), (1, 1));
    assert_eq!(fleet.pack("").await.len(), 4);
}
