//! What the program says about a configuration, a command line or a file that it cannot use: the status, and one message that
//! names place, cause and remedy.
// The lint's exception for tests does not reach the helpers of a test crate.
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_nats-account-server");

/// Arguments, variables, and what must be said.
type Row<'a, T> = (&'a [&'a str], &'a [(&'a str, &'a str)], T);

/// Runs the program in a folder to its end, which must come by itself.
fn run(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(args).current_dir(folder).stdin(Stdio::null()).env("HOME", folder).env("NO_COLOR", "1");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The status, and what was said on standard error.
fn refused(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run(folder, args, variables);
    (output.status.code(), text(&output.stderr))
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

#[test]
fn a_configuration_file_that_cannot_be_used_ends_the_start_with_1() {
    let long = format!("a: '{}'", "x".repeat(20 << 20));
    let deep = format!("a: {}", "[".repeat(1 << 20));
    let table: &[(&str, &[u8], &[&str])] = &[
        ("x.conf", b"http { port: 80 90 }", &["x.conf:1:17: ", "| http { port: 80 90 }", "one entry a line"]),
        (
            "x.conf",
            b"\r\n\r\nhttp {\r\n port: abc\r\n}",
            &["x.conf:4: http.port is \"abc\"", "whole number from 0 to 65535"],
        ),
        ("x.conf", b"\xef\xbb\xbfhttp { port: x", &["x.conf:1:6: this { is never closed", "add the missing }"]),
        ("x.conf", b"a: 1\nb: \"\xe9\"", &["x.conf: line 2 is not UTF-8 text", "save it as UTF-8"]),
        ("x.conf", b"\xff\xfea\0:\0", &["x.conf: line 1 is not UTF-8 text"]),
        ("x.conf", b"operator: $NO_SUCH_VARIABLE", &["x.conf:1:11: variable reference for 'NO_SUCH_VARIABLE'"]),
        ("x.conf", b"include x.conf", &["x.conf:1:9: cannot include x.conf: it includes itself"]),
        ("x.conf", b"include y.conf", &["x.conf:1:9: cannot include y.conf: No such file", "relative to the file"]),
        ("x.conf", b"store: /d", &["x.conf:1: store is \"/d\", but a section"]),
        ("x.conf", b"operator {}", &["x.conf:1: operator is a section, but text"]),
        ("x.conf", b"primary: 'host:9090'", &["x.conf:1: primary is \"host:9090\"", "scheme"]),
        ("x.conf", b"nats { servers: ['http://h'] }", &["x.conf:1: nats.servers is", "not a NATS scheme"]),
        (
            "x.conf",
            b"nats { servers: [1 ] }",
            &["x.conf:1: nats.servers is [1]", "a NATS URL such as nats://host:4222"],
        ),
        ("x.conf", b"http { tls { cert: a } }", &["http.tls.key is not set"]),
        ("x.conf", b"replica { mode: all }", &["x.conf:1: replica.mode is \"all\""]),
        ("x.conf", long.as_bytes(), &["x.conf: a configuration has at most 16777216 bytes"]),
        ("x.conf", deep.as_bytes(), &["nested more than 100 levels deep"]),
        ("x.toml", b"[http\nport = 1", &["x.toml", "TOML parse error at line 1"]),
        ("x.json", b"{\"http\": {\"port\": 1}", &["x.json", "EOF while parsing", "line 1"]),
        ("x.yaml", b"http: {port: 1", &["x.yaml: while parsing a flow mapping", "line 2 column 1"]),
        ("x.json", b"{\"http\": {\"port\": \"x\"}}", &["x.json: http.port is \"x\"", "whole number"]),
    ];
    for (name, content, wanted) in table {
        let dir = folder(&[(name, content)]);
        let (code, said) = refused(dir.path(), &["-c", name], &[]);
        let shown = String::from_utf8_lossy(content.get(..80).unwrap_or(content));
        assert_eq!(code, Some(1), "{shown}: {said}");
        assert!(said.starts_with("nats-account-server: cannot use the settings: "), "{shown}: {said}");
        assert!(said.len() < 1500, "{shown}: {} bytes", said.len());
        for part in *wanted {
            assert!(said.contains(part), "{shown}: {part} is not in {said}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_or_not_ours_is_named_with_its_use() {
    let dir =
        folder(&[("empty", b""), ("text", b"hello"), ("binary", b"\xff\xff"), ("x.conf", b"operator: missing.jwt")]);
    let table: &[Row<'_, &[&str]>] = &[
        (&["-c", "missing.conf"], &[], &["configuration file: missing.conf: No such file"]),
        (&["-c", "."], &[], &["configuration file: .: Is a directory"]),
        (&["-c", "x.conf/y"], &[], &["configuration file: x.conf/y: Not a directory"]),
        (&["-c", "x.conf"], &[], &["the operator JWT", "missing.jwt", "No such file"]),
        (&["-operator", "."], &[], &["the operator JWT", "Is a directory"]),
        (&["-operator", "empty"], &[], &["operator JWT: empty: it is empty"]),
        (&["-operator", "text"], &[], &["operator JWT: text: it is plain text", "a JWT is needed"]),
        (&["-operator", "binary"], &[], &["operator JWT: binary: it is neither UTF-8"]),
        (&["-operator", "eyJ.x.y"], &[], &["operator JWT"]),
        (&[], &[("NAS_SYSTEM_ACCOUNT", "text")], &["the system account JWT cannot be used: text: it is plain"]),
        (&["-dir", "text"], &[], &["text"]),
        (&["-nsc", "missing"], &[], &["missing"]),
        (
            &[],
            &[("NAS_HTTP__TLS__CERT", "missing.pem"), ("NAS_HTTP__TLS__KEY", "k.pem")],
            &["http.tls.cert", "missing.pem"],
        ),
        (&[], &[("NAS_HTTP__TLS__CERT", "text"), ("NAS_HTTP__TLS__KEY", "text")], &["http.tls.cert", "text"]),
        (&[], &[("NAS_NATS__SERVERS", "h"), ("NAS_NATS__TLS__ROOT", "text")], &["nats.tls.root", "text"]),
        (&["-hp", "192.0.2.1:1"], &[], &["cannot listen on 192.0.2.1:1"]),
        (&["-hp", "no-such-host.invalid:1"], &[], &["cannot listen on no-such-host.invalid:1"]),
    ];
    for (args, variables, wanted) in table {
        let mut args = args.to_vec();
        if !args.contains(&"-hp") {
            args.extend(["-hp", "127.0.0.1:0"]);
        }
        let (code, said) = refused(dir.path(), &args, variables);
        assert_eq!(code, Some(1), "{args:?} {variables:?}: {said}");
        for part in *wanted {
            assert!(said.contains(part), "{args:?} {variables:?}: {part} is not in {said}");
        }
    }
}

#[test]
fn a_flag_or_variable_that_cannot_be_used_is_named() {
    let dir = folder(&[]);
    let table: &[Row<'_, (i32, &str)>] = &[
        (&["-nope"], &[], (2, "--nope")),
        (&["-prot", "1"], &[], (2, "--prot")),
        (&["-dir"], &[], (2, "flag needs an argument: -dir")),
        (&["-D=5"], &[], (2, "invalid boolean value \"5\" for -D")),
        (&["-D", "false"], &[], (2, "write -debug=false")),
        (&["serv"], &[], (2, "serv")),
        (&["-hp", "9090"], &[], (1, "error parsing hostport: address 9090: missing port in address")),
        (&["-hp", "h:99999"], &[], (1, "error parsing hostport: address h:99999: the port is a number")),
        (&["-hp", "::1:9090"], &[], (1, "an IPv6 address goes in brackets")),
        (&["-primary", "h:9090"], &[], (1, "flag -primary: primary is \"h:9090\"")),
        (&["-primary", "ftp://h"], &[], (1, "ftp:// is neither http:// nor https://")),
        (&["-nats", "http://h"], &[], (1, "flag -nats: nats.servers is \"http://h\"")),
        (&["-nats", "nats://u:secret@h x"], &[], (1, "it contains white space")),
        (&["-nsc", "n", "-primary", "http://h"], &[], (1, "replicas cannot be run in NSC mode")),
        (&[], &[("NAS_HTTP__PORT", "x")], (1, "environment variable NAS_HTTP__PORT: http.port is \"x\"")),
        (&[], &[("NAS_HTTP__READ_TIMEOUT", "5")], (1, "\"5s\", \"250ms\"")),
        (&[], &[("NAS_LOG__LEVEL", "loud")], (1, "one of error, warn, info, debug, trace")),
        (&["man", "nope"], &[], (1, "there is no command nope")),
        (&["completions", "csh"], &[], (2, "bash")),
    ];
    for (args, variables, (status, wanted)) in table {
        let (code, said) = refused(dir.path(), args, variables);
        assert_eq!(code, Some(*status), "{args:?} {variables:?}: {said}");
        assert!(said.contains(wanted), "{args:?} {variables:?}: {wanted} is not in {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

/// A private key ends the start, with the place where it is and what to do; nothing shows it.
#[test]
fn a_private_key_is_rejected_wherever_it_is_given() {
    let seed = nkeys::KeyPair::new_operator().seed().unwrap();
    let user = nkeys::KeyPair::new_user();
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\neyJ0.eyJp.a-_b\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY \
         SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed().unwrap()
    );
    let conf = format!("http {{ port: 0 }}\noperator: {seed}\n");
    let nested = format!("nats {{ servers: [\"nats://a:1\", \"nats://{seed}@b:1\"] }}");
    let unknown = format!("prot: {seed}");
    let toml = format!("system_account = \"{seed}\"");
    let json = format!("{{\"replica\": {{\"token\": \"{seed}\"}}}}");
    let broken = format!("operator: [{seed}");
    let dir = folder(&[
        ("op.nk", seed.as_bytes()),
        ("user.creds", creds.as_bytes()),
        ("x.conf", conf.as_bytes()),
        ("nested.conf", nested.as_bytes()),
        ("unknown.conf", unknown.as_bytes()),
        ("x.toml", toml.as_bytes()),
        ("x.json", json.as_bytes()),
        ("broken.conf", broken.as_bytes()),
        ("broken.yaml", broken.as_bytes()),
        ("includes.conf", b"include broken.conf"),
        ("plain.conf", b"http { port: 0 }"),
    ]);
    let lower = seed.to_lowercase();
    let wrong = format!("{}{}", &seed[..57], if seed.ends_with('A') { "B" } else { "A" });
    let flag = format!("-operator={seed}");
    let named = format!("/keys/{seed}.nk");
    let table: &[Row<'_, &str>] = &[
        (&["-operator", &seed], &[], "the value of -operator has a private key"),
        (&["-operator", &lower], &[], "the value of -operator has a private key"),
        (&["-operator", &wrong], &[], "the value of -operator has a private key"),
        (&[&flag], &[], "the value of -operator has a private key"),
        (&["-operator", &creds], &[], "the value of -operator has a private key"),
        (&["-creds", &creds], &[], "the value of -creds has a private key"),
        (&["-dir", &named], &[], "the value of -dir has a private key"),
        (&["-nope", &seed], &[], "the value of -nope has a private key"),
        (&[&seed], &[], "argument 1 has a private key"),
        (&["check", &seed], &[], "argument 2 has a private key"),
        (&["check", "-operator", &seed, "x"], &[], "the value of -operator has a private key"),
        (&["import", &seed], &[], "argument 2 has a private key"),
        (&["flush", "--timeout", &seed], &[], "the value of --timeout has a private key"),
        (&[], &[("NAS_OPERATOR", &seed)], "environment variable NAS_OPERATOR: operator has a private key"),
        (&[], &[("NAS_NATS__CREDS", &creds)], "environment variable NAS_NATS__CREDS: nats.creds has a private key"),
        (&["config"], &[("NAS_SYSTEM_ACCOUNT", &creds)], "NAS_SYSTEM_ACCOUNT: system_account has a private key"),
        (&[], &[("NAS_HTTP__PORT", &seed)], "NAS_HTTP__PORT: http.port has a private key"),
        (&[], &[("NAS_NO_SUCH", &seed)], "environment variable NAS_NO_SUCH: no_such has a private key"),
        (&["-c", "x.conf"], &[], "x.conf:2: operator has a private key"),
        (&["-c", "x.conf", "config"], &[], "x.conf:2: operator has a private key"),
        (&["-c", "x.conf", "check", "x"], &[], "x.conf:2: operator has a private key"),
        (&["-c", "x.conf", "flush"], &[], "x.conf:2: operator has a private key"),
        (&["-c", "nested.conf"], &[], "nested.conf:1: nats.servers has a private key"),
        (&["-c", "unknown.conf"], &[], "unknown.conf:1: prot has a private key"),
        (&["-c", "x.toml"], &[], "x.toml: system_account has a private key"),
        (&["-c", "x.json"], &[], "x.json: replica.token has a private key"),
        (&["-c", "broken.conf"], &[], "broken.conf is not a configuration file, and has a private key"),
        (&["-c", "broken.yaml"], &[], "broken.yaml is not a configuration file, and has a private key"),
        (&["-c", "includes.conf"], &[], "includes.conf: a file that it includes has a private key"),
        (&["-c", "user.creds"], &[], "user.creds is not a configuration file, and has a private key"),
        (&["-operator", "op.nk"], &[], "op.nk: it has a private key in it, the seed of an operator"),
        (&["-operator", "user.creds"], &[], "user.creds: it is a creds file, which has a private key"),
        (&["-dump", "-operator", "user.creds"], &[], "user.creds: it is a creds file, which has a private key"),
        (&[], &[("NAS_SYSTEM_ACCOUNT", "op.nk")], "op.nk: it has a private key in it"),
        (&[], &[("NAS_SYSTEM_ACCOUNT", "user.creds")], "user.creds: it is a creds file"),
        (&["check", "-operator", "op.nk", "user.creds"], &[], "op.nk is no operator JWT: it has a private key"),
    ];
    for (args, variables, wanted) in table {
        let output = run(dir.path(), args, variables);
        let said = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{wanted}: {said}");
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert!(said.contains("it was not used; treat that key as disclosed"), "{wanted}: {said}");
        for hidden in [&seed[4..16], &user.seed().unwrap()[4..16]] {
            assert!(!said.to_uppercase().contains(hidden), "{wanted}: {said}");
        }
    }
}

/// Other things that people take for the JWT are named, with the file.
#[test]
fn what_is_given_for_the_operator_is_named_with_its_file() {
    let key = nkeys::KeyPair::new_operator().public_key();
    let dir = folder(&[("key", key.as_bytes()), ("page", b"<html>"), ("json", b"{}"), ("two", b"eyJ.a.b\neyJ.a.b")]);
    let table: &[Row<'_, &str>] = &[
        (&["-operator", "key"], &[], "operator JWT: key: it is the public key of an operator; its JWT is needed"),
        (&["-operator", &key], &[], "it is the public key of an operator; its JWT is needed"),
        (&["-operator", "page"], &[], "operator JWT: page: it is a page of HTML"),
        (&["-operator", "json"], &[], "operator JWT: json: it is JSON"),
        (&["-operator", "two"], &[], "operator JWT: two: it has several JWTs in it"),
        (&["-operator", "-----BEGIN X-----"], &[], "operator JWT: the text in the setting operator: it is"),
    ];
    for (args, variables, wanted) in table {
        let (code, said) = refused(dir.path(), args, variables);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert!(!said.contains("chunks"), "{said}");
    }
}

#[test]
fn odd_files_that_can_be_used_are_used() {
    let rows: &[(&str, &[u8], &str)] = &[
        ("x.conf", b"", "9090"),
        ("x.conf", b"\xef\xbb\xbfhttp { port: 1 }", "1"),
        ("x.conf", b"http {\r\n  port: 1 # c\r\n}\r\n", "1"),
        ("x.conf", b"http {\r  port: 1\r}\r", "1"),
        ("x.conf", b"http { port: 1 } }", "1"),
        ("X.CONF", b"{\"HTTP\": {\"Port\": \"1\"}}", "1"),
        ("x.json", b"\xef\xbb\xbf{\"http\": {\"port\": 1}}", "1"),
        ("x.toml", b"\xef\xbb\xbf[http]\r\nport = 1\r\n", "1"),
        ("x.yml", b"\xef\xbb\xbfhttp:\r\n  port: 1\r\n", "1"),
    ];
    for (name, content, port) in rows {
        let dir = folder(&[(name, content)]);
        let output = run(dir.path(), &["-c", name, "config"], &[]);
        let shown = String::from_utf8_lossy(content);
        assert!(output.status.success(), "{name} {shown}: {}", text(&output.stderr));
        let settings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(settings["http"]["port"].to_string(), *port, "{name} {shown}");
    }
}

#[test]
fn what_the_configuration_comes_to_can_be_seen_and_used_again() {
    let dir = folder(&[("x.conf", b"prot: 1\noperatorjwtpath: op.jwt\nhttp { port: 1 }")]);
    let output = run(dir.path(), &["-c", "x.conf", "-hp", ":2", "config"], &[("NAS_NATS__SERVERS", "u:secret@h")]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("warning: x.conf:1: unknown key prot"));
    assert!(!text(&output.stdout).contains("secret"));
    let again = dir.path().join("again.json");
    std::fs::write(&again, &output.stdout).unwrap();
    let second = run(dir.path(), &["-c", "again.json", "config"], &[]);
    assert_eq!(text(&second.stdout), text(&output.stdout));
}

#[test]
fn shells_and_man_get_what_they_read() {
    let dir = folder(&[]);
    for (shell, wanted) in
        [("bash", "complete -F"), ("zsh", "#compdef nats-account-server"), ("fish", "complete -c nats-account-server")]
    {
        let output = run(dir.path(), &["completions", shell], &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}");
        let script = text(&output.stdout);
        for part in [wanted, "delete-request", "operator"] {
            assert!(script.contains(part), "{shell}: {part}");
        }
    }
    let output = run(dir.path(), &["man"], &[]);
    assert!(output.status.success() && text(&output.stdout).contains(".TH nats-account-server 1"));
}

#[test]
fn a_tilde_is_the_home_folder_of_who_starts_it() {
    let dir = folder(&[("x.conf", b"http { port: 7 }")]);
    let output = run(dir.path(), &["-c=~/x.conf", "-dir=~/d", "config"], &[]);
    let settings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(settings["http"]["port"], 7);
    let wanted: PathBuf = dir.path().join("d");
    assert_eq!(settings["store"]["dir"], wanted.to_str().unwrap());
}
