//! What is written for other programs, and what they make of it.

use std::fs;
use std::path::Path;

use super::{file, on, run, stop, tree};
use crate::support::{Account, NatsLaunch, Operator, Server, within};

/// A primary with some accounts, one of them deleted.
struct World {
    operator: Operator,
    accounts: Vec<(Account, String)>,
    deleted: Account,
    dir: tempfile::TempDir,
    server: Server,
}

impl World {
    async fn new() -> Self {
        let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
        let server = Server::primary_in(&operator, dir.path()).await;
        let mut accounts = Vec::new();
        for name in ["first", "second", "an account", "last"] {
            let account = Account::named(name);
            let jwt = operator.account(&account, 100);
            server.http.post(&account.path(), jwt.clone()).await.expect(200);
            accounts.push((account, jwt));
        }
        let deleted = Account::named("deleted");
        server.http.post(&deleted.path(), operator.account(&deleted, 100)).await.expect(200);
        server.http.delete(&deleted.path(), operator.delete_request(&[&deleted], 50)).await.expect(200);
        Self { operator, accounts, deleted, dir, server }
    }

    /// What an export to a target is called with, from the journal or from the server.
    fn args(&self, over_http: bool, rest: &[&str]) -> Vec<String> {
        let operator = self.operator.jwt();
        let place = if over_http { vec![] } else { vec!["-dir", self.dir.path().to_str().unwrap()] };
        let from = if over_http { vec!["--from", &self.server.url] } else { vec![] };
        let all = [&["-operator", &operator], &place[..], &["export"], &from[..], rest].concat();
        all.into_iter().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_get_what_is_newer_and_keep_what_is() {
    let world = World::new().await;
    for (over_http, layout) in [(false, "flat"), (false, "sharded"), (true, "flat")] {
        let target = tempfile::tempdir().unwrap();
        let place = |account: &Account| match layout {
            "flat" => file(target.path(), account),
            _ => {
                let folder = target.path().join(&account.key()[54..]);
                fs::create_dir_all(&folder).unwrap();
                folder.join(format!("{}.jwt", account.key()))
            }
        };
        let [older, newer, torn] = [0, 1, 2].map(|at| &world.accounts[at].0);
        let old = world.operator.account(older, 200);
        let new = world.operator.account(newer, 10);
        fs::write(place(older), old).unwrap();
        fs::write(place(newer), &new).unwrap();
        fs::write(place(torn), "torn").unwrap();
        fs::write(place(&world.deleted), world.operator.account(&world.deleted, 100)).unwrap();
        let buried = u64::from(!over_http);
        let before = tree(target.path());
        for dry in [true, false] {
            let flags = ["--shard", "--dry-run", target.path().to_str().unwrap()];
            let rest: Vec<&str> = flags
                .into_iter()
                .filter(|flag| (*flag != "--shard" || layout == "sharded") && (*flag != "--dry-run" || dry))
                .collect();
            let ran = run(world.args(over_http, &rest)).await.expect(1);
            let counts = ["written", "written over", "left as they are", "marked as deleted", "not written"];
            assert_eq!(counts.map(|what| ran.count(what)), [1, 1, 1, buried, 1], "{}", ran.stdout);
            if dry {
                assert_eq!(tree(target.path()), before, "a dry run changes nothing");
            }
        }
        for (account, jwt) in [&world.accounts[0], &world.accounts[3]] {
            assert_eq!(fs::read_to_string(place(account)).unwrap(), *jwt);
        }
        assert_eq!(fs::read_to_string(place(newer)).unwrap(), new);
        assert_eq!(fs::read_to_string(place(torn)).unwrap(), "torn");
        assert_eq!(place(&world.deleted).exists(), over_http);
        assert!(!target.path().join(".nats-account-server").exists(), "nothing of ours is left");
    }
    // The folder of a server that runs is not written by others.
    let ran = run(world.args(true, &[world.dir.path().to_str().unwrap()])).await.expect(1);
    assert!(ran.stderr.contains("in use by process"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_resolver_serves_an_exported_folder() {
    let (world, target) = (World::new().await, tempfile::tempdir().unwrap());
    run(world.args(false, &[target.path().to_str().unwrap()])).await.expect(0);
    let system = world.operator.system();
    let lines = format!(
        "resolver: {{ type: full, dir: {:?} }}\nresolver_preload: {{ {}: {} }}",
        target.path(),
        system.key(),
        world.operator.account(system, 90_000)
    );
    let server = NatsLaunch::new("2.12.8", &world.operator).with(&lines).start().await;
    let options = async_nats::ConnectOptions::with_credentials(&system.user().creds()).unwrap();
    let client = within("a connection", options.connect(format!("nats://{}", server.address()))).await.unwrap();
    for (account, jwt) in &world.accounts {
        let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP", account.key());
        let reply = within("an answer", client.request(subject, "".into())).await.unwrap();
        assert_eq!(String::from_utf8(reply.payload.to_vec()).unwrap(), *jwt);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_nsc_is_made_and_brought_up_to_date() {
    let (world, target) = (World::new().await, tempfile::tempdir().unwrap());
    let store = target.path().join("O");
    let name = store.to_str().unwrap();
    let jwt = |name: &str| store.join(format!("accounts/{name}/{name}.jwt"));
    let ran = run(world.args(false, &["--format", "nsc", name])).await.expect(0);
    assert_eq!(ran.count("written"), 4, "{}", ran.stdout);
    assert_eq!(fs::read_to_string(jwt("an account")).unwrap(), world.accounts[2].1);
    assert_eq!(fs::read_to_string(store.join("Tests.jwt")).unwrap(), world.operator.jwt());
    // It is one that can be served, and so read.
    let again = run(world.args(true, &[name])).await.expect(0);
    assert_eq!(again.count("there already"), 4, "{}", again.stdout);
    // Another account of a name that is taken, and one whose name would lead elsewhere.
    for name in ["first", "../outside"] {
        let account = Account::named(name);
        world.server.http.post(&account.path(), world.operator.account(&account, 10)).await.expect(200);
    }
    let ran = run(world.args(false, &[name])).await.expect(1);
    assert_eq!(ran.count("not written"), 2, "{}", ran.stdout);
    assert_eq!(fs::read_to_string(jwt("first")).unwrap(), world.accounts[0].1);
    assert!(!store.join("outside").exists() && !store.join("accounts/../outside").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_is_that_of_the_server() {
    let (world, target) = (World::new().await, tempfile::tempdir().unwrap());
    let pack = world.server.http.get("/jwt/v1/pack").await.expect(200).body;
    for over_http in [false, true] {
        assert_eq!(run(world.args(over_http, &["-"])).await.expect(0).stdout, pack);
    }
    let path = target.path().join("pack");
    let to_file = world.args(false, &["--format", "pack", path.to_str().unwrap()]);
    run(&to_file).await.expect(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), pack);
    let ran = run(&to_file).await.expect(1);
    assert!(ran.stderr.contains("--overwrite"), "{}", ran.stderr);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
    // A stopped server is exported from likewise, and what comes out goes in again.
    let World { operator, dir, server, .. } = world;
    stop(server).await;
    let (jwt, other) = (operator.jwt(), tempfile::tempdir().unwrap());
    assert_eq!(run(on(dir.path(), &jwt, &["export", "-"])).await.expect(0).stdout, pack);
    let ran = run(on(other.path(), &jwt, &["import", path.to_str().unwrap()])).await.expect(0);
    assert_eq!(ran.count("imported"), 4, "{}", ran.stdout);
    let nowhere = run(on(Path::new("/no/such/place"), &jwt, &["export", "-"])).await.expect(1);
    assert!(nowhere.stderr.contains("there is no journal at"), "{}", nowhere.stderr);
}
