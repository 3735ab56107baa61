//! Command lines in the style of Go's `flag` package, rewritten for clap.

use std::ffi::OsString;

/// Flags with a value: what may be written, and clap's name.
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

/// Rewrites flags up to the first argument that is none: from there on a command has its own rules, and only dashes are
/// doubled.
///
/// An error is a text for standard error.
pub(super) fn rewrite(args: impl Iterator<Item = OsString>) -> Result<Vec<OsString>, String> {
    let mut args = args.peekable();
    let mut out: Vec<OsString> = Vec::from_iter(args.next());
    // As in Go, a flag given twice counts the last time.
    let mut flags: Vec<(&'static str, Option<OsString>)> = Vec::new();
    while let Some(arg) = args.next_if(is_flag) {
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
                None => args.next().ok_or_else(|| format!("flag needs an argument: -{name}; see -help"))?,
            };
            flags.retain(|(held, _)| held != long);
            flags.push((long, Some(value)));
        } else if let Some((_, long)) = SWITCHES.iter().find(|(known, _)| *known == name) {
            let on = match value {
                None => true,
                Some(value) => boolean(value)
                    .ok_or_else(|| format!("invalid boolean value {value:?} for -{name}: true or false is expected"))?,
            };
            flags.retain(|(held, _)| held != long);
            if on {
                flags.push((long, None));
            }
        } else {
            // Clap's words about unknown flags are better than any here.
            out.push(format!("--{body}").into());
        }
    }
    // Go would take this as the end of all flags, and not say so.
    if let (Some((name, None)), Some(word)) = (flags.last(), args.peek().and_then(|arg| arg.to_str()))
        && boolean(word).is_some()
    {
        return Err(format!("-{name} is on or off by itself: write -{name}={word}, or leave {word} out"));
    }
    for (name, value) in flags {
        let mut arg = OsString::from(format!("--{name}"));
        if let Some(value) = value {
            arg.push("=");
            arg.push(value);
        }
        out.push(arg);
    }
    out.extend(args.map(double_dash));
    Ok(out)
}

/// A flag of ours behind a command: with one dash it means the same as with two.
fn double_dash(arg: OsString) -> OsString {
    let name = arg.to_str().and_then(|text| text.strip_prefix('-')).map(|text| text.split('=').next().unwrap_or(text));
    let is_ours = name.is_some_and(|name| {
        name.len() > 1 && WITH_VALUE.iter().chain(SWITCHES).any(|(known, long)| *known == name && long == known)
    });
    if !is_ours {
        return arg;
    }
    let mut doubled = OsString::from("-");
    doubled.push(arg);
    doubled
}

fn is_flag(arg: &OsString) -> bool {
    let bytes = arg.as_encoded_bytes();
    bytes.starts_with(b"-") && bytes != b"-" && bytes != b"--"
}

/// The spellings that Go's `strconv.ParseBool` takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
