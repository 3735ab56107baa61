//! Command lines in the style of Go's `flag` package, rewritten for clap.

use std::ffi::OsString;

use clap::Command;

/// Flags with a value: each spelling, and clap's name.
const WITH_VALUE: &[(&str, &str)] = &[
    ("c", "config"),
    ("config", "config"),
    ("dir", "dir"),
    ("operator", "operator"),
    ("change-operator", "change-operator"),
    ("nats", "nats"),
    ("creds", "creds"),
    ("primary", "primary"),
    ("hp", "hp"),
    ("nsc", "nsc"),
    ("token-file", "token-file"),
];

/// Flags that are on or off.
const SWITCHES: &[(&str, &str)] = &[
    ("D", "debug"),
    ("debug", "debug"),
    ("V", "trace"),
    ("trace", "trace"),
    ("DV", "DV"),
    ("VD", "DV"),
    ("ro", "ro"),
    ("dump", "dump"),
    ("v", "version"),
    ("version", "version"),
    ("h", "help"),
    ("help", "help"),
];

/// Moves the server's flags, from before or after a command, to where clap expects them, in clap's form. The arguments of
/// a command keep their place and get a second dash where they need it.
///
/// An error is a text for standard error.
pub(super) fn rewrite(args: impl Iterator<Item = OsString>, definition: &Command) -> Result<Vec<OsString>, String> {
    let mut args = args.peekable();
    let mut out: Vec<OsString> = Vec::from_iter(args.next());
    let mut flags = GoFlags::default();
    while let Some(arg) = args.next_if(is_flag) {
        if let Some(arg) = flags.take(arg, &mut args)? {
            // Clap explains unknown flags well.
            out.push(double_dash(arg));
        }
    }
    // Go would silently take this as the end of all flags.
    if let (Some((name, None)), Some(word)) = (flags.0.last(), args.peek().and_then(|arg| arg.to_str()))
        && boolean(word).is_some()
    {
        return Err(format!("-{name} is on or off by itself: write -{name}={word}, or leave {word} out"));
    }
    let command = args.next();
    let own = command.as_ref().and_then(|name| definition.find_subcommand(name));
    let mut rest = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--" {
            rest.push(arg);
            break;
        }
        let is_servers =
            is_flag(&arg) && own.is_some_and(|command| name_of(&arg).is_some_and(|name| !has(command, name)));
        let kept = if is_servers { flags.take(arg, &mut args)? } else { Some(arg) };
        rest.extend(kept.map(|arg| if is_ours(&arg) { double_dash(arg) } else { arg }));
    }
    for (name, value) in flags.0 {
        let mut arg = OsString::from(format!("--{name}"));
        if let Some(value) = value {
            arg.push("=");
            arg.push(value);
        }
        out.push(arg);
    }
    out.extend(command.into_iter().chain(rest).chain(args));
    Ok(out)
}

/// Flags of the server by clap's name, with their values. As in Go, the last of two equal flags counts.
#[derive(Default)]
struct GoFlags(Vec<(&'static str, Option<OsString>)>);

impl GoFlags {
    /// Takes a flag, and its value from the arguments after it. Returns an argument that is not one of the server's flags.
    fn take(&mut self, arg: OsString, behind: &mut impl Iterator<Item = OsString>) -> Result<Option<OsString>, String> {
        let text = arg.into_string().map_err(|arg| format!("the argument {arg:?} is not UTF-8 text"))?;
        let body = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or(&text);
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        if let Some((_, long)) = WITH_VALUE.iter().find(|(known, _)| *known == name) {
            let value = match value {
                Some(value) => value.into(),
                // Go takes the next argument whatever it looks like.
                None => behind.next().ok_or_else(|| format!("flag needs an argument: -{name}; see -help"))?,
            };
            self.0.retain(|(held, _)| held != long);
            self.0.push((long, Some(value)));
        } else if let Some((_, long)) = SWITCHES.iter().find(|(known, _)| *known == name) {
            let on = match value {
                None => true,
                Some(value) => boolean(value)
                    .ok_or_else(|| format!("invalid boolean value {value:?} for -{name}: true or false is expected"))?,
            };
            self.0.retain(|(held, _)| held != long);
            if on {
                self.0.push((long, None));
            }
        } else {
            return Ok(Some(text.into()));
        }
        Ok(None)
    }
}

/// The name of a flag, without dashes and value.
fn name_of(arg: &OsString) -> Option<&str> {
    arg.to_str().map(|text| text.trim_start_matches('-').split('=').next().unwrap_or(text))
}

/// Whether a command or one of its subcommands has a flag of this name. Each has its own help.
fn has(command: &Command, name: &str) -> bool {
    let is_own = |arg: &clap::Arg| {
        arg.get_long_and_visible_aliases().is_some_and(|longs| longs.contains(&name))
            || arg.get_short().is_some_and(|short| name.chars().eq([short]))
    };
    matches!(name, "h" | "help")
        || command.get_arguments().any(is_own)
        || command.get_subcommands().any(|below| has(below, name))
}

/// Whether an argument is written as a flag that is, or may be, one of the server's with a long name.
fn is_ours(arg: &OsString) -> bool {
    let known = |name: &str| WITH_VALUE.iter().chain(SWITCHES).any(|(known, long)| *known == name && long == known);
    is_flag(arg) && name_of(arg).is_some_and(|name| name.len() > 1 && known(name))
}

/// The argument with two dashes.
fn double_dash(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text) => format!("--{}", text.trim_start_matches('-')).into(),
        None => arg,
    }
}

fn is_flag(arg: &OsString) -> bool {
    let bytes = arg.as_encoded_bytes();
    bytes.starts_with(b"-") && bytes != b"-" && bytes != b"--"
}

/// Help as it is documented: long flags of the Go servers have one dash. `help` is clap's text.
pub(super) fn one_dash(help: &str) -> String {
    let names = || ["operator", "dir", "nats", "creds", "primary", "hp", "ro", "nsc", "DV", "dump"];
    let line = |line: &str| {
        let name = line.trim_start().strip_prefix("--").and_then(|rest| rest.split([' ', '\n']).next());
        match (name, line.find("--")) {
            (Some(name), Some(at)) if at > 4 && names().contains(&name) => {
                let rest = &line[at + 2 + name.len()..];
                // What is described keeps its column.
                let (flag, text) = rest.split_once("  ").unwrap_or((rest, ""));
                let gap = if text.is_empty() { String::new() } else { " ".repeat(at - 2 + 1 + 2) };
                format!("  -{name}{flag}{gap}{text}")
            }
            _ => line.to_owned(),
        }
    };
    help.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The spellings that Go's `strconv.ParseBool` takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
