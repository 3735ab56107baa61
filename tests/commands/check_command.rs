//! The command `check`, as people and programs call it.
use std::io::Write;

use nats_account_server::commands::check::{CheckArgs, run};
use nats_account_server::testkit;
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};

fn pair(kind: KeyPairType, byte: u8) -> KeyPair {
    KeyPair::new_from_raw(kind, [byte; 32]).unwrap()
}

fn operator_token(byte: u8) -> String {
    let own = pair(KeyPairType::Operator, byte);
    let claims = json!({"iat": 1, "sub": own.public_key(), "name": "op", "nats": {"type": "operator", "version": 2}});
    testkit::sign(&claims, &own)
}

fn account_token(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({"iat": 1_700_000_000, "name": "acme", "sub": pair(KeyPairType::Account, 2).public_key(),
        "nats": {"type": "account", "version": 2}});
    change(&mut claims);
    testkit::sign(&claims, &pair(KeyPairType::Operator, 1))
}

fn check(args: CheckArgs, input: &str) -> (u8, String) {
    let mut output = Vec::new();
    let status = run(&args, &mut input.as_bytes(), &mut output).map_or_else(|exit| exit.code, |()| 0);
    (status, String::from_utf8(output).unwrap())
}

fn stdin() -> CheckArgs {
    CheckArgs { files: vec!["-".to_owned()], ..CheckArgs::default() }
}

#[test]
fn a_sound_account_would_be_accepted() {
    let token = account_token(|_| ());
    for text in [token.clone(), format!("{token}\n"), format!("-----BEGIN-----\n{token}\n-----END-----\n")] {
        let (status, output) = check(stdin(), &text);
        assert_eq!(status, 0, "{output}");
        for line in
            ["account JWT, version 2", "name:     acme", "2023-11-14 (1700000000)", "never", "would be accepted"]
        {
            assert!(output.contains(line), "{line:?} is missing in\n{output}");
        }
    }
}

#[test]
fn each_reason_to_refuse_is_said() {
    let user = pair(KeyPairType::User, 3).public_key();
    for (token, reason) in [
        (account_token(|claims| claims["exp"] = 1.into()), "because claim is expired"),
        (account_token(|claims| claims["nbf"] = 4_102_444_800_i64.into()), "because claim is not yet valid"),
        (account_token(|claims| claims["iat"] = 4_102_444_800_i64.into()), "issued more than an hour ahead"),
        (account_token(|claims| claims["sub"] = user.into()), "because its subject is a public user key where"),
        (account_token(|claims| claims["nats"]["cluster_traffic"] = "x".into()), "unknown cluster traffic option"),
        (account_token(|_| ()).replace('.', ""), "because it has 1 of the 3 parts of a JWT"),
        (account_token(|claims| claims["nats"]["type"] = "user".into()), "unable to validate expected prefixes"),
    ] {
        let (status, output) = check(stdin(), &token);
        assert_eq!(status, 1, "{output}");
        assert!(output.contains(reason), "{reason:?} is missing in\n{output}");
    }
}

#[test]
fn an_operator_is_asked_for_its_trust() {
    let token = account_token(|_| ());
    let asking = |operator: String| CheckArgs { operator: Some(operator), ..stdin() };
    assert_eq!(check(asking(operator_token(1)), &token).0, 0);
    let (status, output) = check(asking(operator_token(9)), &token);
    assert_eq!(status, 1);
    assert!(output.contains("not signed by") && output.contains("the operator did not sign it"), "{output}");

    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{}", operator_token(1)).unwrap();
    assert_eq!(check(asking(file.path().to_str().unwrap().to_owned()), &token).0, 0);
    assert_eq!(check(asking(token.clone()), &token), (1, String::new()));
    assert_eq!(check(asking("/no/such/file".to_owned()), &token), (1, String::new()));
}

