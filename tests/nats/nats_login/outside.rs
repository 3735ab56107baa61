//! Users outside the system account, to whom nothing of nats-servers' own is said.

use super::{connected, lines, nats_line, preloaded};
use crate::support::{Account, Launch, NatsServer, Operator, until};

#[tokio::test]
async fn credentials_of_another_account_are_not_green() {
    let (operator, app, folder) = (Operator::new(), Account::named("app"), tempfile::tempdir().unwrap());
    let further = format!("{}: {}", app.key(), operator.account(&app, 100));
    let nats = preloaded(&operator, &further).start().await;
    let creds = folder.path().join("user.creds");
    std::fs::write(&creds, app.user().creds()).unwrap();
    let server = Launch::primary(&operator).nats(nats.address(), &creds).start().await;
    connected(&server, 1.0).await;
    let said = format!("the user of nats.creds is of the account {}", app.key());
    nats_line(&server, "-", &format!("connected, but {said}")).await;
    let effective = async || server.http.metric("nats_effective", "").await;
    assert_eq!(effective().await, 0.0);
    let account = Account::new();
    let path = format!("{}?require=all&wait=1s", account.path());
    let reply = server.http.post(&path, operator.account(&account, 10)).await.expect(504);
    assert!(reply.body.contains("the operator's system account is"), "{}", reply.body);
    let log = server.log();
    assert!(log.contains(&said) && lines(&log, "WRN").len() == 1 && lines(&log, "ERR").is_empty(), "{log}");
    // The right ones, then the wrong ones again.
    std::fs::write(&creds, operator.system().user().creds()).unwrap();
    server.logs("the user of nats.creds is of the system account").await;
    nats_line(&server, "+", "connected").await;
    until("it is effective", || async { effective().await == 1.0 }).await;
    std::fs::write(&creds, app.user().creds()).unwrap();
    server.logs_times(&said, 2).await;
    nats_line(&server, "-", &said).await;
}

#[tokio::test]
async fn a_new_operator_jwt_with_another_system_account_is_noticed() {
    let (operator, other, folder) = (Operator::new(), Account::named("SYS2"), tempfile::tempdir().unwrap());
    let nats = preloaded(&operator, "").start().await;
    let (creds, file) = (folder.path().join("user.creds"), folder.path().join("operator.jwt"));
    std::fs::write(&creds, operator.system().user().creds()).unwrap();
    std::fs::write(&file, operator.jwt()).unwrap();
    let server = Launch::default().flag("-operator", &file).nats(nats.address(), &creds).start().await;
    connected(&server, 1.0).await;
    nats_line(&server, "+", "connected").await;
    std::fs::write(&file, operator.jwt_with_system_account(&other)).unwrap();
    server.signal("HUP");
    server.logs(&format!("but the operator's system account is {}", other.key())).await;
    nats_line(&server, "-", &other.key()).await;
}

#[tokio::test]
async fn a_roll_call_that_nobody_answers_is_not_green() {
    let operator = Operator::new();
    let lines_of = "accounts { A: { users: [{ user: a, password: a }] }, S: { users: [{ user: s, password: s }] } }\nsystem_account: S";
    let nats = NatsServer::start_with(super::NEWEST, lines_of).await;
    let server = |user: &str| {
        Launch::primary(&operator).flag("-nats", format!("nats://{user}:{user}@{}", nats.address())).start()
    };
    let (wrong, right) = (server("a").await, server("s").await);
    let address = format!("nats://a:a@{}", nats.address());
    let replica = Launch::replica(&operator, &right.url).flag("-nats", &address).start().await;
    wrong.logs("no nats-server answers the roll call").await;
    nats_line(&wrong, "-", "connected, but no nats-server answers the roll call").await;
    assert_eq!(wrong.http.metric("nats_effective", "").await, 0.0);
    assert_eq!(lines(&wrong.log(), "WRN").len(), 1, "{}", wrong.log());
    nats_line(&replica, "-", "connected, but no nats-server answers the roll call").await;
    connected(&right, 1.0).await;
    until("it is heard", || async { right.http.metric("nats_servers", "").await == 1.0 }).await;
    nats_line(&right, "+", "connected").await;
    assert!(lines(&right.log(), "WRN").is_empty(), "{}", right.log());
}

#[tokio::test]
async fn a_replica_compares_the_account_as_well() {
    let (operator, app, folder) = (Operator::new(), Account::named("app"), tempfile::tempdir().unwrap());
    let further = format!("{}: {}", app.key(), operator.account(&app, 100));
    let nats = preloaded(&operator, &further).start().await;
    let creds = folder.path().join("user.creds");
    std::fs::write(&creds, app.user().creds()).unwrap();
    let primary = super::Server::primary(&operator).await;
    let replica = Launch::replica(&operator, &primary.url).nats(nats.address(), &creds).start().await;
    nats_line(&replica, "-", "the operator's system account is").await;
}
