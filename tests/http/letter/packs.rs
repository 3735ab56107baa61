//! `GET /jwt/v1/pack`.

use super::row::{On, Row};
use crate::support::{Account, Operator, Server};

pub(crate) fn rows() -> Vec<Row> {
    let bad = |value: &str| format!("bad max parameter {value}\n");
    let row = |max: &str, status| Row::get(format!("a pack with max={max}"), format!("/jwt/v1/pack?max={max}"), status);
    vec![
        Row::get("a pack", "/jwt/v1/pack", 200)
            .has("{lasting}|{lasting jwt}")
            .tells("content-type", "text/plain")
            .tells("transfer-encoding", "chunked"),
        Row::get("a pack of a folder that is only read", "/jwt/v1/pack", 200).on(On::ReadOnly).is("{held}|{held jwt}"),
        Row::get("a pack of at most so many", "/jwt/v1/pack?max=1", 200).on(On::ReadOnly).is("{held}|{held jwt}"),
        Row::get("a pack at a replica", "/jwt/v1/pack", 404).on(On::Replica).has("{primary}"),
        row("0", 200).empty(),
        row("", 200).has("{held}|{held jwt}"),
        row("-1", 200).has("{held}|{held jwt}"),
        row("+5", 400).is(bad("\" 5\"")),
        row("%2B5", 200).on(On::ReadOnly).is("{held}|{held jwt}"),
        row("Foo", 400).is(bad("\"foo\"")).tells("content-type", "text/plain"),
        row("1e3", 400).is(bad("\"1e3\"")),
        row("99999999999999999999", 400).is(bad("\"99999999999999999999\"")),
        row("%22%0a%00", 400).is(bad(r#""\"\n\x00""#)),
    ]
}

#[tokio::test]
async fn a_pack_of_many_pieces_holds_every_account_once_and_as_many_as_are_wanted() {
    let operator = Operator::new();
    let folder = tempfile::tempdir().unwrap();
    let mut lines: Vec<String> = (0..503)
        .map(|_| {
            let account = Account::new();
            let jwt = operator.account(&account, 100);
            std::fs::write(folder.path().join(format!("{}.jwt", account.key())), &jwt).unwrap();
            format!("{}|{jwt}", account.key())
        })
        .collect();
    lines.sort_unstable();
    let server = Server::primary_in(&operator, folder.path()).await;
    let all = server.http.get("/jwt/v1/pack").await.expect(200).body;
    let mut found: Vec<&str> = all.split('\n').collect();
    found.sort_unstable();
    assert_eq!(found, lines);
    for max in [1, 499, 500, 501, 502, 503, 5_000] {
        let some = server.http.get(&format!("/jwt/v1/pack?max={max}")).await.expect(200).body;
        assert_eq!(some.split('\n').count(), lines.len().min(max), "{max}");
        assert!(all.starts_with(&some), "{max}");
    }
}