#[test]
fn programs_get_a_line_for_each_file() {
    let mut good = tempfile::NamedTempFile::new().unwrap();
    good.write_all(account_token(|_| ()).as_bytes()).unwrap();
    let bad = tempfile::NamedTempFile::new().unwrap();
    let paths: Vec<_> = [&good, &bad].iter().map(|file| file.path().to_str().unwrap().to_owned()).collect();
    let args = CheckArgs {
        files: [paths.clone(), vec!["/no/such/file".to_owned()]].concat(),
        json: true,
        ..CheckArgs::default()
    };
    let (status, output) = check(args, "");
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(status, 1);
    assert_eq!(
        (&lines[0]["id"], &lines[0]["decode"], &lines[0]["kind"]),
        (&json!(paths[0]), &json!("ok"), &json!("account"))
    );
    assert_eq!(lines[1]["decode"], "it is empty; a JWT is needed");
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_deletion_request_is_known() {
    let own = pair(KeyPairType::Operator, 1);
    let claims = json!({"iat": 1, "sub": own.public_key(), "nats": {"accounts": ["A"], "version": 2}});
    let (status, output) = check(stdin(), &testkit::sign(&claims, &own));
    assert_eq!(status, 0, "{output}");
    assert!(output.contains("delete request JWT"), "{output}");
}

#[test]
fn questions_are_answered_line_by_line() {
    let args = CheckArgs { json: true, vectors: true, ..stdin() };
    let question = json!({"id": "1", "kind": "account", "token": account_token(|_| ()), "unknown": 1});
    let (status, output) = check(args, &format!("{question}\n\nnonsense\n{{\"id\":\"3\",\"kind\":\"x\"}}"));
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(status, 1);
    assert_eq!((&lines[0]["id"], &lines[0]["decode"]), (&json!("1"), &json!("ok")));
    assert!(lines[1]["decode"].as_str().unwrap().starts_with("not a question"));
    assert_eq!(lines[2]["decode"], "unknown kind \"x\"");
    assert_eq!(lines.len(), 3);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let twice = vec!["-".to_owned(), "-".to_owned()];
    for args in [
        CheckArgs { vectors: true, ..stdin() },
        CheckArgs { vectors: true, json: true, files: twice.clone(), ..stdin() },
        CheckArgs { files: twice, ..stdin() },
        CheckArgs::default(),
    ] {
        assert_eq!(check(args, ""), (2, String::new()));
    }
    let missing = CheckArgs { vectors: true, json: true, files: vec!["/no/such/file".to_owned()], ..stdin() };
    assert_eq!(check(missing, ""), (1, String::new()));
}

#[test]
fn a_token_cannot_steer_the_terminal() {
    let (_, output) = check(stdin(), &account_token(|claims| claims["name"] = "\u{1b}[2J\n".into()));
    assert!(output.contains("\\u{1b}[2J\\n"), "{output}");
}

/// The program itself, with an operator in the environment if one is given.
fn program(environment: Option<&str>, args: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nats-account-server"));
    command.args(args).env_remove("NAS_OPERATOR").envs(environment.map(|operator| ("NAS_OPERATOR", operator)));
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_operator_of_the_settings_is_asked_wherever_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let token = file("account.jwt", &account_token(|_| ()));
    let (ours, theirs) = (file("ours.jwt", &operator_token(1)), file("theirs.jwt", &operator_token(9)));
    let decorated =
        format!("-----BEGIN NATS OPERATOR JWT-----\n{}\n------END NATS OPERATOR JWT------", operator_token(1));
    let configured = |operator: &str| file("nas.conf", &format!("operator: {operator:?}"));
    for (operator, wanted) in [(&ours, 0), (&theirs, 1)] {
        let settings = configured(operator);
        for (environment, args) in [
            (None, vec!["-operator", operator, "check", &token]),
            (None, vec!["check", "-operator", operator, &token]),
            (None, vec!["-c", &settings, "check", &token]),
            (Some(operator.as_str()), vec!["check", &token]),
            (Some(theirs.as_str()), vec!["-operator", operator, "check", &token]),
            (Some(theirs.as_str()), vec!["check", "-operator", operator, &token]),
        ] {
            let (status, text) = program(environment, &args);
            assert_eq!(status, Some(wanted), "{args:?}: {text}");
            let verdict = if wanted == 0 { "would be accepted\n" } else { "the operator did not sign it" };
            assert!(text.contains(verdict), "{args:?}: {text}");
        }
    }
    assert_eq!(program(Some(&decorated), &["check", &token]).0, Some(0));
    let (status, text) = program(None, &["check", &token]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("would be accepted if the operator signed it: no operator was given (-operator)"), "{text}");
    assert_eq!(program(Some("/no/such/file"), &["check", &token]).0, Some(1));
    assert_eq!(program(Some("/no/such/file"), &["-c", "/no/such/file", "check", &token]).0, Some(1));
}
