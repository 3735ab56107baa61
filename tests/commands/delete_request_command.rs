//! The command `delete-request`, as people call it, and what a primary makes of the request.
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Account, NatsLaunch, Operator, Server, now, within};
use nats_account_server::jwt::GenericJwt;
use nkeys::KeyPair;

/// What came of running the command.
struct Ran {
    status: i32,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str], stdin: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nats-account-server"));
    command.arg("delete-request").args(args).env("NO_COLOR", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended before it read anything.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A file that only its owner can read.
fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test]
async fn a_primary_takes_the_request() {
    let folder = tempfile::tempdir().unwrap();
    for operator in [Operator::new(), Operator::strict()] {
        let primary = Server::primary(&operator).await;
        let accounts = [Account::new(), Account::new(), Account::new()];
        for account in &accounts {
            primary.http.post(&account.path(), operator.account(account, 10)).await.expect(200);
        }
        let seed = file(folder.path(), &operator.key(), &operator.seed());
        let keys: Vec<String> = accounts.iter().map(Account::key).collect();
        let ran = run(&["--seed-file", seed.to_str().unwrap(), &keys[1], &keys[0], &keys[1]], "");
        assert_eq!((ran.status, &*ran.stderr), (0, ""));
        let reply = primary.http.delete(&accounts[0].path(), ran.stdout).await.expect(200);
        assert!(reply.body.starts_with("deleted 2 accounts\n"), "{}", reply.body);
        for (account, status) in accounts.iter().zip([404, 404, 200]) {
            primary.http.get(&account.path()).await.expect(status);
        }
    }
}

#[tokio::test]
async fn a_full_resolver_takes_the_request_over_nats() {
    let (folder, operator, account) = (tempfile::tempdir().unwrap(), Operator::new(), Account::new());
    let system = operator.account(operator.system(), 100);
    let nats = NatsLaunch::new("2.15.1", &operator).with(&format!(
        "resolver: {{ type: full, dir: {:?}, allow_delete: true }}\nresolver_preload: {{ {}: {system} }}",
        folder.path().join("jwt"),
        operator.system().key()
    ));
    let nats = nats.start().await;
    let options = async_nats::ConnectOptions::with_credentials(&operator.system().user().creds()).unwrap();
    let client = within("a connection", options.connect(format!("nats://{}", nats.address()))).await.unwrap();
    let ask = async |what: &str, payload: String| {
        let subject = format!("$SYS.REQ.CLAIMS.{what}");
        let reply = within("an answer", client.request(subject, payload.into())).await.unwrap();
        serde_json::from_slice::<serde_json::Value>(&reply.payload).unwrap()
    };
    let answer = ask("UPDATE", operator.account(&account, 10)).await;
    assert_eq!(answer["data"]["code"], 200, "{answer}");
    assert!(ask("LIST", String::new()).await.to_string().contains(&account.key()));
    let ran = run(&["--seed-file", "-", &account.key()], &operator.seed());
    let answer = ask("DELETE", ran.stdout.trim_end().to_owned()).await;
    assert_eq!(answer["data"]["message"], "deleted 1 accounts", "{answer}");
    assert!(!ask("LIST", String::new()).await.to_string().contains(&account.key()));
}

#[test]
fn the_request_is_as_nsc_makes_it() {
    let (operator, account) = (KeyPair::new_operator(), Account::new().key());
    let before = now();
    let ran = run(&["--seed-file", "-", &account], &operator.seed().unwrap());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let token = ran.stdout.strip_suffix('\n').unwrap();
    let request = GenericJwt::decode(token).unwrap();
    assert_eq!((&request.claims.sub, &request.claims.iss), (&operator.public_key(), &operator.public_key()));
    assert!((before..=now()).contains(&request.claims.iat));
    assert_eq!((request.claims.exp, request.accounts().unwrap()), (0, vec![account.as_str()]));
    let payload = data_encoding::BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["nats"], serde_json::json!({ "accounts": [account], "version": 2 }));
}

#[test]
fn seeds_are_found_as_people_have_them() {
    let folder = tempfile::tempdir().unwrap();
    let (operator, account) = (KeyPair::new_operator(), Account::new().key());
    let (seed, public) = (operator.seed().unwrap(), operator.public_key());
    for (number, text) in [
        seed.clone(),
        format!("{seed}\n"),
        format!("  {seed}  \r\n"),
        // As nk prints a pair, and as nsc decorates a seed.
        format!("{seed}\n{public}\n"),
        format!(
            "-----BEGIN OPERATOR NKEY SEED-----\n{seed}\n------END OPERATOR NKEY SEED------\n\n****\nNKEYs are secret\n"
        ),
    ]
    .iter()
    .enumerate()
    {
        let path = file(folder.path(), &number.to_string(), text);
        for (args, stdin) in [(path.to_str().unwrap(), ""), ("-", text.as_str())] {
            let ran = run(&["--seed-file", args, &account], stdin);
            assert_eq!((ran.status, &*ran.stderr), (0, ""), "{number}");
            assert_eq!(GenericJwt::decode(ran.stdout.trim_end()).unwrap().claims.iss, public);
        }
    }
}

