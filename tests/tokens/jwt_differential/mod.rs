//! Many spoilt tokens, judged by us and by the Go library (`tests/oracle`), which must agree.
//!
//! Runs where Go is installed and its modules can be had; elsewhere it says that it was skipped.
mod claims;
mod random;
mod tokens;
mod tree;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use claims::Keys;
use nats_account_server::commands::check::{CheckQuestion, judge};
use nats_account_server::testkit;
use nkeys::{KeyPair, KeyPairType};
use random::Random;
use serde_json::{Value, json};
use tree::Tree;

const TOKENS: usize = 24_000;
/// Of all tokens, at most so many may be refused by us alone.
const MAX_STRICTER: usize = TOKENS / 20;

#[test]
fn spoilt_tokens_are_judged_as_the_library_judges() {
    let Some(oracle) = build_oracle() else { return };
    let questions = questions();
    let answers = ask(&oracle, &questions);
    assert_eq!(answers.len(), questions.len());
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();

    let mut stricter: BTreeMap<&str, usize> = BTreeMap::new();
    let mut differ = Vec::new();
    let mut accepted = 0;
    for (question, theirs) in questions.iter().zip(&answers) {
        let asked: CheckQuestion = serde_json::from_value(question.clone()).unwrap();
        let ours = serde_json::to_value(judge(&asked, now)).unwrap();
        let laxer = crate::verdicts::is_accepted(&ours) && !crate::verdicts::is_accepted(theirs);
        assert!(!laxer, "accepted, but not by the library: {question}\nours: {ours}\ntheirs: {theirs}");
        accepted += usize::from(crate::verdicts::is_accepted(&ours));
        let Some(difference) = crate::verdicts::difference(&ours, theirs) else { continue };
        match reason(&ours) {
            Some(reason) => *stricter.entry(reason).or_default() += 1,
            None => differ.push(format!("{difference}\n  {question}")),
        }
    }
    eprintln!("{TOKENS} tokens, {accepted} accepted by both, refused or worded otherwise by us alone: {stricter:?}");
    assert!(differ.is_empty(), "{} differ, as\n{}", differ.len(), differ[..differ.len().min(5)].join("\n"));
    assert!(stricter.values().sum::<usize>() <= MAX_STRICTER, "stricter too often: {stricter:?}");
    assert!(accepted > TOKENS / 20, "nearly everything was refused, which proves little");
}

/// Why we may refuse what the library does not, or for another reason.
fn reason(ours: &Value) -> Option<&'static str> {
    let decode = ours["decode"].as_str().unwrap();
    if decode.starts_with("json: list ") && decode.ends_with(" occurs twice") {
        Some("a list occurs twice")
    } else if decode.starts_with("illegal base64 data") {
        Some("a part is not in its one spelling")
    } else {
        None
    }
}

fn questions() -> Vec<Value> {
    let random = &mut Random::new(20_261_124);
    let pair = |kind, byte: u8| KeyPair::new_from_raw(kind, [byte; 32]).unwrap();
    let keys = Keys {
        operator: pair(KeyPairType::Operator, 1),
        account: pair(KeyPairType::Account, 2),
        other: pair(KeyPairType::Account, 3),
        user: pair(KeyPairType::User, 4),
        server: pair(KeyPairType::Server, 5),
    };
    let sound =
        |claims: &Value, signer: &KeyPair| testkit::sign_raw(testkit::HEADER, &claims.to_string(), signer, false);
    let activation = sound(&claims::activation(&keys), &keys.other);
    let operator = sound(&claims::operator(&keys), &keys.operator);
    let account = claims::account(&keys, &activation);
    let bases = [
        ("account", account.clone(), &keys.operator, false),
        ("account", account.clone(), &keys.operator, false),
        ("account", account, &keys.operator, false),
        ("account", claims::account_v1(&keys), &keys.operator, true),
        ("operator", claims::operator(&keys), &keys.operator, false),
        ("activation", claims::activation(&keys), &keys.other, false),
        ("account", claims::user(&keys), &keys.account, false),
        ("account", claims::request(&keys), &keys.server, false),
        ("generic", claims::deletion(&keys), &keys.operator, false),
    ];
    let mut questions = Vec::with_capacity(TOKENS);
    for number in 0..TOKENS {
        let (kind, claims, signer, old) = &bases[random.below(bases.len())];
        let mut tree = Tree::from(claims);
        for _ in 0..random.below(4) {
            claims::spoil(&mut tree, &keys, random);
        }
        let signer = if random.once_in(30) { &keys.account } else { signer };
        let old = *old != random.once_in(30);
        let token = tokens::sign(&tree.text(), signer, old, random);
        let mut question = json!({"id": number.to_string(), "kind": kind, "token": token});
        if random.once_in(4) {
            question["operator"] = operator.as_str().into();
        }
        questions.push(question);
    }
    questions
}

/// Builds the oracle; None, with a word about it, if that is not possible here.
fn build_oracle() -> Option<PathBuf> {
    let folder = format!("{}/tests/oracle", env!("CARGO_MANIFEST_DIR"));
    let go = |arguments: &[&str]| Command::new("go").args(arguments).current_dir(&folder).output();
    match go(&["mod", "download"]) {
        Ok(output) if output.status.success() => (),
        Ok(output) => {
            eprintln!("skipped: the Go modules cannot be had: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Err(error) => {
            eprintln!("skipped: Go is not installed ({error})");
            return None;
        }
    }
    let binary = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("jwt-oracle");
    let output = go(&["build", "-o", binary.to_str().unwrap(), "."]).unwrap();
    assert!(output.status.success(), "the oracle does not build: {}", String::from_utf8_lossy(&output.stderr));
    Some(binary)
}

fn ask(oracle: &PathBuf, questions: &[Value]) -> Vec<Value> {
    let mut child = Command::new(oracle).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
    // The oracle answers while it is asked, so somebody must listen meanwhile.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = BufReader::new(child.stdout.take().unwrap());
    let answers = output.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    answers
}
