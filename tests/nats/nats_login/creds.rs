//! The credentials file is read at each attempt to connect.

use super::{connected, lines, nats, nats_line};
use crate::support::mint::User;
use crate::support::{Launch, NatsServer, Operator, Server, now, until};

struct World {
    operator: Operator,
    nats: NatsServer,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let operator = Operator::new();
        Self { nats: nats(&operator).await, operator, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("system.creds")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    fn launch(&self) -> Launch {
        Launch::primary(&self.operator).nats(self.nats.address(), &self.file())
    }

    fn user(&self) -> User {
        self.operator.system().user()
    }
}

async fn expiry(server: &Server) -> f64 {
    server.http.metric("nats_user_expiry_timestamp_seconds", "").await
}

#[tokio::test]
async fn a_renewed_file_is_used_when_the_user_expires_and_before() {
    let world = World::new().await;
    // Not renewed in time: the nats-server ends the connections.
    let exp = now() + 4;
    world.write(&world.operator.system().user_until(now() - 60, exp).creds());
    let server = world.launch().start().await;
    connected(&server, 1.0).await;
    assert_eq!(expiry(&server).await, exp as f64);
    connected(&server, 0.0).await;
    nats_line(&server, "-", "the user's JWT in nats.creds expired").await;
    let log = server.log();
    assert!(lines(&log, "WRN").len() == 1 && lines(&log, "ERR").is_empty(), "{log}");
    // Renewed then, and again before its end.
    world.write(&world.operator.system().user_until(now() - 60, now() + 5).creds());
    connected(&server, 1.0).await;
    server.logs("nats reconnected").await;
    world.write(&world.user().creds());
    server.logs("the NATS credentials have changed").await;
    server.logs_times("nats reconnected", 2).await;
    connected(&server, 1.0).await;
    until("the metric is gone", || async { !server.http.get("/metrics").await.body.contains("nats_user_expiry") })
        .await;
    assert_eq!(lines(&server.log(), "WRN").len(), 1, "{}", server.log());
}

#[tokio::test]
async fn a_file_that_cannot_be_used_ends_nothing_and_is_reported_once() {
    let world = World::new().await;
    let (good, other) = (world.user(), world.user());
    let seed = |user: &User| user.creds().lines().nth(5).unwrap().to_owned();
    let server = world.launch().start().await;
    let reported =
        |text: &str| format!("cannot use the NATS credentials (nats.creds) {}: {text}", world.file().display());
    server.logs(&reported("No such file")).await;
    nats_line(&server, "-", "not connected; trying again: the file of nats.creds cannot be used").await;
    for (content, said) in [
        (String::new(), "it is empty"),
        (seed(&good), "it has a seed but no user JWT"),
        (good.jwt.clone(), "it has a user JWT but no seed"),
        (format!("{}\n{}", good.jwt, seed(&other)), "its seed does not belong"),
        ("x".repeat(2 << 20), "it has more than 1048576 bytes"),
    ] {
        world.write(&content);
        server.logs(&reported(said)).await;
    }
    world.write(&good.creds());
    server.logs("can be used again").await;
    connected(&server, 1.0).await;
    // What is broken later does not break the connection.
    world.write("");
    server.logs_times(&reported("it is empty"), 2).await;
    connected(&server, 1.0).await;
    let log = server.log();
    assert!(lines(&log, "WRN").len() == 7 && lines(&log, "ERR").is_empty(), "{log}");
    assert!(!log.contains(&seed(&good)) && !log.contains(&seed(&other)), "{log}");
}

#[tokio::test]
async fn a_hang_up_reads_the_file_at_once_and_takes_another_one() {
    let world = World::new().await;
    world.write(&world.user().creds());
    let config = world.folder.path().join("nas.conf");
    let configure = |creds: &str| {
        let text = format!("nats {{ servers: [{:?}], creds: {creds:?} }}", world.nats.address());
        std::fs::write(&config, text).unwrap();
    };
    configure(world.file().to_str().unwrap());
    let server = Launch::primary(&world.operator).flag("-c", &config).start().await;
    connected(&server, 1.0).await;
    let second = world.folder.path().join("second.creds");
    let user = world.user();
    std::fs::write(&second, user.creds()).unwrap();
    configure(second.to_str().unwrap());
    server.signal("HUP");
    server.logs("the NATS credentials have changed").await;
    server.logs(&user.key()).await;
    server.logs("nats reconnected").await;
    std::fs::write(&second, "").unwrap();
    server.signal("HUP");
    until("the failure is counted", || async {
        server.http.metric("reloads_total", "what=\"nats.creds\",result=\"failed\"").await
            + server.http.metric("reloads_total", "result=\"failed\",what=\"nats.creds\"").await
            >= 1.0
    })
    .await;
    connected(&server, 1.0).await;
}

#[tokio::test]
async fn a_user_that_expires_soon_is_reported_before() {
    let world = World::new().await;
    world.write(&world.operator.system().user_until(now() - 9500, now() + 500).creds());
    let server = world.launch().start().await;
    server.logs("expires on").await;
    connected(&server, 1.0).await;
    world.write(&world.operator.system().user_until(now(), now() + 10_000).creds());
    server.logs("nats reconnected").await;
    assert_eq!(lines(&server.log(), "WRN").len(), 1, "{}", server.log());
}
