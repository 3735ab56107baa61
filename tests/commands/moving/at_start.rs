//! `store.import_from`: a primary that takes in the pack of another account server at its start.

use super::file;
use crate::support::{Account, Answer, FakePrimary, Launch, Operator, until};

#[tokio::test]
async fn the_pack_of_another_server_is_taken_in_at_start_where_it_is_newer() {
    let operator = Operator::new();
    let folder = tempfile::tempdir().unwrap();
    let [news, newer, older, foreign] = ["news", "newer", "older", "foreign"].map(Account::named);
    // Files that are not known yet when the server starts.
    let held = operator.account(&older, 300);
    std::fs::write(file(folder.path(), &older), &held).unwrap();
    std::fs::write(file(folder.path(), &newer), operator.account(&newer, 300)).unwrap();
    let [first, second] = [&news, &newer].map(|account| operator.account(account, 100));
    let hash = "GM24S5KFUVRNV7HG5Y6PZBZWO5GZTJAHYZUJLWEDCKYVNWSUQVGQ====";
    let pack = [
        format!("{hash}|{}", news.activation(&newer, "orders", 100)),
        format!("{}|{first}", news.key()),
        format!("{}|{second}", newer.key()),
        format!("{}|{}", older.key(), operator.account(&older, 900)),
        format!("{}|{}", foreign.key(), Operator::new().account(&foreign, 10)),
    ];
    let pack = pack.join("\n");
    let source = FakePrimary::new(move |path| match path.split('?').next() {
        Some("/jwt/v1/pack") => Answer::new(200, pack.clone()),
        _ => Answer::new(404, ""),
    })
    .await;
    let launch = Launch::primary(&operator).dir(folder.path()).env("NAS_STORE__IMPORT_FROM", &source.url);
    let server = launch.start().await;
    server.logs("2 of its JWTs were imported, 0 were stored already, 1 are older than the stored ones").await;
    server
        .logs(&format!("2 lines of the pack of {} were rejected; the first: line 1 is no line of a pack", source.url))
        .await;
    for (account, wanted) in [(&news, first), (&newer, second), (&older, held)] {
        assert_eq!(server.http.get(&account.path()).await.expect(200).body, wanted);
    }
    server.http.get(&foreign.path()).await.expect(404);
    let again = server.stop_and_start().await;
    again.logs("0 of its JWTs were imported, 2 were stored already, 1 are older than the stored ones").await;
    assert_eq!(source.heads("/jwt/v1/pack").len(), 2, "once at each start");
}

#[tokio::test]
async fn a_source_that_is_away_or_broken_keeps_nobody_from_starting() {
    let operator = Operator::new();
    let account = Account::new();
    let half = format!("{}|{}\nAB", account.key(), operator.account(&account, 100));
    let broken = FakePrimary::new(move |_| Answer::new(200, half.clone()).cut_off()).await;
    let refusing = FakePrimary::new(|_| Answer::new(503, "later\n")).await;
    let away = "http://127.0.0.1:1".to_owned();
    let mut servers = Vec::new();
    for (url, why) in [
        (away.clone(), "the request failed"),
        (refusing.url.clone(), "the server says 503 Service Unavailable: later"),
        (broken.url.clone(), "the pack broke off"),
    ] {
        let server = Launch::primary(&operator).env("NAS_STORE__IMPORT_FROM", &url).start().await;
        server.logs(&format!("[ERR] unable to initialize from primary, {url}: {why}")).await;
        servers.push(server);
    }
    until("what came before the end is in", || async { servers[2].http.get(&account.path()).await.status == 200 })
        .await;
}
