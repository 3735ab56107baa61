//! Accounts in every state, from every source: what becomes of them.

use std::fs;
use std::path::Path;

use super::sources::Kind;
use super::{Ran, copy, on, run, stop, tree};
use crate::support::{Account, Operator, Server, now};

/// An account, what is held of it, and what a source has.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) account: Account,
    held: Option<String>,
    pub(crate) offered: String,
    /// What is served in the end.
    served: Option<String>,
}

/// The primary's folder as it is before an import, and what sources have.
pub(crate) struct World {
    pub(crate) operator: Operator,
    pub(crate) cases: Vec<Case>,
    /// Deleted at the source, whose file says so; live here, and as old.
    pub(crate) buried: (Account, String),
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let (operator, stranger) = (Operator::new(), Operator::new());
        let mut cases = Vec::new();
        let mut add = |what, held: Option<i64>, offered: &dyn Fn(&Account) -> String, wins: bool| {
            let account = Account::named(what);
            let held = held.map(|age| operator.account(&account, age));
            let offered = offered(&account);
            let served = if wins { Some(offered.clone()) } else { held.clone() };
            cases.push(Case { what, account, held, offered, served });
        };
        let aged = |age| move |account: &Account, operator: &Operator| operator.account(account, age);
        add("new", None, &|account| aged(100)(account, &operator), true);
        add("newer there", Some(200), &|account| aged(100)(account, &operator), true);
        add("older there", Some(100), &|account| aged(200)(account, &operator), false);
        add("deleted here", None, &|account| aged(200)(account, &operator), false);
        add("foreign", None, &|account| aged(100)(account, &stranger), false);
        let expired = |account: &Account| {
            let mut claims = account.claims(now() - 200);
            claims["exp"] = (now() - 100).into();
            operator.sign(&claims)
        };
        add("expired", None, &expired, true);
        add("ahead", None, &|account| operator.sign(&account.claims(now() + 7200)), true);
        let tied = Account::named("same second");
        let held = operator.sign(&tied.claims(now() - 300));
        let iat = nats_account_server::jwt::AccountJwt::decode(&held).unwrap().claims.iat;
        let offered = operator.sign(&tied.with_connections(iat, 5));
        cases.push(Case { what: "same second", account: tied, served: Some(held.clone()), held: Some(held), offered });
        let same = Account::named("same");
        let jwt = operator.account(&same, 150);
        let [held, served] = [Some(jwt.clone()), Some(jwt.clone())];
        cases.push(Case { what: "same", account: same, held, served, offered: jwt });
        let buried = Account::named("buried");
        let buried = (buried.key(), operator.account(&buried, 90), buried);
        let dir = tempfile::tempdir().unwrap();
        let world = Self { operator, cases, buried: (buried.2, buried.1), dir };
        let server = Server::primary_in(&world.operator, world.dir.path()).await;
        for case in &world.cases {
            if let Some(held) = &case.held {
                server.http.post(&case.account.path(), held.clone()).await.expect(200);
            }
        }
        server.http.post(&world.buried.0.path(), world.buried.1.clone()).await.expect(200);
        let deleted = &world.case("deleted here").account;
        server.http.post(&deleted.path(), world.operator.account(deleted, 300)).await.expect(200);
        server.http.delete(&deleted.path(), world.operator.delete_request(&[deleted], 50)).await.expect(200);
        stop(server).await;
        world
    }

    pub(crate) fn case(&self, what: &str) -> &Case {
        self.cases.iter().find(|case| case.what == what).unwrap()
    }

    /// Checks the summary of an import from a source that holds some of the cases.
    fn check(&self, ran: &Ran, kind: Kind) {
        let has = |what: &str| u64::from(kind.holds(what));
        for (text, wanted) in [
            ("imported", has("new") + has("newer there") + has("expired") + has("ahead") + kind.beside()),
            ("of these have expired", has("expired")),
            ("of these are dated", has("ahead")),
            ("stored already", has("same")),
            ("older than", has("older there") + has("same second")),
            ("deleted here", has("deleted here")),
            ("deleted there, but present here", u64::from(kind.has_graves())),
            ("rejected", has("foreign")),
        ] {
            assert_eq!(ran.count(text), wanted, "{text} from {kind:?}:\n{}{}", ran.stdout, ran.stderr);
        }
        if kind.holds("foreign") {
            let key = self.case("foreign").account.key();
            assert!(
                ran.stdout.contains(&key) && ran.stdout.contains("not a key of the configured operator"),
                "{}",
                ran.stdout
            );
        }
        assert_eq!(ran.status, i32::from(kind.holds("foreign")), "{kind:?}: {}{}", ran.stdout, ran.stderr);
    }
}

