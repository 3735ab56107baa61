//! What the language says, as tables.

use std::path::Path;

use config::{Map, Value, ValueKind};
use proptest::prelude::*;

use super::error::SyntaxError;
use super::parser;

fn env(name: &str) -> Option<String> {
    let value = match name {
        "FIVE_K" => "5k",
        "NAME" => "some-host:1",
        "LIST" => "[a, b]",
        "TWO" => "a b",
        "EMPTY" => "",
        "NOTED" => "5 # five",
        "LOOP" => "$LOOP",
        _ => return None,
    };
    Some(value.to_owned())
}

fn read(text: &str) -> Result<Map<String, Value>, SyntaxError> {
    parser::parse(Path::new("test.conf"), text, &env).map(|(map, _)| map)
}

/// A map as JSON, so that a table can be read.
fn shown(text: &str) -> String {
    fn json(kind: &ValueKind) -> serde_json::Value {
        match kind {
            ValueKind::Table(map) => {
                let sorted: std::collections::BTreeMap<_, _> = map.iter().map(|(k, v)| (k, json(&v.kind))).collect();
                serde_json::to_value(sorted).unwrap()
            }
            ValueKind::Array(items) => items.iter().map(|v| json(&v.kind)).collect(),
            ValueKind::I64(n) => (*n).into(),
            ValueKind::Float(n) => (*n).into(),
            ValueKind::Boolean(b) => (*b).into(),
            other => other.to_string().into(),
        }
    }
    match read(text) {
        Ok(map) => json(&ValueKind::Table(map)).to_string(),
        Err(error) => format!("{}:{}: {}", error.line, error.column, error.problem),
    }
}

