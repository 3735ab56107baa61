//! Command lines old and new, as tables.

use super::*;
use crate::config::{LogLevel, Settings};

fn cli(line: &str) -> Result<Cli, Exit> {
    parse(std::iter::once("nats-account-server").chain(line.split_whitespace()))
}

/// The settings of a command line, as the JSON at `pointer`.
fn setting(line: &str, pointer: &str) -> String {
    let (settings, _) = Settings::load_with(cli(line).unwrap(), []).unwrap();
    serde_json::to_value(settings).unwrap().pointer(pointer).unwrap().to_string()
}

#[test]
fn flags_take_one_dash_or_two_and_both_forms_of_value() {
    for line in ["-dir /d", "--dir /d", "-dir=/d", "--dir=/d", "-dir /a -dir=/d", "-D=true -dir /d"] {
        assert_eq!(setting(line, "/store/dir"), "\"/d\"", "{line}");
    }
    for line in ["-c f.conf", "--c f.conf", "-c=f.conf", "--config f.conf", "-config=f.conf"] {
        assert_eq!(cli(line).unwrap().overrides.file, Some("f.conf".into()), "{line}");
    }
}

#[test]
fn every_flag_reaches_its_setting() {
    let table = [
        ("-operator op.jwt", "/operator", "\"op.jwt\""),
        ("-operator eyJ0.x.y", "/operator", "\"eyJ0.x.y\""),
        ("-nats nats://a:1,b:2", "/nats/servers", r#"["nats://a:1","b:2"]"#),
        ("-nats a:1 -creds /x.creds", "/nats/creds", "\"/x.creds\""),
        ("-primary http://p:1/", "/primary", r#"["http://p:1"]"#),
        ("-hp 0.0.0.0:8080", "/http/port", "8080"),
        ("-hp 0.0.0.0:8080", "/http/host", "\"0.0.0.0\""),
        ("-hp :8080", "/http/host", "\"0.0.0.0\""),
        ("-hp [::1]:8080", "/http/host", "\"::1\""),
        ("-D", "/log/level", "\"debug\""),
        ("-V", "/log/level", "\"trace\""),
        ("-DV", "/log/level", "\"trace\""),
        ("--DV", "/log/level", "\"trace\""),
        ("-D -V", "/log/level", "\"trace\""),
        ("-DV=false -D", "/log/level", "\"debug\""),
        ("-D=0", "/log/level", "\"info\""),
        ("-D -D=false", "/log/level", "\"info\""),
        ("", "/log/level", "\"info\""),
    ];
    for (line, pointer, wanted) in table {
        assert_eq!(setting(line, pointer), wanted, "{line}");
    }
    assert!(cli("-dump").unwrap().dump);
    assert!(!cli("-dump=false").unwrap().dump);
}

#[test]
fn wrong_command_lines_end_with_2_and_say_why() {
    let table = [
        ("-nope", "--nope"),
        ("-dri x", "--dri"),
        ("-dir", "flag needs an argument: -dir"),
        ("-D=maybe", "invalid boolean value"),
        ("-D true", "write -debug=true"),
        ("-ro false -dir x", "write -ro=false"),
        ("serve-me", "serve-me"),
    ];
    for (line, wanted) in table {
        let exit = cli(line).unwrap_err();
        assert_eq!((exit.code, exit.to_stderr), (2, true), "{line}");
        assert!(exit.text.contains(wanted), "{line}: {}", exit.text);
    }
}

#[test]
fn a_bad_address_is_a_start_error() {
    let exit = cli("-hp 9090").unwrap_err();
    assert_eq!(exit.code, 1);
    assert_eq!(exit.text, "error parsing hostport: address 9090: missing port in address\n");
}

#[test]
fn help_and_version_end_with_0() {
    for line in ["-h", "--h", "-help", "--help"] {
        let exit = cli(line).unwrap_err();
        assert_eq!((exit.code, exit.to_stderr), (0, false), "{line}");
        assert!(exit.text.contains("Examples:"));
    }
    for line in ["-v", "-version", "--version"] {
        let exit = cli(line).unwrap_err();
        assert_eq!((exit.code, exit.to_stderr), (0, false), "{line}");
        assert_eq!(exit.text, format!("nats-account-server {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_command_keeps_its_arguments() {
    let cli = cli("-D check --json --vectors -").unwrap();
    let Some(Command::Check(check)) = cli.command else { panic!("check") };
    assert!(check.json && check.vectors);
    assert_eq!(check.files, ["-"]);
}

#[test]
fn flags_count_before_and_behind_a_command() {
    for line in [
        "-dir /d flush",
        "flush -dir /d",
        "flush --dir=/d",
        "-dir /a flush -dir=/d",
        "backup file -dir /d",
        "import -D=false -dir /d --dry-run source",
        "operator trust -dir /d file",
        "serve -dir /d",
    ] {
        assert_eq!(setting(line, "/store/dir"), "\"/d\"", "{line}");
        assert!(cli(line).unwrap().command.is_some(), "{line}");
    }
    assert_eq!(setting("config -hp :1 -DV", "/http/port"), "1");
    assert_eq!(setting("config -hp :1 -DV", "/log/level"), "\"trace\"");
    assert_eq!(setting("config -D -D=false", "/log/level"), "\"info\"");
    assert_eq!(cli("config --c=f.conf").unwrap().overrides.file, Some("f.conf".into()));
    // A command's own flag stays its own, and what comes after two dashes is no flag.
    assert_eq!(setting("-creds /a import --creds /b nats://h", "/nats/creds"), "\"/a\"");
    let Some(Command::Check(check)) = cli("check -operator /o -- -dir").unwrap().command else { panic!("check") };
    assert_eq!((check.operator.as_deref(), &*check.files), (Some("/o"), &["-dir".to_owned()][..]));
    for line in ["flush -dir", "flush -D=maybe", "flush -nope", "serve more"] {
        assert_eq!(cli(line).unwrap_err().code, 2, "{line}");
    }
}

#[test]
fn serve_is_a_command_as_no_command_is() {
    assert!(matches!(cli("serve").unwrap().command, Some(Command::Serve)));
    assert!(cli("-dir /d").unwrap().command.is_none());
}

#[test]
fn help_reads_well_at_80_columns_and_shows_the_flags_as_the_pages_do() {
    let mut names: Vec<String> = definition().get_subcommands().map(|found| found.get_name().to_owned()).collect();
    names.push(String::new());
    for name in names {
        let by_command = cli(&format!("help {name}")).unwrap_err();
        let by_flag = cli(&format!("{name} -help")).unwrap_err();
        assert_eq!((by_command.code, by_flag.code), (0, 0), "{name}");
        for exit in [&by_command, &by_flag] {
            let wide = |line: &&str| line.chars().count() > 80 && !line.starts_with("Usage:");
            let wide: Vec<&str> = exit.text.lines().filter(wide).collect();
            assert!(wide.is_empty(), "{name}: {wide:#?}");
            assert!(!exit.text.contains("      --dir"), "{name}");
        }
    }
    let help = cli("help").unwrap_err().text;
    for line in ["  -dir <DIR>     ", "  -ro            ", "  -c, --config <FILE>", "      --change-operator <KEY>"] {
        assert!(help.contains(line), "{line}: {help}");
    }
    assert_eq!(cli("help nope").unwrap_err().code, 2);
}

#[test]
fn folders_that_are_only_read_are_chosen_by_flags() {
    let (settings, _) = Settings::load_with(cli("-dir /d -ro").unwrap(), []).unwrap();
    assert!(settings.store.readonly);
    let (settings, _) = Settings::load_with(cli("-nsc /n").unwrap(), []).unwrap();
    assert_eq!(settings.store.nsc.unwrap(), Path::new("/n"));
    let error = Settings::load_with(cli("-nsc /n -primary http://a:1").unwrap(), []).unwrap_err().to_string();
    assert!(error.contains("replicas cannot be run in NSC mode"), "{error}");
}

#[test]
fn a_tilde_is_the_home_folder() {
    let home = Path::new("/home/x");
    let table = [("~", "/home/x"), ("~/a", "/home/x/a"), ("~other/a", "~other/a"), ("a~", "a~"), ("./~", "./~")];
    for (given, wanted) in table {
        assert_eq!(expand_home(given, Some(home)), Path::new(wanted), "{given}");
    }
    assert_eq!(expand_home("~/a", None), Path::new("~/a"));
}

#[test]
fn the_level_of_the_command_line_wins() {
    let environment = [("NAS_LOG__LEVEL".to_owned(), "error".to_owned())];
    let (settings, _) = Settings::load_with(cli("-D").unwrap(), environment).unwrap();
    assert_eq!(settings.log.level, LogLevel::Debug);
}

#[test]
fn the_definition_of_the_flags_is_sound() {
    Flags::command().debug_assert();
}
