//! Where the server listens, and what is served there.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::support::command::run;
use crate::support::ports::{free_address, free_port};
use crate::support::{Account, Http, Launch, Operator};

/// A primary whose settings say where it listens.
fn settings(operator: &Operator, folder: &Path, lines: &str) -> PathBuf {
    let conf = folder.join("x.conf");
    std::fs::write(&conf, format!("operator: {:?}\n{lines}\n", operator.jwt())).unwrap();
    conf
}

async fn status(http: &Http, path: &str) -> u16 {
    http.get(path).await.status
}

#[tokio::test]
async fn every_address_of_the_settings_is_served() {
    let (operator, folder, account) = (Operator::new(), tempfile::tempdir().unwrap(), Account::new());
    let (first, second) = (free_address(), format!("[::1]:{}", free_port()));
    let conf = settings(&operator, folder.path(), &format!("http {{ listen: [\"{first}\", \"{second}\"] }}"));
    let server = Launch::default().flag("-c", &conf).at_its_settings().start().await;
    assert_eq!(server.host(), first);
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    Http::new(&format!("http://{second}")).get(&account.path()).await.expect(200);
    drop(server);

    // The flag wins, and says so.
    let server = Launch::default().flag("-c", &conf).start().await;
    assert_ne!(server.host(), first);
    assert!(server.log().contains("x.conf:2: http.listen has no effect, because http.host is set"), "{}", server.log());
}

#[tokio::test]
async fn what_is_for_operators_is_on_their_listener_alone() {
    let (operator, folder, account) = (Operator::new(), tempfile::tempdir().unwrap(), Account::new());
    let address = free_address();
    let conf = settings(&operator, folder.path(), &format!("admin {{ listen: \"{address}\" }}"));
    let server = Launch::default().flag("-c", &conf).start().await;
    let admin = Http::new(&format!("http://{address}"));
    server.http.post(&account.path(), operator.account(&account, 10)).await.expect(200);
    let api_account = account.path().replace("/jwt/v1", "/api/v1");
    for path in ["/metrics", "/api/v1/status", "/api/v1/openapi.json", "/readyz?verbose", &api_account] {
        assert_eq!((status(&server.http, path).await, status(&admin, path).await), (404, 200), "{path}");
    }
    // Also if it is spelt in another way.
    for path in ["/%6detrics", "/api/v1/%73tatus", "/readyz?verbose=1", "/%72eadyz?verbose"] {
        assert_eq!(status(&server.http, path).await, 404, "{path}");
    }
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!((status(&server.http, path).await, status(&admin, path).await), (200, 200), "{path}");
    }
    for path in [&*account.path(), "/jwt/v1/pack", "/jwt/v1/operator", "/jwt/v1/changes", "/jwt/v1/help"] {
        assert_eq!((status(&server.http, path).await, status(&admin, path).await), (200, 404), "{path}");
    }
    admin.post(&account.path(), operator.account(&account, 10)).await.expect(404);
    // Commands on this machine find it.
    let told = run(["-c", conf.to_str().unwrap(), "-hp", server.host(), "status"]).await;
    assert_eq!(told.status, 0, "{told:?}");
}

#[tokio::test]
async fn the_listener_for_operators_can_be_a_unix_socket() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("admin.sock");
    let conf = settings(&operator, folder.path(), &format!("admin {{ listen: \"unix:{}\" }}", socket.display()));
    let mut server = Launch::default().flag("-c", &conf).start().await;
    assert_eq!(status(&server.http, "/metrics").await, 404);
    let told = run(["-c", conf.to_str().unwrap(), "status"]).await;
    assert_eq!(told.status, 0, "{told:?}");
    // What a process leaves behind when it is killed is no obstacle.
    server.kill();
    assert!(socket.exists());
    let mut server = Launch::default().flag("-c", &conf).start().await;
    server.signal("TERM");
    server.exit().await;
    assert!(!socket.exists(), "it is removed");
}

#[tokio::test]
async fn sockets_that_are_open_before_the_start_are_used() {
    let operator = Operator::new();
    let (main, admin) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let [main_address, admin_address] = [&main, &admin].map(|socket| socket.local_addr().unwrap().to_string());
    // A request may come before the server is there: it waits.
    let early = tokio::spawn(async move { Http::new(&format!("http://{main_address}")).get("/readyz").await.status });
    let server = Launch::primary(&operator).socket("http", main).socket("admin", admin).start().await;
    assert_eq!(early.await.unwrap(), 200);
    let admin = Http::new(&format!("http://{admin_address}"));
    assert_eq!((status(&server.http, "/metrics").await, status(&admin, "/metrics").await), (404, 200));
}

#[tokio::test]
async fn a_unix_socket_of_systemd_stays_when_the_server_stops() {
    let (operator, folder) = (Operator::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("admin.sock");
    let (main, admin) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    let conf = settings(&operator, folder.path(), &format!("admin {{ listen: \"unix:{}\" }}", path.display()));
    let mut server = Launch::default().flag("-c", &conf).socket("http", main).socket("admin", admin).start().await;
    assert_eq!(run(["-c", conf.to_str().unwrap(), "status"]).await.status, 0);
    server.signal("TERM");
    server.exit().await;
    assert!(path.exists(), "it is not this server's");
}