#[test]
fn texts_mean_what_go_says() {
    let table = [
        // Separators and ends of entries.
        ("", r#"{}"#),
        ("\u{feff}a: 1", r#"{"a":1}"#),
        ("a: 1", r#"{"a":1}"#),
        ("a=1", r#"{"a":1}"#),
        ("a 1", r#"{"a":1}"#),
        ("a : 1 # c\nb = 2 // c", r#"{"a":1,"b":2}"#),
        ("a: 1, b: 2; c: 3,", r#"{"a":1,"b":2,"c":3}"#),
        ("a: 1\rb: 2\r\nc: 3", r#"{"a":1,"b":2,"c":3}"#),
        ("# only\n// comments\n", r#"{}"#),
        ("a\n: 1", r#"{"a":1}"#),
        ("a:\n1", "1:3: Expected value but found new line"),
        ("m {a:\n1}", r#"{"m":{"a":1}}"#),
        ("a: 1\na: 2", r#"{"a":2}"#),
        // Maps.
        ("http { port: 1 }", r#"{"http":{"port":1}}"#),
        ("http{port:1}", r#"{"http":{"port":1}}"#),
        ("http\n{\nport 1\n}\n", r#"{"http":{"port":1}}"#),
        ("m: {}", r#"{"m":{}}"#),
        ("m { # c\n a: 1 # c\n // c\n}", r#"{"m":{"a":1}}"#),
        ("m { a { b { c: 1 } } }", r#"{"m":{"a":{"b":{"c":1}}}}"#),
        ("s { a: 1 }\ns { b: 2 }", r#"{"s":{"b":2}}"#),
        // JSON.
        (r#"{"a": 1, "b": {"c": [true, "x"]}}"#, r#"{"a":1,"b":{"c":[true,"x"]}}"#),
        ("{ a: null }", r#"{"a":"null"}"#),
        // Arrays.
        ("a: []", r#"{"a":[]}"#),
        ("a: [1]", r#"{"a":[1]}"#),
        ("a: [1, x, {b: 2}, [3],]", r#"{"a":[1,"x",{"b":2},[3]]}"#),
        ("a: [\n x # c\n y\n # c\n z // c\n]", r#"{"a":["x","y","z"]}"#),
        ("servers = nats://a:1", r#"{"servers":"nats://a:1"}"#),
        ("servers: [nats://a:1, nats://b:2]", r#"{"servers":["nats://a:1","nats://b:2"]}"#),
        // Strings.
        ("a: /etc/x", r#"{"a":"/etc/x"}"#),
        ("a: http://h/p//q#r", r##"{"a":"http://h/p//q#r"}"##),
        (r#"a: "x\ty\n\"\\ \x41""#, r#"{"a":"x\ty\n\"\\ A"}"#),
        ("a: \"x\ny\"", r#"{"a":"x\ny"}"#),
        (r"a: 'C:\Users\x'", r#"{"a":"C:\\Users\\x"}"#),
        (r"a: C:\\x", r#"{"a":"C:\\x"}"#),
        (r"a: C:\temp", r#"{"a":"C:\temp"}"#),
        ("a: it'\nb: 1", r#"{"a":"it","b":1}"#),
        ("a: say\"x\"", r#"{"a":"say\"x\""}"#),
        ("a: (\nhello\n)\n", r#"{"a":"\nhello\n"}"#),
        ("a: (\n(x)\n y)\n  )\n)\nb: 1", r#"{"a":"\n(x)\n y)\n  )\n","b":1}"#),
        ("a: (\r\nx\r\n)\r\nb: 1", r#"{"a":"\r\nx\r\n","b":1}"#),
        ("\"a b\": 1, 'c d': 2", r#"{"a b":1,"c d":2}"#),
        ("a: \"5\", b: \"true\"", r#"{"a":"5","b":"true"}"#),
        // Numbers and their relatives.
        ("a: 8080, b: 64mb, c: -1.5, d: 5s", r#"{"a":8080,"b":67108864,"c":-1.5,"d":"5s"}"#),
        ("a: 127.0.0.1:4222", r#"{"a":"127.0.0.1:4222"}"#),
        ("a: 2006-01-02T15:04:05Z", r#"{"a":"2006-01-02T15:04:05Z"}"#),
        ("a: yes, b: OFF", r#"{"a":true,"b":false}"#),
        ("a: 1e5, b: 2024-x, c: [1,,2], d: [1 ]", r#"{"a":"1e5","b":"2024-x","c":[1,2],"d":[1]}"#),
        // References.
        ("p: 1\nm { q: $p }", r#"{"m":{"q":1},"p":1}"#),
        ("p: 1\nm { p: 2, n { q: $p } }", r#"{"m":{"n":{"q":2},"p":2},"p":1}"#),
        ("a: $NOTED", r#"{"a":5}"#),
        ("a: $FIVE_K, b: $NAME, c: $LIST, d: $EMPTY", r#"{"a":5000,"b":"some-host:1","c":["a","b"],"d":""}"#),
        ("a: [$FIVE_K]", r#"{"a":[5000]}"#),
        ("a: $2a$11$W2zko751KUvVy59mUTWmpO", r#"{"a":"$2a$11$W2zko751KUvVy59mUTWmpO"}"#),
        ("a: '$NAME'", r#"{"a":"$NAME"}"#),
        // A key called include.
        ("include: x", r#"{"include":"x"}"#),
        ("include = x", r#"{"include":"x"}"#),
    ];
    for (text, wanted) in table {
        assert_eq!(shown(text), wanted, "{text:?}");
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let table = [
        ("a", "1:1: the key a has no value"),
        ("a:", "1:1: the key a has no value"),
        ("m { a }", "1:5: the key a has no value"),
        ("a: 99999999999999999999", "1:4: the number `99999999999999999999` is too big"),
        (": 1", "1:1: a key is expected here"),
        ("a: ]", "1:4: a value is expected here"),
        ("a: 1 b: 2", "1:6: the end of the line is expected after a value"),
        ("x: 1\na: some words", "2:9: the end of the line is expected after a value"),
        ("a: [x y]", "1:7: a comma, a new line or ] is expected here"),
        ("a: 1\nm {\n b: 2", "2:3: this { is never closed"),
        ("a: [1,\n2", "1:4: this [ is never closed"),
        ("a: \"x", "1:4: this string never ends"),
        ("a: 'x", "1:4: this string never ends"),
        ("m { \"x", "1:5: this string never ends"),
        ("a: (x)", "1:4: this block never ends"),
        (r"a: C:\Users", "1:7: unknown escape"),
        (r#"a: "\x4""#, "1:6: two hexadecimal digits are expected after \\x"),
        (r#"a: "\x+1""#, "1:6: two hexadecimal digits are expected after \\x"),
        (r#"a: "\xff""#, "1:4: the \\x escapes in this string do not give UTF-8 text"),
        ("a: $MISSING", "1:4: variable reference for 'MISSING' can not be found"),
        ("a: $LOOP", "1:1: the environment variable LOOP refers to itself"),
        ("a: $TWO", "1:3: the environment variable TWO is not one value"),
        ("é: 1\né: ]", "2:4: a value is expected here"),
        ("include no-such-file.conf", "1:9: cannot include no-such-file.conf: No such file or directory (os error 2)"),
    ];
    for (text, wanted) in table {
        assert_eq!(shown(text), wanted, "{text:?}");
    }
}

#[test]
fn an_error_shows_the_line_and_what_to_do() {
    let error = read("x: 1\nm {\n  port: 80 90\n}").unwrap_err();
    let wanted = "test.conf:3:12: the end of the line is expected after a value\n  |   port: 80 90\n  |            ^\n  = \
                  one entry a line, or a comma between them; a text with blanks needs quotes";
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn values_know_their_line() {
    let map = read("a: 1\r\nm {\n b: 2\n}").unwrap();
    assert_eq!(map["a"].origin(), Some("test.conf:1"));
    let ValueKind::Table(inner) = &map["m"].kind else { panic!("a map") };
    assert_eq!(inner["b"].origin(), Some("test.conf:3"));
}

#[test]
fn depth_and_size_have_bounds() {
    assert!(shown("a: [").contains("never closed"));
    assert!(shown(&format!("a: {}", "[".repeat(100_000))).contains("levels deep"));
    assert!(shown(&"a{".repeat(100_000)).contains("levels deep"));
    assert!(shown(&"{".repeat(100_000)).contains("a key is expected"), "only a whole file may stand in braces");
    let mut laughs = "a0: [x, x]\n".to_owned();
    let mut tower = "a0: [x]\n".to_owned();
    for i in 1..200 {
        laughs += &format!("a{i}: [$a{}, $a{}]\n", i - 1, i - 1);
        tower += &format!("a{i}: [$a{}]\n", i - 1);
    }
    assert!(shown(&laughs).contains("grows too big"));
    assert!(shown(&tower).contains("grows too big"));
}

#[test]
fn long_texts_are_not_copied_without_end() {
    let long = format!("a: '{}'\n", "x".repeat(1 << 20));
    let copies: String = (0..200).map(|i| format!("b{i}: $a\n")).collect();
    assert!(shown(&(long + &copies)).contains("grows too big"));
}

#[test]
fn many_lines_are_read_in_little_time() {
    let text: String = (0..100_000).map(|i| format!("key{i}: 1\r\n")).collect();
    let began = std::time::Instant::now();
    let map = read(&text).unwrap();
    assert_eq!(map["key99999"].origin(), Some("test.conf:100000"));
    // It takes a fraction of a second; to count the lines again for each value takes minutes.
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_bracket_too_many_is_let_pass_with_a_warning() {
    for text in ["a: 1 }\nb: 2", "a: 1\n}\nb: 2"] {
        let (map, warnings) = parser::parse(Path::new("test.conf"), text, &env).unwrap();
        assert!(map.contains_key("a") && map.contains_key("b"), "{text:?}");
        assert_eq!(warnings.len(), 1, "{text:?}: {warnings:?}");
        assert!(warnings[0].contains("this } closes nothing"), "{warnings:?}");
    }
}

#[test]
fn includes_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let read = |text: &str| parser::parse(&at("main.conf"), text, &env).map(drop);
    for i in 0..100 {
        std::fs::write(at(&format!("deep{i}")), format!("include deep{}", i + 1)).unwrap();
        std::fs::write(at(&format!("fan{i}")), format!("include fan{0}\ninclude fan{0}", i + 1)).unwrap();
    }
    std::fs::write(at("fan19"), "a: 1").unwrap();
    std::fs::write(at("long"), format!("a: '{}'", "x".repeat(1 << 20))).unwrap();
    std::fs::write(at("latin1"), b"a: 1\nb: '\xe9'").unwrap();
    let table = [
        ("include deep0".to_owned(), "more than 20 levels deep"),
        ("include fan0".to_owned(), "more than 1000 includes"),
        ("include long\n".repeat(20), "at most 16777216 bytes"),
        ("include latin1".to_owned(), "line 2 is not UTF-8"),
        ("include .".to_owned(), "Is a directory"),
    ];
    for (text, wanted) in table {
        let problem = read(&text).unwrap_err().problem;
        assert!(problem.contains(wanted), "{wanted}: {problem}");
    }
}

#[test]
fn includes_are_relative_and_may_not_go_round() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("sub")).unwrap();
    std::fs::write(at("sub/http.conf"), "port: 1\ninclude more.conf\n").unwrap();
    std::fs::write(at("sub/more.conf"), "host: x").unwrap();
    std::fs::write(at("sub/circle.conf"), "include ../sub/circle.conf").unwrap();
    std::fs::write(at("sub/bad.conf"), "a: 1\nb: ]").unwrap();
    let read = |text: &str| parser::parse(&at("main.conf"), text, &env).map(|(map, _)| map);

    let map = read("http { INCLUDE 'sub/http.conf' }\nafter: 1").unwrap();
    let ValueKind::Table(http) = &map["http"].kind else { panic!("a map") };
    assert_eq!(http["host"].to_string(), "x");
    assert!(http["port"].origin().unwrap().ends_with("http.conf:1"));
    assert!(map.contains_key("after"));

    assert!(read("include sub/circle.conf").unwrap_err().problem.contains("includes itself"));
    let error = read("\n\ninclude \"sub/bad.conf\"").unwrap_err();
    assert!(error.file.ends_with("bad.conf"), "{error}");
    assert_eq!((error.line, error.column), (2, 4));
}

/// Text made of the pieces that the parser looks for, so that random input gets past the first character.
fn near_miss() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just(" "),
        Just("\n"),
        Just("\r"),
        Just(":"),
        Just("="),
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just("("),
        Just(")"),
        Just("\""),
        Just("'"),
        Just("\\"),
        Just("\\x"),
        Just("#"),
        Just("//"),
        Just("$"),
        Just("$a"),
        Just("$LOOP"),
        Just("include "),
        Just("1"),
        Just("-"),
        Just("."),
        Just("k"),
        Just(","),
        Just(";"),
        Just("é"),
        Just("\u{feff}"),
        Just("$2a$"),
        Just("9999999999"),
        Just("eib"),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A file as people have it, with some of its bytes changed, taken out or doubled.
fn mutated() -> impl Strategy<Value = String> {
    const FILE: &str = "# c\noperator: /x/op.jwt\nhttp { host: \"0.0.0.0\", port: 9090; tls { cert: '/a b' } }\n\
                        nats = { servers: [nats://a:1, \"nats://b:2\"] // c\n connecttimeout 5k }\nport: $FIVE_K\n\
                        text (\nmany\nlines\n)\npw: $2a$11$abc\n\"quoted key\" -1.5\nat: 2006-01-02T15:04:05Z\n";
    let change = (0..FILE.len(), 0..3_u8, any::<u8>());
    prop::collection::vec(change, 1..6).prop_map(|changes| {
        let mut bytes = FILE.as_bytes().to_vec();
        for (at, what, byte) in changes {
            let at = at.min(bytes.len() - 1);
            match what {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![near_miss(), mutated(), ".*", "(?s).{0,200}"]) {
        if let Err(error) = read(&text) {
            prop_assert!(error.line >= 1 && error.column >= 1);
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_quoted_text_comes_back(text in "[^\"\\\\]*") {
        let map = read(&format!("a: \"{text}\"")).unwrap();
        prop_assert_eq!(&map["a"].kind, &ValueKind::String(text));
    }
}
