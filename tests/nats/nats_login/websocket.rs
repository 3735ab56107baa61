//! Addresses with `ws://` and `wss://`.

use super::{connected, preloaded};
use crate::support::{Account, Authority, Launch, Operator, until};

#[tokio::test]
async fn changes_are_announced_over_websockets_with_and_without_tls() {
    let (operator, authority, folder) = (Operator::new(), Authority::new("Tests"), tempfile::tempdir().unwrap());
    let (creds, root) = (folder.path().join("system.creds"), authority.write(&folder.path().join("ca.pem")));
    std::fs::write(&creds, operator.system().user().creds()).unwrap();
    let (cert, key) = (folder.path().join("nats.pem"), folder.path().join("nats.key"));
    authority.server().write(&cert, &key);
    for (scheme, block) in
        [("ws", "no_tls: true".to_owned()), ("wss", format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}"))]
    {
        let nats =
            preloaded(&operator, "").with(&format!("websocket {{ listen: \"127.0.0.1:-1\", {block} }}")).start().await;
        let url = format!("{scheme}://{}", nats.websocket());
        let server = Launch::primary(&operator).nats(&url, &creds).path("NAS_NATS__TLS__ROOT", &root).start().await;
        connected(&server, 1.0).await;
        let account = Account::new();
        server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
        until("the nats-server answers", || async { server.http.metric("announce_replies_total", "").await >= 1.0 })
            .await;
        assert!(!server.log().contains("[WRN]"), "{}", server.log());
    }
}
