//! How the real program logs in to real nats-servers: credentials that are renewed, broken or of the wrong account, failures
//! that are reported once with what to do, and WebSocket addresses.
mod creds;
mod failures;
mod outside;
mod websocket;

use crate::support::{NatsLaunch, NatsServer, Operator, Server, until};

/// The release to use where releases do not differ.
const NEWEST: &str = "2.15.1";

/// A nats-server that knows the system account.
async fn nats(operator: &Operator) -> NatsServer {
    preloaded(operator, "").start().await
}

/// A nats-server to be started that knows the system account and the accounts in `further`.
fn preloaded(operator: &Operator, further: &str) -> NatsLaunch {
    let system = operator.system();
    let jwt = operator.account(system, 90_000);
    NatsLaunch::new(NEWEST, operator)
        .with(&format!("resolver: MEMORY\nresolver_preload {{ {}: {jwt}\n{further} }}", system.key()))
}

/// Waits until a server says whether it is connected to NATS.
async fn connected(server: &Server, value: f64) {
    until(&format!("connected is {value}"), || async { server.http.metric("nats_connected", "").await == value }).await;
}

/// Waits until the line `nats` of the readiness report has this mark and this text. The server stays ready.
async fn nats_line(server: &Server, mark: &str, text: &str) {
    let found = || async {
        let reply = server.http.get("/readyz?verbose").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body.lines().any(|line| line.starts_with(&format!("[{mark}] nats: ")) && line.contains(text))
    };
    until(&format!("the line of nats is [{mark}] … {text}"), found).await;
}

/// The lines of a level in a log.
fn lines(log: &str, level: &str) -> Vec<String> {
    log.lines().filter(|line| line.contains(&format!("[{level}]"))).map(str::to_owned).collect()
}
