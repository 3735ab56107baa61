//! A cache has what nats-servers have loaded, although they loaded it from elsewhere and there is no room for all.

use async_nats::ConnectOptions;

use crate::support::{Account, Launch, NatsServer, Operator, Server, within};

#[tokio::test]
async fn an_empty_cache_fetches_what_nats_servers_have_loaded_and_keeps_it() {
    for version in ["2.10.26", "2.15.1"] {
        let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
        let creds = folder.path().join("system.creds");
        std::fs::write(&creds, operator.system().user().creds()).unwrap();
        let mut primary = Server::primary(&operator).await;
        primary.http.post(&operator.system().path(), operator.account(operator.system(), 1000)).await.expect(200);
        let mut accounts: Vec<Account> = Vec::new();
        for _ in 0..200 {
            accounts.push(Account::new());
            let account = accounts.last().unwrap();
            primary.http.post(&account.path(), operator.account(account, 500)).await.expect(200);
        }
        let nats = NatsServer::start(version, &operator, &primary.url).await;
        let loaded = || accounts.iter().step_by(20);
        let mut clients = Vec::new();
        for account in loaded() {
            let options = ConnectOptions::with_credentials(&account.user().creds()).unwrap();
            let connecting = options.connect(format!("nats://{}", nats.address()));
            clients.push(within("a connection", connecting).await.unwrap());
        }

        // Room for about 60.
        let launch = Launch::replica(&operator, &primary.url).env("NAS_REPLICA__CACHE_BYTES", "100KiB");
        let replica = launch.nats(nats.address(), &creds).start().await;
        replica.logs("the cache has 11 of the 11 accounts that nats-servers here have loaded").await;
        replica.logs("the cache has no room for more JWTs").await;
        primary.kill();
        for account in loaded() {
            replica.http.get(&account.path()).await.expect(200);
        }
        let mut served = 0;
        for account in &accounts {
            served += usize::from(replica.http.get(&account.path()).await.status == 200);
        }
        assert!(served < 100, "{served} are here, so this proves nothing");
    }
}
