//! The operator's JWT over its life: strict operators, thieves, files of all kinds, other servers of this program, and the page
//! of the runbook for a stolen key.
mod by_hand;
mod files;
mod life;
mod pushes;
mod runbook;
mod travel;

use std::path::{Path, PathBuf};

use crate::support::{Account, Launch, Operator, Server, now, until};
use nats_account_server::testkit::sign;
use nkeys::KeyPair;
use tempfile::TempDir;

/// A strict operator with keys of its own, and a folder for servers.
struct World {
    operator: Operator,
    keys: Vec<KeyPair>,
    dir: TempDir,
}

impl World {
    /// The operator's file lists the first key, and is 5000 seconds old.
    fn new() -> Self {
        let keys = std::iter::repeat_with(KeyPair::new_operator).take(4).collect();
        let world = Self { operator: Operator::strict(), keys, dir: tempfile::tempdir().unwrap() };
        world.configure(world.by_identity(&[0], 5_000));
        world
    }

    /// The operator's JWT with these signing keys, so many seconds old.
    fn by_identity(&self, listed: &[usize], age: i64) -> String {
        self.operator.sign_by_identity_key(&self.claims(listed, age))
    }

    /// The same, signed by one of the keys.
    fn by_key(&self, signer: usize, listed: &[usize], age: i64) -> String {
        sign(&self.claims(listed, age), &self.keys[signer])
    }

    fn claims(&self, listed: &[usize], age: i64) -> serde_json::Value {
        let listed: Vec<_> = listed.iter().map(|key| &self.keys[*key]).collect();
        self.operator.claims(&listed, now() - age)
    }

    fn key(&self, key: usize) -> String {
        self.keys[key].public_key()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("operator.jwt")
    }

    fn configure(&self, jwt: impl AsRef<[u8]>) {
        std::fs::write(self.file(), jwt).unwrap();
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn launch(&self, folder: &str) -> Launch {
        Launch::default().flag("-operator", self.file()).dir(&self.folder(folder))
    }

    async fn primary(&self) -> Server {
        self.launch("primary").start().await
    }

    /// An account's JWT, signed by one of the keys.
    fn account(&self, account: &Account, signer: usize, age: i64) -> String {
        sign(&account.claims(now() - age), &self.keys[signer])
    }

    async fn put(&self, primary: &Server, signer: usize) -> Account {
        let account = Account::new();
        primary.http.post(&account.path(), self.account(&account, signer, 10)).await.expect(200);
        account
    }
}

/// Loads the configured operator JWT again, and waits until that is done.
async fn reload(server: &Server) {
    let done = || server.http.metric("reloads_total", "what=\"operator\"");
    let before = done().await;
    server.signal("HUP");
    until("the operator JWT is loaded again", || async { done().await > before }).await;
}

async fn in_force(server: &Server, jwt: &str) {
    until("the operator JWT is in force", || async { server.http.get("/jwt/v1/operator").await.body == jwt }).await;
}

async fn answers(server: &Server, account: &Account, status: u16) {
    until("the account is answered", || async { server.http.get(&account.path()).await.status == status }).await;
}

/// What the readiness report says.
async fn report(server: &Server) -> String {
    server.http.get("/readyz?verbose").await.body
}

/// The arguments of a command on a folder.
fn on<'a>(dir: &'a Path, args: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["-dir", dir.to_str().unwrap()];
    all.extend(args);
    all
}