#[test]
fn what_is_wrong_is_said_and_no_seed_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (operator, account) = (KeyPair::new_operator(), Account::new().key());
    let seed = operator.seed().unwrap();
    let good = file(folder.path(), "good", &seed);
    let good = good.to_str().unwrap();
    let user = Account::new().user();
    let mut damaged = seed.clone().into_bytes();
    damaged[30] = if damaged[30] == b'A' { b'B' } else { b'A' };
    let damaged = String::from_utf8(damaged).unwrap();
    let of_account = KeyPair::new_account().seed().unwrap();
    let mut texts = vec![seed.clone(), damaged.clone(), of_account.clone(), seed[..57].to_owned()];
    texts.extend(user.creds().lines().filter(|line| line.starts_with("SU")).map(str::to_owned));
    assert_eq!(texts.len(), 5);
    for (content, said) in [
        (of_account, "holds the seed of an account key; the seed of an operator, SO..., is expected"),
        (user.creds(), "holds the seed of a user key"),
        (operator.public_key(), "holds a public operator key; to sign takes the seed, which begins with SO"),
        (damaged, "holds a damaged seed"),
        (seed[..57].to_owned(), "holds a damaged seed"),
        (String::new(), "holds no seed"),
        ("\u{0}\n".repeat(100), "holds no seed"),
        (format!("{}{seed}", "\n".repeat(65 << 10)), "is too large"),
    ] {
        let path = file(folder.path(), "bad", &content);
        for (args, stdin) in [(path.to_str().unwrap(), ""), ("-", content.as_str())] {
            let ran = run(&["--seed-file", args, &account], stdin);
            let name = if args == "-" { "the standard input" } else { args };
            assert_eq!((ran.status, &*ran.stdout), (1, ""));
            assert!(ran.stderr.starts_with(&format!("nats-account-server: {name} {said}")), "{}", ran.stderr);
            assert!(texts.iter().all(|text| !ran.stderr.contains(text)), "{}", ran.stderr);
        }
    }
    let other = Account::new().user().key();
    for (args, status, said) in [
        (vec!["--seed-file", "/no/such/file", &account], 1, "cannot read the seed file /no/such/file: No such file"),
        (vec!["--seed-file", folder.path().to_str().unwrap(), &account], 1, "cannot read the seed from /"),
        (vec!["--seed-file", &seed, &account], 1, "the value of --seed-file has a private key in it"),
        (vec!["--seed-file", &seed[..57], &account], 1, "the value of --seed-file has a private key in it"),
        (vec!["--seed-file", good, &account, &seed], 1, "argument 5 has a private key in it"),
        (vec!["--seed-file", good, "x"], 1, "account 1, \"x\": not a public nkey"),
        (vec!["--seed-file", good, &account, &other], 1, "a public user key where a public account key is expected"),
        (vec!["--seed-file", good], 2, "<ACCOUNT>"),
        (vec![&account], 2, "--seed-file"),
        (vec!["-o", good, "--seed-file", good, &account], 1, "cannot write the request to /"),
    ] {
        let ran = run(&args, "");
        assert_eq!((ran.status, &*ran.stdout), (status, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(texts.iter().all(|text| !ran.stderr.contains(text)), "{}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(good).unwrap(), seed, "nothing is written over");
}

#[test]
fn a_seed_that_others_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let (operator, account) = (KeyPair::new_operator(), Account::new().key());
    let (seed, output) = (file(folder.path(), "seed", &operator.seed().unwrap()), folder.path().join("request.jwt"));
    for mode in [0o640, 0o604] {
        fs::set_permissions(&seed, Permissions::from_mode(mode)).unwrap();
        let args = ["--seed-file", seed.to_str().unwrap(), "-o", output.to_str().unwrap(), &account];
        let ran = run(&args, "");
        assert_eq!((ran.status, &*ran.stdout), (0, ""), "{}", ran.stderr);
        let warning = format!("nats-account-server: warning: {} can be read by others", seed.display());
        assert!(ran.stderr.starts_with(&warning), "{}", ran.stderr);
        GenericJwt::decode(fs::read_to_string(&output).unwrap().trim_end()).unwrap();
        fs::remove_file(&output).unwrap();
    }
}

#[test]
fn the_help_says_that_nothing_else_is_done_with_the_seed() {
    let ran = run(&["--help"], "");
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(ran.status == 0 && text.contains("signs once, and forgets it. It sends nothing."), "{text}");
}
