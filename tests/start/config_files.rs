//! Configuration files and environments as people have them.
// The lint's exception for tests does not reach the helpers of a test crate.
use std::path::PathBuf;
use std::time::Duration;

use nats_account_server::config::{
    ClientAuth, ConfigError, LogLevel, Overrides, PackResponder, ReplicaMode, ReplicaWrites, ResolverMode, Settings,
    SystemAccount, TokenSource,
};

/// Loads a file with this name and content, these variables, and these flags.
pub(crate) fn load(
    name: &str,
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<(Settings, Vec<String>), ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let mut overrides = Overrides::new(Some(path));
    for (key, value) in flags {
        overrides.set(key, value, "-x");
    }
    Settings::load_with(overrides, variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

pub(crate) fn conf(text: &str) -> Result<(Settings, Vec<String>), ConfigError> {
    load("nas.conf", text, &[], &[])
}

/// The text of a warning or error without the folder that the file is in.
pub(crate) fn without_folder(text: &str) -> String {
    match text.find("nas.") {
        Some(at) if text.starts_with('/') => text.split_at(at).1.to_owned(),
        _ => text.to_owned(),
    }
}

pub(crate) fn fault(text: &str) -> String {
    without_folder(&conf(text).unwrap_err().to_string())
}

const HELM: &str = r#"
operatorjwtpath: "/etc/nats-config/operator/operator.jwt"
systemaccountjwtpath: "/etc/nats-config/system/sys.jwt"
http {
  host: "0.0.0.0"
  port: 9090
  readtimeout: 3000,
}
nats {
  servers: [nats://nats:4222]
  usercredentials: "/etc/nats-config/sys.creds"
  reconnectwait: "2500"
}
store {
  dir: "/store",
}
"#;

const HELM_AS_TOML: &str = r#"
operator = "/etc/nats-config/operator/operator.jwt"
system_account = "/etc/nats-config/system/sys.jwt"
[http]
host = "0.0.0.0"
port = 9090
read_timeout = "3s"
[nats]
servers = "nats://nats:4222"
creds = "/etc/nats-config/sys.creds"
reconnect_wait = "2500ms"
[store]
dir = "/store"
"#;

const HELM_AS_YAML: &str = "
operatorjwtpath: /etc/nats-config/operator/operator.jwt
systemAccountJWTPath: /etc/nats-config/system/sys.jwt
http: {host: 0.0.0.0, port: '9090', readTimeout: 3000}
nats: {servers: [nats://nats:4222], userCredentials: /etc/nats-config/sys.creds, reconnectWait: 2500}
store: {dir: /store, nsc: null}
";

#[test]
fn the_file_of_the_old_chart_means_the_same_in_every_language() {
    let mut wanted = Settings {
        operator: Some(TokenSource::Path("/etc/nats-config/operator/operator.jwt".into())),
        system_account: Some(SystemAccount::Token(TokenSource::Path("/etc/nats-config/system/sys.jwt".into()))),
        ..Settings::default()
    };
    wanted.http.host = "0.0.0.0".to_owned();
    wanted.http.read_timeout = Duration::from_secs(3);
    wanted.nats.servers = vec!["nats://nats:4222".to_owned()];
    wanted.nats.creds = Some("/etc/nats-config/sys.creds".into());
    wanted.nats.reconnect_wait = Duration::from_millis(2500);
    wanted.store.dir = Some(PathBuf::from("/store"));

    let files = [("a.conf", HELM), ("a", HELM), ("a.cfg", HELM), ("a.toml", HELM_AS_TOML), ("a.yaml", HELM_AS_YAML)];
    for (name, text) in files {
        assert_eq!(load(name, text, &[], &[]).unwrap(), (wanted.clone(), vec![]), "{name}");
    }
    let json = serde_json::to_string(&serde_json::json!({
        "OperatorJWTPath": "/etc/nats-config/operator/operator.jwt",
        "SystemAccountJWTPath": "/etc/nats-config/system/sys.jwt",
        "HTTP": {"Host": "0.0.0.0", "Port": 9090, "ReadTimeout": 3000},
        "NATS": {"Servers": ["nats://nats:4222"], "UserCredentials": "/etc/nats-config/sys.creds", "ReconnectWait": 2500},
        "Store": {"Dir": "/store"},
    }))
    .unwrap();
    for name in ["a.json", "a.conf"] {
        assert_eq!(load(name, &json, &[], &[]).unwrap(), (wanted.clone(), vec![]), "JSON in {name}");
    }
}

#[test]
fn nothing_set_is_the_default() {
    assert_eq!(Settings::load_with(Overrides::default(), []).unwrap(), (Settings::default(), vec![]));
    assert_eq!(conf("").unwrap(), (Settings::default(), vec![]));
    let empty = "operatorjwtpath: \"\", primary: \"\", store { dir: \"\" }, nats { servers: [] }, http {}, admin {}";
    assert_eq!(conf(empty).unwrap(), (Settings::default(), vec![]));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    type Given<'a> = &'a [(&'a str, &'a str)];
    let table: &[(&str, Given<'_>, Given<'_>, u16)] = &[
        ("", &[], &[], 9090),
        ("http { port: 1 }", &[], &[], 1),
        ("http { port: 1 }", &[("NAS_HTTP__PORT", "2")], &[], 2),
        ("http { port: 1 }", &[("NAS_HTTP__PORT", "")], &[], 1),
        ("http { port: 1 }", &[("NAS_HTTP__PORT", "2")], &[("http.port", "3")], 3),
        ("http { port: 1 }", &[], &[("http.port", "3")], 3),
        ("", &[("NAS_HTTP__PORT", "2")], &[], 2),
    ];
    for (file, variables, flags, wanted) in table {
        let (settings, _) = load("nas.conf", file, variables, flags).unwrap();
        assert_eq!(settings.http.port, *wanted, "{file} {variables:?} {flags:?}");
    }
}

#[test]
fn an_old_name_below_gives_way_to_a_new_name_above() {
    let variables =
        [("NAS_OPERATOR", "new.jwt"), ("NAS_NATS__CONNECT_TIMEOUT", "7s"), ("NAS_REPLICATIONTIMEOUT", "900")];
    let file = "operatorjwtpath: old.jwt\nnats { connecttimeout: 1 }\nreplica { timeout: 3s }";
    let (settings, warnings) = load("nas.conf", file, &variables, &[]).unwrap();
    assert_eq!(settings.operator, Some(TokenSource::Path("new.jwt".into())));
    assert_eq!(settings.nats.connect_timeout, Duration::from_secs(7));
    assert_eq!(settings.replica.timeout, Duration::from_millis(900));
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_folder_on_the_command_line_keeps_the_rest_of_its_section() {
    let (settings, _) = load("nas.conf", "store { dir: a, shard: true }", &[], &[("store.dir", "b")]).unwrap();
    assert_eq!(settings.store.dir, Some("b".into()));
    assert!(settings.store.shard);
}

#[test]
fn values_are_taken_in_every_form() {
    let text = "
        primary: [\"http://a:1/\", https://b/jwt/v1]
        operator: eyJhbGciOiJlZDI1NTE5In0.eyJ4IjoxfQ.c2ln
        http { port: \"80\", read_timeout: 250ms, write_timeout: 0, workers: 3 }
        store { shard: yes, history: 7, cache_bytes: 1MiB, max_iat_ahead: \"1h30m\" }
        nats { servers: \"nats://a:1, b:2\", sync_interval: \"2m\", resolver: off, pack_responder: on }
        replica { cache_bytes: \"512KB\", mode: Cache, writes: forward }
        logging { debug: true, trace: false, time: \"FALSE\", pid: on }";
    let (settings, warnings) = conf(text).unwrap();
    // Nothing is misread; what this version does not use yet is said.
    for key in ["primary mixes https and http", "nats.pack_responder"] {
        assert!(warnings.iter().any(|warning| warning.starts_with(key)), "{key}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(settings.primary, ["http://a:1", "https://b"]);
    assert!(matches!(settings.operator, Some(TokenSource::Inline(_))));
    assert_eq!((settings.nats.resolver, settings.nats.pack_responder), (ResolverMode::Off, PackResponder::On));
    assert_eq!(settings.http.port, 80);
    assert_eq!(settings.http.read_timeout, Duration::from_millis(250));
    assert_eq!(settings.http.write_timeout, Duration::ZERO);
    assert!(settings.store.shard);
    assert_eq!(settings.store.cache_bytes, 1 << 20);
    assert_eq!(settings.store.max_iat_ahead, Duration::from_secs(5400));
    assert_eq!(settings.nats.servers, ["nats://a:1", "b:2"]);
    assert_eq!((settings.replica.cache_bytes, settings.replica.writes), (512 << 10, ReplicaWrites::Forward));
    assert_eq!(settings.log.level, LogLevel::Debug);
    assert!(!settings.log.time && settings.log.pid);
}

#[test]
fn the_more_talkative_of_the_old_switches_wins() {
    for text in ["logging { debug: true, trace: true }", "logging { trace: true, debug: true }"] {
        let (settings, warnings) = conf(text).unwrap();
        assert_eq!((settings.log.level, warnings.len()), (LogLevel::Trace, 0), "{text}");
    }
}

#[test]
fn a_signing_service_is_set_up_by_its_old_names_and_its_new_ones() {
    for text in [
        "SignRequestSubject: sign.accounts, SignRequestTimeout: 1500, nats { servers: n }, operator: o",
        "nats { servers: n, sign_request_subject: sign.accounts, sign_request_timeout: 1500ms }, operator: o",
    ] {
        let (settings, warnings) = conf(text).unwrap();
        assert_eq!(settings.nats.sign_request_subject.as_deref(), Some("sign.accounts"), "{text}");
        assert_eq!(settings.nats.sign_request_timeout, Duration::from_millis(1500), "{text}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    let (settings, warnings) = conf("signrequestsubject: \"\", nats { servers: n }, operator: o").unwrap();
    assert_eq!(settings.nats.sign_request_subject, None, "an empty one is none");
    assert_eq!(settings.nats.sign_request_timeout, Duration::from_secs(1));
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn the_size_of_an_old_replicas_pack_says_what_a_replica_keeps() {
    for (text, mode) in [
        ("", ReplicaMode::Cache),
        ("maxreplicationpack: 0", ReplicaMode::Cache),
        ("maxReplicationPack: 10000", ReplicaMode::Mirror),
        ("maxreplicationpack: \"-1\"\nreplica { mode: cache }", ReplicaMode::Cache),
        ("maxreplicationpack: -1", ReplicaMode::Mirror),
        ("replica { mode: mirror }", ReplicaMode::Mirror),
    ] {
        match conf(text) {
            Ok((settings, _)) => assert_eq!(settings.replica.mode, mode, "{text}"),
            Err(error) => assert!(text.contains("\"-1\""), "{text}: {error}"),
        }
    }
}

#[test]
fn tls_has_the_names_of_nats_server_too() {
    let text = "http { tls { cert_file: a, key_file: b, ca_file: c, verify: true } }\n\
                nats { servers: x, tls { cert_file: d, key_file: e, ca_file: f } }\n\
                primary: 'https://p'\nreplica { tls { cert_file: g, key_file: h, ca_file: i } }";
    let (settings, warnings) = conf(text).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let tls = &settings.http.tls;
    assert_eq!(tls.client_auth(), ClientAuth::Required);
    let all = [&tls.files(), &settings.nats.tls, &settings.replica.tls];
    let names = all.map(|tls| [&tls.cert, &tls.key, &tls.root].map(|file| file.clone().unwrap().display().to_string()));
    assert_eq!(names.concat().concat(), "abcdefghi");
    let (settings, _) = conf("http { tls { cert: a, key_file: b, ca_file: c, verify: no } }").unwrap();
    assert_eq!(settings.http.tls.client_auth(), ClientAuth::Optional);
}

#[test]
fn a_root_of_old_asks_clients_for_certificates_and_locks_nobody_out() {
    let auth =
        |text: &str| conf(&format!("http {{ tls {{ cert: a, key: b {text} }} }}")).unwrap().0.http.tls.client_auth();
    assert_eq!(auth(""), ClientAuth::Off);
    assert_eq!(auth(", root: c"), ClientAuth::Optional);
    assert_eq!(auth(", root: c, client_auth: REQUIRED"), ClientAuth::Required);
    assert_eq!(auth(", root: c, client_auth: off"), ClientAuth::Off);
    // In this language it is a boolean.
    assert_eq!(auth(", root: c, client_auth: no"), ClientAuth::Off);
    for text in ["client_auth: yes", "client_auth: true", "client_auth: 1"] {
        assert!(conf(&format!("http {{ tls {{ cert: a, key: b, root: c, {text} }} }}")).is_err(), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_value_panics(value in proptest::prop_oneof!["[0-9]{0,25}(ms|s|m|h|d|kb|MiB|eib)?", "https?://.{0,9}", ".*"]) {
        for variable in [
            "NAS_OPERATOR", "NAS_SYSTEM_ACCOUNT", "NAS_PRIMARY", "NAS_HTTP__HOST", "NAS_HTTP__PORT", "NAS_HTTP__READTIMEOUT",
            "NAS_HTTP__READ_TIMEOUT", "NAS_STORE__CACHE_BYTES", "NAS_STORE__SHARD", "NAS_NATS__SERVERS", "NAS_LOG__LEVEL",
        ] {
            let result = Settings::load_with(Overrides::default(), [(variable.to_owned(), value.clone())]);
            if let Err(error) = result {
                assert!(matches!(error, ConfigError::Value { .. }), "{variable}={value:?}: {error}");
            }
        }
    }

    #[test]
    fn no_name_of_a_variable_panics(name in "NAS_[A-Z_.\\[\\]é]*", value in "[a-z0-9]*") {
        let _ = Settings::load_with(Overrides::default(), [(name, value)]);
    }
}

#[test]
fn of_two_places_for_the_tokens_one_counts() {
    type Given<'a> = &'a [(&'a str, &'a str)];
    let (dir, nsc) = (("store.dir", "/d"), ("store.nsc", "/n"));
    let table: &[(&str, Given<'_>, Given<'_>, &str)] = &[
        // As in the code of the first Go server; its manual said otherwise.
        ("store { dir: /d, nsc: /n }", &[], &[], "/d"),
        ("store { nsc: /n }", &[], &[dir], "/d"),
        ("store { dir: /d }", &[], &[nsc], "/n"),
        ("", &[], &[dir, nsc], "/n"),
        ("store { nsc: /n }", &[("NAS_STORE__DIR", "/d")], &[], "/d"),
        ("store { dir: /d }", &[("NAS_STORE__NSC", "/n")], &[], "/n"),
    ];
    for (file, variables, flags, wanted) in table {
        let (settings, warnings) = load("nas.conf", file, variables, flags).unwrap();
        let (dir, nsc) = (settings.store.dir, settings.store.nsc);
        assert_eq!(dir.is_some(), nsc.is_none(), "{file} {variables:?} {flags:?}");
        assert_eq!(dir.or(nsc), Some(wanted.into()), "{file} {variables:?} {flags:?}");
        assert!(warnings.len() == 1 && warnings[0].contains("has no effect, because store."), "{warnings:?}");
    }
}