async fn imports_from(world: &World, kind: Kind) {
    let (dir, operator) = (tempfile::tempdir().unwrap(), world.operator.jwt());
    copy(world.dir.path(), dir.path());
    let source = kind.make(world).await;
    let args = source.args();
    let command = |rest: &[&'static str]| {
        let args = ["import"].into_iter().chain(rest.iter().copied()).chain(args.iter().map(String::as_str));
        on(dir.path(), &operator, &args.collect::<Vec<_>>()).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = tree(dir.path());
    let ran = run(command(&["--dry-run"])).await;
    world.check(&ran, kind);
    assert_eq!(tree(dir.path()), before, "a dry run changes nothing");
    let ran = run(command(&[])).await;
    world.check(&ran, kind);
    // Its folder has followed.
    if kind.holds("new") {
        let case = world.case("new");
        assert_eq!(fs::read_to_string(super::file(dir.path(), &case.account)).unwrap(), case.offered);
    }
    let again = run(command(&[])).await;
    assert_eq!(again.count("imported"), 0, "{}", again.stdout);
    let server = Server::primary_in(&world.operator, dir.path()).await;
    for case in &world.cases {
        let wanted = if kind.holds(case.what) { &case.served } else { &case.held };
        let reply = server.http.get(&case.account.path()).await;
        match wanted {
            Some(wanted) => assert_eq!(reply.expect(200).body, *wanted, "{} from {kind:?}", case.what),
            None => assert_eq!(reply.status, 404, "{} from {kind:?}", case.what),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_comes_in_from_every_source_and_nothing_else() {
    let world = World::new().await;
    for kind in Kind::ALL {
        imports_from(&world, kind).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_runs_is_sent_everything() {
    let (world, dir) = (World::new().await, tempfile::tempdir().unwrap());
    copy(world.dir.path(), dir.path());
    let server = Server::primary_in(&world.operator, dir.path()).await;
    let source = Kind::Flat.make(&world).await;
    let serial = async || server.http.metric("serial", "").await;
    for (dry, status) in [(true, 1), (false, 1)] {
        let before = serial().await;
        let source = source.args();
        let args = ["import", "--to", &server.url, &source[0]];
        let ran = run(args.into_iter().chain(dry.then_some("--dry-run"))).await.expect(status);
        assert_eq!(ran.count("stored already"), 1, "{}", ran.stdout);
        assert_eq!(ran.count("older than"), 2, "{}", ran.stdout);
        if dry {
            assert_eq!(serial().await, before);
        } else {
            // A push is refused if it has expired or is dated in the future.
            assert_eq!(
                (ran.count("imported"), ran.count("rejected"), ran.count("deleted here")),
                (2, 3, 1),
                "{}",
                ran.stdout
            );
            assert!(ran.stdout.contains("it has expired"), "{}", ran.stdout);
        }
    }
    for what in ["new", "newer there"] {
        let case = world.case(what);
        assert_eq!(server.http.get(&case.account.path()).await.expect(200).body, case.offered);
    }
    // Its folder is in use, so nobody else opens it.
    let operator = world.operator.jwt();
    let ran = run(on(dir.path(), &operator, &["import", &source.args()[0]])).await.expect(1);
    assert!(ran.stderr.contains("in use by process"), "{}", ran.stderr);
}

#[tokio::test]
async fn activations_come_behind_the_accounts_that_vouch_for_them() {
    let (operator, dir, old) = (Operator::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [exporter, importer] = [Account::new(), Account::new()];
    fs::write(super::file(old.path(), &exporter), operator.account(&exporter, 10)).unwrap();
    let hash = nats_account_server::jwt::activation_hash_id(&exporter.key(), &importer.key(), "orders").unwrap();
    let activation = exporter.activation(&importer, "orders", 5);
    fs::write(old.path().join(format!("{hash}.jwt")), &activation).unwrap();
    fs::write(old.path().join("operator.jwt"), operator.jwt()).unwrap();
    let jwt = operator.jwt();
    let ran = run(on(dir.path(), &jwt, &["import", old.path().to_str().unwrap()])).await.expect(0);
    assert_eq!((ran.count("imported"), ran.count("files of other names")), (2, 1), "{}", ran.stdout);
    let server = Server::primary_in(&operator, dir.path()).await;
    assert_eq!(server.http.get(&format!("/jwt/v1/activations/{hash}")).await.expect(200).body, activation);
}

#[tokio::test]
async fn what_nsc_writes_is_imported_and_a_private_key_is_not_shown() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let [placed, single, other] = ["placed", "single", "other"].map(Account::named);
    let decorated =
        |jwt: &str| format!("# nsc\n-----BEGIN NATS ACCOUNT JWT-----\n{jwt}\n------END NATS ACCOUNT JWT------\n");
    let (target, source) = (dir.path().join("target"), dir.path().join("source"));
    fs::create_dir(&source).unwrap();
    let jwts = [&placed, &single].map(|account| operator.account(account, 100));
    fs::write(source.join(format!("{}.jwt", placed.key())), decorated(&jwts[0])).unwrap();
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    fs::write(source.join(format!("{}.jwt", other.key())), &seed).unwrap();
    let file = dir.path().join("single.jwt");
    fs::write(&file, decorated(&jwts[1])).unwrap();
    let jwt = operator.jwt();
    let ran = run(on(&target, &jwt, &["import", source.to_str().unwrap()])).await.expect(1);
    assert_eq!((ran.count("imported"), ran.count("rejected")), (1, 1), "{}", ran.stdout);
    assert!(ran.stdout.contains("treat that key as disclosed"), "{}", ran.stdout);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(&seed[..12]), "{ran:?}");
    let ran = run(on(&target, &jwt, &["import", file.to_str().unwrap()])).await.expect(0);
    assert_eq!(ran.count("imported"), 1, "{}", ran.stdout);
    for (account, jwt) in [&placed, &single].into_iter().zip(&jwts) {
        assert_eq!(&fs::read_to_string(target.join(format!("{}.jwt", account.key()))).unwrap(), jwt);
    }
}

#[tokio::test]
async fn what_cannot_be_imported_from_or_to_is_said() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let jwt = operator.jwt();
    let here = dir.path().to_str().unwrap();
    let nowhere: &Path = Path::new("/no/such/place");
    for (args, wanted) in [
        (on(dir.path(), &jwt, &["import", "/no/such/place"]), "neither a folder nor a file"),
        (on(dir.path(), &jwt, &["import", here]), "the primary's own folder"),
        (vec!["-operator", &jwt, "import", here], "no journal on disk"),
        (vec!["-primary", "http://localhost:1", "import", here], "settings of a replica"),
        (vec!["-ro", "-dir", here, "import", "/tmp"], "no journal on disk"),
        (on(dir.path(), &jwt, &["import", "http://127.0.0.1:1"]), "the request failed"),
        (on(dir.path(), &jwt, &["import", "--to", "http://127.0.0.1:1", "http://127.0.0.1:1"]), "the request failed"),
    ] {
        let ran = run(&args).await.expect(1);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(wanted), "{args:?}: {ran:?}");
    }
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn another_level_of_a_store_of_nsc_is_refused_and_the_right_one_named() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let (stores, target) = (dir.path().join("stores"), dir.path().join("target"));
    let account = stores.join("O/accounts/A");
    fs::create_dir_all(&account).unwrap();
    fs::write(account.join("A.jwt"), operator.account(&Account::new(), 100)).unwrap();
    fs::write(stores.join("O/.nsc"), r#"{"managed": false, "name": "O", "kind": "operator"}"#).unwrap();
    let (jwt, right) = (operator.jwt(), stores.join("O"));
    for level in [&stores, &right.join("accounts"), &account] {
        let ran = run(on(&target, &jwt, &["import", level.to_str().unwrap()])).await.expect(1);
        let named = format!("which holds .nsc: {}\n", right.canonicalize().unwrap().display());
        assert!(ran.stderr.contains(&named), "{}", ran.stderr);
        assert!(!target.exists(), "nothing is made");
    }
    let ran = run(on(&target, &jwt, &["import", right.to_str().unwrap()])).await.expect(0);
    assert_eq!(ran.count("imported"), 1, "{}", ran.stdout);
}
