//! Files as nsc writes them, and private keys that were put into the folder by mistake.

use std::fs;
use std::time::Duration;

use super::{file, holds, refused, serves};
use crate::support::{Account, Launch, Operator, Server, until};

fn decorated(jwt: &str) -> String {
    format!("# of the team\r\n-----BEGIN NATS ACCOUNT JWT-----\r\n{jwt}\r\n------END NATS ACCOUNT JWT------\r\n")
}

#[tokio::test]
async fn a_decorated_jwt_is_served_and_its_file_becomes_bare_once() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let [found, expired, dropped] = std::array::from_fn(|_| Account::new());
    let jwt = operator.account(&found, 100);
    fs::write(file(dir.path(), &found), decorated(&jwt)).unwrap();
    // The first scan accepts what has expired.
    let mut claims = expired.claims(crate::support::now() - 200);
    claims["exp"] = (crate::support::now() - 100).into();
    let old = operator.sign(&claims);
    fs::write(file(dir.path(), &expired), decorated(&old)).unwrap();
    let server = Server::primary_in(&operator, dir.path()).await;
    for (account, jwt) in [(&found, &jwt), (&expired, &old)] {
        serves(&server, account, jwt).await;
        holds(&file(dir.path(), account), jwt).await;
    }
    let versions = [300, 200].map(|age| operator.account(&dropped, age));
    for jwt in &versions {
        fs::write(file(dir.path(), &dropped), decorated(jwt)).unwrap();
        serves(&server, &dropped, jwt).await;
        holds(&file(dir.path(), &dropped), jwt).await;
    }
    // The same once more.
    fs::write(file(dir.path(), &dropped), decorated(&versions[1])).unwrap();
    holds(&file(dir.path(), &dropped), &versions[1]).await;
    let serial = server.http.metric("serial", "").await;
    assert_eq!(serial, 5.0, "the operator, and one change for each JWT");
    assert!(refused(dir.path()).is_empty(), "{:?}", refused(dir.path()));
    let server = server.stop_and_start().await;
    serves(&server, &dropped, &versions[1]).await;
    assert_eq!(server.http.metric("serial", "").await, serial);
}

#[tokio::test]
async fn a_decorated_jwt_in_a_folder_that_is_only_read_is_served_and_left() {
    let (operator, dir, state) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [found, dropped] = std::array::from_fn(|_| Account::new());
    let (first, second) = (operator.account(&found, 100), operator.account(&dropped, 100));
    fs::write(file(dir.path(), &found), decorated(&first)).unwrap();
    let launch = Launch::primary(&operator).dir(dir.path()).env("NAS_STORE__READONLY", "true");
    let server = launch.env("NAS_STORE__STATE_DIR", state.path().to_str().unwrap()).start().await;
    serves(&server, &found, &first).await;
    fs::write(file(dir.path(), &dropped), decorated(&second)).unwrap();
    serves(&server, &dropped, &second).await;
    assert_eq!(fs::read_to_string(file(dir.path(), &found)).unwrap(), decorated(&first));
}

#[tokio::test]
async fn a_private_key_in_the_folder_is_warned_of_once_and_not_shown() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let [before, later] = std::array::from_fn(|_| Account::new());
    let seeds: Vec<String> = (0..6).map(|_| nkeys::KeyPair::new_account().seed().unwrap()).collect();
    let write = |name: &str, content: &str| fs::write(dir.path().join(name), content).unwrap();
    write(&format!("{}.jwt", before.key()), &format!("{}\n", seeds[0]));
    write("mine.jwt", &seeds[1]);
    write(&format!("{}.nk", seeds[2]), "x");
    let server = Launch::primary(&operator).dir(dir.path()).env("NAS_STORE__LOOK_INTERVAL", "500ms").start().await;
    let of_key = |account: &Account| format!("{}.jwt is refused: it has a private key in it", account.key());
    server.logs(&of_key(&before)).await;
    server.logs("mine.jwt is rejected: it has a private key in it").await;
    server.logs("S…(private key, not shown).nk has a private key in its name").await;
    write(&format!("{}.jwt", later.key()), &format!("-----BEGIN USER NKEY SEED-----\n{}\n", seeds[3]));
    write(&format!("{}.jwt", seeds[4]), "x");
    write("other.jwt", &seeds[5]);
    server.logs(&of_key(&later)).await;
    server.logs("S…(private key, not shown).jwt has a private key in its name").await;
    server.logs("other.jwt is rejected: it has a private key in it").await;
    // Some looks later.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let log = server.log();
    for warned in [&*of_key(&before), &of_key(&later), "/mine.jwt", "/other.jwt", "shown).nk", "shown).jwt"] {
        let lines = log.lines().filter(|line| line.contains("[WRN]") && line.contains(warned)).count();
        assert_eq!(lines, 1, "{warned}: {log}");
    }
    for seed in &seeds {
        assert!(!log.contains(&seed[..12]), "{log}");
    }
    until("the file is left", || async { file(dir.path(), &before).exists() }).await;
}
