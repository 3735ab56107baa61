//! Every line of `tests/vectors` against the verdict of the Go library that stands in it.
//!
//! Tokens that this program refuses on purpose where the library does not are listed in [`STRICTER`], and the list is
//! exact: a listed line on which we agree fails the test, too. Nothing may be accepted here that the library refuses.
use std::collections::BTreeSet;
use std::fs;

use crate::verdicts::{difference, is_accepted};
use nats_account_server::commands::check::{CheckQuestion, judge};
use serde_json::Value;

/// 2026: the vectors' times are 2001 or older, or 2100.
const NOW: i64 = 1_790_000_000;

/// Lines on which this program is stricter than the library, with the reason.
const STRICTER: &[(&str, &str)] = &[
    ("C1.13-trailing-newline", "an embedded token has no line end"),
    ("C1.41-short", KEY),
    ("C1.49-short", KEY),
    ("C1.49-dangling", KEY),
    ("B4-duplicate-imports-shorter", LIST),
    ("B4-duplicate-imports-hidden", LIST),
    ("B4-duplicate-auth", LIST),
    ("B3-issuer-57", KEY),
    ("B3-issuer-newline", KEY),
    ("B2-leading-newline-v1", SPELLING),
    ("B2-newline-in-signature", SPELLING),
    ("B2-newline-signed", SPELLING),
    ("B2-header-newline-signed", SPELLING),
    ("B2-tail-bits-1", BITS),
    ("B2-tail-bits-7", BITS),
    ("B2-tail-bits-15", BITS),
    ("B2-tail-bits-payload-2", BITS),
    ("B2-tail-bits-payload-3", BITS),
    ("B4-payload-nested-10000", "nesting ends at 256, which needs no large stack"),
];
const SPELLING: &str = "one spelling of a part: line ends inside it are refused";
const BITS: &str = "one spelling of a part: stray bits in the last letter are refused";
const KEY: &str = "only canonical public keys are keys";
const LIST: &str = "a list that occurs twice is refused";

/// Lines that both refuse, but we for the spelling or a second list before anyone looks at what the library blames.
const REFUSED_EARLIER: &[&str] = &[
    "B2-leading-newline",
    "B2-newline-in-payload",
    "B4-duplicate-imports",
    "B4-duplicate-imports-null-item",
    "B4-duplicate-auth-null-item",
    "B4-duplicate-exports-null-field",
];

fn lines(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(format!("{}/tests/vectors/{file}.jsonl", env!("CARGO_MANIFEST_DIR"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verdict(line: &Value) -> Value {
    let question: CheckQuestion = serde_json::from_value(line.clone()).unwrap();
    serde_json::to_value(judge(&question, NOW)).unwrap()
}

#[test]
fn tokens_are_judged_as_the_library_judges() {
    let mut differ = Vec::new();
    let mut stricter = BTreeSet::new();
    let mut earlier = BTreeSet::new();
    let mut count = 0;
    for file in ["accounts", "activations", "operators", "generics"] {
        for line in lines(file) {
            count += 1;
            let (ours, theirs) = (verdict(&line), &line["expect"]);
            assert!(!is_accepted(&ours) || is_accepted(theirs), "accepted, but not by the library: {}", line["id"]);
            let Some(difference) = difference(&ours, theirs) else { continue };
            let id = line["id"].as_str().unwrap();
            if STRICTER.iter().any(|(listed, _)| *listed == id) && !is_accepted(&ours) && is_accepted(theirs) {
                stricter.insert(id.to_owned());
            } else if REFUSED_EARLIER.contains(&id) && !is_accepted(&ours) && !is_accepted(theirs) {
                earlier.insert(id.to_owned());
            } else {
                differ.push(format!("{file} {id} ({}): {difference}", line["note"]));
            }
        }
    }
    assert!(differ.is_empty(), "{} of {count} lines differ:\n{}", differ.len(), differ.join("\n"));
    for (listed, reason) in STRICTER {
        assert!(stricter.contains(*listed), "{listed} is listed ({reason}), but we are not stricter there");
    }
    assert_eq!(earlier.len(), REFUSED_EARLIER.len(), "only {earlier:?} are refused earlier");
}

#[test]
fn activations_have_the_library_s_hash_ids() {
    for line in lines("hash_ids") {
        assert_eq!(verdict(&line)["hash_id"], line["expect"]["hash_id"], "{}", line["id"]);
    }
}

#[test]
fn only_canonical_public_keys_are_keys() {
    for line in lines("nkeys") {
        assert_eq!(verdict(&line)["key"]["canonical"], line["expect"]["canonical"], "{}", line["id"]);
    }
}
