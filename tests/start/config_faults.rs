//! Configuration files with what cannot be used: each warning and error names the place, and what is expected.

use nats_account_server::config::{ConfigError, Overrides, Settings};

use crate::config_files::{conf, fault, load, without_folder};

fn warnings(text: &str) -> Vec<String> {
    conf(text).unwrap().1.iter().map(|warning| without_folder(warning)).collect()
}

#[test]
fn what_is_not_understood_or_has_no_effect_is_a_warning() {
    let table = [
        ("http {\n prot: 1 }", "nas.conf:2: unknown key http.prot; did you mean http.port?"),
        ("htpp { port: 1, host: x }", "nas.conf:1: unknown section htpp; did you mean http?"),
        ("jetstream: x", "nas.conf:1: unknown key jetstream"),
        (
            "nats { maxreconnects: 5 }",
            "nas.conf:1: nats.maxreconnects has no effect: the server reconnects to NATS without limit",
        ),
        (
            "signrequestsubject: x",
            "nats.sign_request_subject has no effect, because nats.servers is empty: NATS is not used",
        ),
        (
            "signrequestsubject: x, nats { servers: n }",
            "nats.sign_request_subject has no effect, because operator is not set: no JWT can be accepted",
        ),
        (
            "signrequestsubject: x, nats { servers: n }, operator: o, primary: \"http://p\"",
            "nats.sign_request_subject has no effect, because this server is a replica: accounts are pushed to its primary, \
             which asks the signing service",
        ),
        (
            "signrequestsubject: x, nats { servers: n }, operator: o, store { dir: d, readonly: true }",
            "nats.sign_request_subject has no effect, because store.readonly is set: nothing can be pushed to a \
             read-only folder",
        ),
        (
            "signrequestsubject: x, nats { servers: n }, operator: o, store { nsc: d }",
            "nats.sign_request_subject has no effect, because store.nsc is set: nothing can be pushed to a read-only \
             folder",
        ),
        (
            "primary: \"http://p\", store { import_from: \"http://q\" }",
            "store.import_from has no effect, because this server is a replica: it gets everything from its primary",
        ),
        (
            "store { dir: d, readonly: true, import_from: \"http://q\" }",
            "store.import_from has no effect, because store.readonly is set: that folder is read-only",
        ),
        (
            "signrequesttimeout: 500",
            "nats.sign_request_timeout has no effect, because nats.sign_request_subject is not set",
        ),
        ("admin { x: 1 }", "nas.conf:1: unknown key admin.x"),
        ("admin { tls { cert: a, key: b } }", "admin.tls has no effect, because admin.listen is not set"),
        ("nats { usercredentials: x }", "nats.creds has no effect, because nats.servers is empty: NATS is not used"),
        (
            "http { readtimeout: 1, read_timeout: 2s }",
            "nas.conf:1: http.readtimeout is not used, because http.read_timeout says the same thing",
        ),
        (
            "http { trusted_proxies: [10.0.0.1, '::/0'] }",
            "http.trusted_proxies contains ::/0: every client can claim any address; list only the proxies",
        ),
        (
            "HTTP { port: 1 }\nhttp { port: 2 }",
            "nas.conf:2: http.port is not used, because HTTP.port says the same thing",
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(warnings(text), [wanted], "{text}");
    }
    let (_, warnings) = load("nas.conf", "", &[("NAS_HTTP__PROT", "1"), ("NASTY", "1")], &[]).unwrap();
    assert_eq!(warnings, ["unknown environment variable NAS_HTTP__PROT; did you mean NAS_HTTP__PORT?"]);
}

#[test]
fn a_value_that_does_not_suit_its_key_is_said_with_its_place() {
    let long = "x".repeat(100);
    let table = [
        ("\nhttp { port: abc }", r#"nas.conf:2: http.port is "abc", but a whole number from 0 to 65535 is expected"#),
        ("http { port: 65536 }", "nas.conf:1: http.port is 65536, but a whole number from 0 to 65535 is expected"),
        ("http { port: -1 }", "nas.conf:1: http.port is -1, but a whole number from 0 to 65535 is expected"),
        ("http { port: 1.5 }", "nas.conf:1: http.port is 1.5, but a whole number from 0 to 65535 is expected"),
        (
            "http { host: localhost:9090 }",
            r#"nas.conf:1: http.host is "localhost:9090", but a host name or an address, without port, is expected"#,
        ),
        ("http: 5", "nas.conf:1: http is 5, but a section, { … }, is expected"),
        (
            "operator { x: 1 }",
            "nas.conf:1: operator is a section, but text (in quotes, if it looks like something else) is expected",
        ),
        ("operator: 5", "nas.conf:1: operator is 5, but text (in quotes, if it looks like something else) is expected"),
        ("HTTP { ReadTimeout: 5.5 }", "nas.conf:1: HTTP.ReadTimeout is 5.5, but a number of milliseconds is expected"),
        (
            "http { read_timeout: 5000 }",
            "nas.conf:1: http.read_timeout is 5000, but a time with its unit, such as \"5s\", \"250ms\" or \"2m\" in quotes, is expected",
        ),
        (
            "signrequestsubject: sign.*",
            r#"nas.conf:1: signrequestsubject is "sign.*", but a NATS subject such as sign.accounts, without wildcards, white space and empty parts, at most 255 bytes, is expected"#,
        ),
        (
            "nats { sign_request_subject: \"a b\" }",
            r#"nas.conf:1: nats.sign_request_subject is "a b", but a NATS subject such as sign.accounts, without wildcards, white space and empty parts, at most 255 bytes, is expected"#,
        ),
        (
            "nats { sync_interval: 1ms }",
            "nas.conf:1: nats.sync_interval is \"1ms\", but a time with its unit, at least 1000 ms, is expected",
        ),
        (
            "nats { connecttimeout: 0 }",
            "nas.conf:1: nats.connecttimeout is 0, but a number of milliseconds, at least 1 ms, is expected",
        ),
        ("replicationtimeout: -1", "nas.conf:1: replicationtimeout is -1, but a number of milliseconds is expected"),
        (
            "http { listen: [\"0.0.0.0:9090\", \"::1:9090\"] }",
            r#"nas.conf:1: http.listen is ["0.0.0.0:9090", "::1:9090"], but an address with its port such as 0.0.0.0:9090, or a list of them, (the IPv6 address in "::1:9090" needs brackets: [::1]:9090) is expected"#,
        ),
        (
            "http { listen: \"unix:/x\" }",
            r#"nas.conf:1: http.listen is "unix:/x", but an address with its port such as 0.0.0.0:9090, or a list of them, (a Unix socket is for admin.listen alone) is expected"#,
        ),
        (
            "admin { listen: 9091 }",
            "nas.conf:1: admin.listen is 9091, but an address with its port such as 127.0.0.1:9091, or a Unix socket such as unix:/run/admin.sock, (in quotes, if it looks like something else) is expected",
        ),
        (
            "admin { listen: \"unix:/x\", tls { cert: a, key: b } }",
            "admin.tls is set, but admin.listen is a Unix socket, which only this machine reaches: remove admin.tls",
        ),
        (
            "admin { tls { root: r } }",
            "nas.conf:1: the section admin.tls configures nothing: set cert and key, without which admin.listen speaks plain HTTP, or remove the section",
        ),
        (
            "store { import_from: \"u:secret@h:9090\" }",
            "nas.conf:1: store.import_from is \"u:secret@h:9090\", but a URL such as https://host:9090 (the scheme http:// or \
             https:// is missing) is expected",
        ),
        (
            "http { trusted_proxies: [10.0.0.0/8, lb.example.com] }",
            r#"nas.conf:1: http.trusted_proxies is ["10.0.0.0/8", "lb.example.com"], but an address or a network such as 10.0.0.0/8, or a list of them, (lb.example.com is neither an address nor a network; names and ports are not allowed here) is expected"#,
        ),
        (
            "http { trusted_proxies: 10.0.0.1/8 }",
            r#"nas.conf:1: http.trusted_proxies is "10.0.0.1/8", but an address or a network such as 10.0.0.0/8, or a list of them, (10.0.0.1/8 is an address in the network 10.0.0.0/8: give 10.0.0.1 or that network) is expected"#,
        ),
        ("store { shard: 1 }", "nas.conf:1: store.shard is 1, but true or false is expected"),
        ("store { shard: \"maybe\" }", "nas.conf:1: store.shard is \"maybe\", but true or false is expected"),
        (
            "store { cache_bytes: 5x }",
            "nas.conf:1: store.cache_bytes is \"5x\", but a size in bytes or with a unit, such as 67108864 or \"64MiB\", is expected",
        ),
        (
            "log { level: loud }",
            "nas.conf:1: log.level is \"loud\", but one of error, warn, info, debug, trace is expected",
        ),
        (
            "primary: nats://u:secret@h",
            "nas.conf:1: primary is \"nats://***@h\", but a URL such as https://host:9090, or a list of them, \
             (nats:// is neither http:// nor https://) is expected",
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(fault(text), wanted, "{text}");
    }
    assert!(fault(&format!("log {{ format: {long} }}")).len() < 150);
    // A bare `2m` is two million in this language, as it is for nats-server.
    assert!(fault("nats { sync_interval: 2m }").contains("is 2000000, but a time with its unit"));
    for text in
        ["nats { servers: [4222] }", "nats { servers: [1 ] }", "nats { servers: [http://h] }", "primary: \"host:9090\""]
    {
        assert!(fault(text).contains("is expected"), "{text}");
    }
    let error = load("nas.conf", "", &[("NAS_HTTP__PORT", "x")], &[]).unwrap_err().to_string();
    assert!(error.starts_with("environment variable NAS_HTTP__PORT: http.port is \"x\", but "), "{error}");
    let error = load("nas.conf", "", &[], &[("http.port", "x")]).unwrap_err().to_string();
    assert!(error.starts_with("flag -x: http.port is \"x\", but "), "{error}");
}

#[test]
fn settings_that_contradict_each_other_do_not_start() {
    let replica = "primary: 'https://u:p@h'\nreplica { token: x }";
    let table = [
        ("nats { tls { cert: a } }", "nats.tls.key is not set"),
        ("http { tls { cert: a } }", "http.tls.key is not set"),
        ("http { tls { key: a } }", "http.tls.cert is not set"),
        ("replica { tls { key: a } }", "replica.tls.cert is not set"),
        ("http { tls { client_auth: required } }", "http.tls.cert is not set"),
        ("http { tls { cert: a, key: b, client_auth: required } }", "http.tls.root is not set"),
        ("http { tls { cert: a, key: b, client_auth: optional } }", "http.tls.root is not set"),
        (replica, "exclude each other"),
        ("nats { servers: ['nats://u:p@h', 'nats://t@i'] }", "different users or tokens"),
    ];
    for (text, said) in table {
        let error = conf(text).unwrap_err();
        assert!(matches!(error, ConfigError::Conflict(_)) && error.to_string().contains(said), "{text}: {error}");
    }
    for good in [
        "http { tls { cert: a, key: b, client_auth: off } }",
        "http { tls { cert: a, key: b, root: c, client_auth: required } }",
        "http { tls { cert: a, key: b, root: c, client_auth: '' } }",
        "nats { servers: ['nats://u:p@h', i, 'nats://u:p@j'] }",
    ] {
        assert_eq!(conf(good).unwrap().1, Vec::<String>::new(), "{good}");
    }
    for (text, said) in [
        ("nats { tls { root: a } }", "nats.tls has no effect"),
        ("primary: 'http://h'\nreplica { tls { root: a } }", "replica.tls has no effect"),
    ] {
        assert!(conf(text).unwrap().1.concat().contains(said), "{text}");
    }
}

#[test]
fn a_tls_section_that_configures_nothing_does_not_start() {
    for text in [
        "http { tls {} }",
        "http { tls { cert: '', key: '' } }",
        "http { tls { root: a } }",
        "http { tls { client_auth: off } }",
        "HTTP { TLS { } }",
        "nats { tls {} }",
        "replica { tls { cert: '' } }",
        // Unknown names, where a slip would leave a port in the clear.
        "http { tls { certificate: a, private_key: b } }",
        "http { tls { cert: a, key: b, timeout: 2 } }",
        "nats { tls { root: a, insecure: true } }",
        "tls { cert_file: a, key_file: b }",
        "http { tsl { cert: a, key: b } }",
        "http { TLS_ { cert: a, key: b } }",
        "htpp { tls { cert: a, key: b } }",
        "store { tls { cert: a, key: b } }",
        "tls: true",
    ] {
        let error = conf(text).unwrap_err();
        assert!(matches!(error, ConfigError::Conflict(_)), "{text}: {error}");
        let said = error.to_string().to_lowercase();
        assert!(said.contains("tls") || said.contains("did you mean http?"), "{text}: {error}");
    }
    let error = conf("http {\n tls { certificate: a }\n}").unwrap_err().to_string();
    let known = "http.tls has cert (or cert_file), key (or key_file), root (or ca_file), client_auth (or verify)";
    assert!(error.contains("nas.conf:2: unknown key http.tls.certificate") && error.contains(known), "{error}");
    let error = conf("tls { }").unwrap_err().to_string();
    assert!(error.contains("http.tls is for HTTPS"), "{error}");
}

#[test]
fn a_slip_that_would_make_another_server_does_not_start() {
    for text in [
        "operater: op.jwt",
        "operators: [op.jwt]",
        "operator_jwt: op.jwt",
        "OPERATER: op.jwt",
        "system_acount: A",
        "system-account: A",
        "systemaccount: A",
        "primery: 'http://h'",
        "primary_url: 'http://h'",
        "http { primary: 'http://h' }",
        "store { operator: op.jwt }",
    ] {
        let error = conf(text).unwrap_err();
        assert!(error.to_string().contains("nas.conf:1: unknown key "), "{text}: {error}");
    }
    let variable = |name: &str| {
        Settings::load_with(Overrides::default(), [(name.to_owned(), "x".to_owned())]).map(|(_, warnings)| warnings)
    };
    for name in ["NAS_OPERATER", "NAS_SYSTEM_ACOUNT", "NAS_PRIMRY", "NAS_TLS__CERT", "NAS_HTTP__TSL__CERT"] {
        let error = variable(name).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    // What a cluster manager sets for services that are called nas-primary and nas-operator.
    for name in ["NAS_PRIMARY_SERVICE_HOST", "NAS_PRIMARY_PORT", "NAS_OPERATOR_PORT_9090_TCP", "NAS_PORT"] {
        assert_eq!(variable(name).unwrap().len(), 1, "{name}");
    }
    // Others stay what they were: files of the old servers must keep working.
    for text in ["jetstream: x", "cleanupinterval: 5", "http { prot: 1 }", "leafnodes { port: 1 }"] {
        assert_eq!(conf(text).unwrap().1.len(), 1, "{text}");
    }
}

#[test]
fn strict_makes_every_warning_an_error() {
    let error = conf("strict: true\nhttp { prot: 1 }\nnats { creds: x }").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ConfigError::Strict(_)), "{text}");
    for part in ["there are 2 warnings", "nas.conf:2: unknown key http.prot", "nats.creds has no effect"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(conf("strict: true\nhttp { port: 1 }").unwrap().0.strict);
    assert_eq!(conf("strict: false\nhttp { prot: 1 }").unwrap().1.len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Overrides::new(Some("no-such-file.conf".into()));
    let error = Settings::load_with(missing, []).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
    assert!(error.to_string().starts_with("error reading configuration file: no-such-file.conf: "));

    assert!(matches!(conf("a: ]"), Err(ConfigError::Syntax(_))));
    assert!(fault("\nhttp { port 1 2 }").contains("nas.conf:2:15: the end of the line is expected"));
    for name in ["a.toml", "a.json", "a.yaml"] {
        let error = load(name, "{ : [", &[], &[]).unwrap_err();
        assert!(matches!(error, ConfigError::Format { .. }), "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
}
