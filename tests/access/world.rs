//! A server with users and tokens, in a configuration file that can change.

use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Http, Launch, Operator, Reply, Server};

/// The password of each user.
pub(crate) const SECRET: &str = "hush-hush";

/// An operator, and the configuration of a server.
pub(crate) struct World {
    pub(crate) operator: Operator,
    folder: tempfile::TempDir,
}

impl World {
    /// With this section `access`.
    pub(crate) fn new(access: &Value) -> Self {
        let world = Self { operator: Operator::new(), folder: tempfile::tempdir().unwrap() };
        world.configure(access);
        world
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, access: &Value) {
        let settings = json!({ "operator": self.operator.jwt(), "access": access });
        std::fs::write(self.file("nas.json"), settings.to_string()).unwrap();
    }

    pub(crate) fn launch(&self) -> Launch {
        Launch::default().flag("-c", self.file("nas.json"))
    }

    pub(crate) async fn start(&self) -> Server {
        self.launch().start().await
    }

    /// Changes the section, and waits until the server has read it. `times`: how often that was so, and now.
    pub(crate) async fn reload(&self, server: &Server, access: &Value, times: usize) {
        self.configure(access);
        server.signal("HUP");
        server.logs_times("reloaded the settings", times).await;
    }
}

/// A user with the usual password.
pub(crate) fn user(name: &str, scopes: &[&str]) -> Value {
    user_with(name, SECRET, scopes)
}

/// A user with another password.
pub(crate) fn user_with(name: &str, password: &str, scopes: &[&str]) -> Value {
    let hash = bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap().to_string();
    json!({ "name": name, "password": hash, "scopes": scopes })
}

/// A token, which is called as its name.
pub(crate) fn token(name: &str, scopes: &[&str]) -> Value {
    json!({ "name": name, "sha256": HEXLOWER.encode(&Sha256::digest(name)), "scopes": scopes })
}

/// The header of a user.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()))
}

/// The header of a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A request with a credential, if there is one, and a body.
pub(crate) async fn send(http: &Http, method: &str, path: &str, credential: Option<&str>, body: &str) -> Reply {
    let mut request = http.request(method, path).body(body.to_owned());
    if let Some(credential) = credential {
        request = request.header("authorization", credential);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, body: response.text().await.unwrap() }
}

/// A GET with a credential.
pub(crate) async fn get(http: &Http, path: &str, credential: &str) -> Reply {
    http.send("GET", path, &[("authorization", credential)]).await
}
