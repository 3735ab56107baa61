//! The lists of `access`: entries with members, where all other settings are single values.
//!
//! A slip in them would leave a server open, or shut somebody out, so nothing in them is ignored: every member must be known,
//! and none may be missing. No error repeats a hash.

use config::{Map, Value, ValueKind};

use super::networks::network;
use super::settings::Scope;
use super::value::{is_name, text};

/// The entries of one list at most.
const MAX_ENTRIES: usize = 10_000;
/// The longest name of a subject, in bytes: that of a DNS name.
const MAX_SAN: usize = 253;
/// What is expected where there are no usable scopes.
const SCOPES: &str = "a list of read, list, push and admin, which may be empty,";

/// The form of the entries of a list.
#[derive(Debug)]
pub(super) struct AccessForm {
    /// The list as a whole, for messages.
    what: &'static str,
    /// The member that tells an entry from the others, and how it is read.
    id: (&'static str, MemberReading),
    /// The member with the secret, and how it is read.
    secret: Option<(&'static str, MemberReading)>,
}

/// How the text of a member is read. The error says what is expected.
type MemberReading = fn(&str) -> Result<String, String>;

pub(super) static USERS: AccessForm =
    AccessForm { what: "users", id: ("name", user_name), secret: Some(("password", password)) };
pub(super) static TOKENS: AccessForm =
    AccessForm { what: "tokens", id: ("name", name), secret: Some(("sha256", sha256)) };
pub(super) static CERTIFICATES: AccessForm = AccessForm { what: "certificates", id: ("san", san), secret: None };
pub(super) static NETWORKS: AccessForm = AccessForm { what: "networks", id: ("cidr", network), secret: None };

impl AccessForm {
    /// Reads a list, or its JSON in one text, as an environment variable has it. The error says what is expected.
    pub(super) fn read(&self, given: &ValueKind) -> Result<ValueKind, String> {
        let parsed;
        let entries = match given {
            ValueKind::Array(entries) => entries,
            ValueKind::String(json) => {
                let read = serde_json::from_str::<Vec<Map<String, Value>>>(json);
                parsed = read.map_err(|_| format!("a list of {}, or its JSON,", self.what))?;
                &parsed.into_iter().map(Value::from).collect()
            }
            _ => return Err(format!("a list of {}", self.what)),
        };
        if entries.len() > MAX_ENTRIES {
            return Err(format!("a list of at most {MAX_ENTRIES} {}", self.what));
        }
        let mut seen = std::collections::HashSet::new();
        let mut read = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let (id, entry) = self
                .entry(entry)
                .map_err(|problem| format!("a list of {} (number {}: {problem})", self.what, at + 1))?;
            if !seen.insert(id.clone()) {
                return Err(format!("a list of {} (number {}: {id} is there twice)", self.what, at + 1));
            }
            read.push(entry);
        }
        Ok(ValueKind::Array(read))
    }

    /// Reads an entry. The error says what is wrong with it.
    fn entry(&self, entry: &Value) -> Result<(String, Value), String> {
        let ValueKind::Table(members) = &entry.kind else { return Err(format!("it must be {}", self.members())) };
        // Keys have any case, as everywhere.
        let mut given: Map<String, &Value> = members.iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        if given.len() < members.len() {
            return Err("a member is there twice".to_owned());
        }
        let mut read = Map::new();
        let mut member = |name: &str, reading: MemberReading| {
            let value =
                given.remove(name).ok_or_else(|| format!("{name} is missing; it must be {}", self.members()))?;
            let given = text(&value.kind, "a text").map_err(|_| format!("{name} must be a text in quotes"))?;
            let value = reading(given.trim()).map_err(|problem| format!("{name}: {problem}"))?;
            read.insert(name.to_owned(), Value::from(value.clone()));
            Ok::<_, String>(value)
        };
        let id = member(self.id.0, self.id.1)?;
        if let Some((name, reading)) = self.secret {
            member(name, reading).map_err(|problem| format!("{id}: {problem}"))?;
        }
        let scopes = given.remove("scopes").ok_or_else(|| format!("{id}: scopes are missing"))?;
        read.insert(
            "scopes".to_owned(),
            Value::new(
                None,
                self::scopes(&scopes.kind)
                    .map_err(|expected| format!("{id}: scopes must be {}", expected.trim_end_matches(',')))?,
            ),
        );
        match given.keys().next() {
            // The name alone: somebody may have mistaken the place of a password.
            Some(unknown) if is_name(unknown) => {
                Err(format!("{id}: {unknown:?} is unknown; it must be {}", self.members()))
            }
            Some(_) => Err(format!("{id}: a member is unknown; it must be {}", self.members())),
            None => Ok((id, Value::from(read))),
        }
    }

    fn members(&self) -> String {
        let names = [Some(self.id.0), self.secret.map(|(name, _)| name), Some("scopes")];
        format!("{{ {} }}", names.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Reads scopes: a list, or one text with commas. `none` is none, for environment variables, where an empty one is not set.
/// The error says what is expected.
pub(super) fn scopes(given: &ValueKind) -> Result<ValueKind, String> {
    let texts: Vec<&str> = match given {
        ValueKind::String(text) => text.split(',').collect(),
        ValueKind::Array(items) => items
            .iter()
            .map(|item| text(&item.kind, SCOPES))
            .collect::<Result<_, _>>()
            .map_err(|_| SCOPES.to_owned())?,
        _ => return Err(SCOPES.to_owned()),
    };
    let mut found: Vec<&str> = Vec::new();
    for text in texts.into_iter().map(str::trim).filter(|text| !text.is_empty() && *text != "none") {
        let scope = Scope::parse(&text.to_ascii_lowercase()).ok_or_else(|| SCOPES.to_owned())?;
        if !found.contains(&scope.name()) {
            found.push(scope.name());
        }
    }
    Ok(ValueKind::Array(found.into_iter().map(Value::from).collect()))
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text) { Ok(text.to_owned()) } else { Err("at most 64 characters on one line are expected".to_owned()) }
}

/// HTTP Basic separates name and password by the first colon.
fn user_name(text: &str) -> Result<String, String> {
    if text.contains(':') { Err("it must not contain a colon".to_owned()) } else { name(text) }
}

/// The form of a hash. Whether its cost has a bound that is kept, is decided where it is used.
fn password(text: &str) -> Result<String, String> {
    if ["$2a$", "$2b$", "$2y$", "$argon2id$"].iter().any(|start| text.starts_with(start)) {
        return Ok(text.to_owned());
    }
    Err("the hash of a password is expected, not the password: run `nats-account-server access hash`".to_owned())
}

fn sha256(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("the SHA-256 of the token is expected, 64 hexadecimal digits: run `nats-account-server access token`"
        .to_owned())
}

fn san(text: &str) -> Result<String, String> {
    let expected =
        "a name such as r1.replicas.example, *.replicas.example, spiffe://example/r1 or 10.0.0.7 is expected";
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let rest = text.strip_prefix("*.").unwrap_or(text);
    // One label at least two below the root: "*" and "*.com" would be everybody.
    let too_wide = rest.len() < text.len() && !rest.contains('.');
    if text.is_empty() || text.len() > MAX_SAN || text.contains(odd) || rest.contains('*') || too_wide {
        return Err(expected.to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::config::{Overrides, Scope, Settings};

    const HASH: &str = "$2b$10$secretsecretsecretsecre";

    fn load(name: &str, text: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let loaded = Settings::load_with(Overrides::new(Some(path)), []);
        loaded.map(|(settings, _)| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn every_language_can_say_who_may_do_what() {
        let digest = "AB".repeat(32);
        let conf = format!(
            "access {{ anonymous: []\n users: [ {{ name: nsc, password: \"{HASH}\", scopes: [read, push] }} ]\n \
             tokens: [ {{ name: ci, sha256: \"{digest}\", scopes: push }} ]\n \
             certificates: [ {{ san: \"*.replicas.example\", scopes: [read, list] }} ]\n \
             networks: [ {{ cidr: \"::ffff:10.0.0.0/104\", scopes: [] }} ] }}"
        );
        let toml = format!(
            "[access]\nanonymous = []\n[[access.users]]\nName = \"nsc\"\npassword = \"{HASH}\"\nscopes = [\"read\", \"push\"]\n\
             [[access.tokens]]\nname = \"ci\"\nsha256 = \"{digest}\"\nscopes = [\"push\"]\n[[access.certificates]]\nsan = \
             \"*.replicas.example\"\nscopes = [\"READ\", \"list\", \"read\"]\n[[access.networks]]\ncidr = \"10.0.0.0/8\"\nscopes = []\n"
        );
        let (conf, toml) = (load("a.conf", &conf).unwrap(), load("a.toml", &toml).unwrap());
        assert_eq!(conf.access, toml.access);
        assert_eq!(conf.access.anonymous, []);
        assert_eq!(conf.access.certificates[0].scopes, [Scope::Read, Scope::List]);
        assert_eq!(conf.access.networks[0].cidr.to_string(), "10.0.0.0/8");
        assert_eq!(conf.access.tokens[0].sha256.reveal(), digest.to_lowercase());
        let shown = format!("{:?} {}", conf.access, conf.dump());
        assert!(!shown.contains("secret") && !shown.to_lowercase().contains(&digest.to_lowercase()), "{shown}");
        let json = format!("[{{\"name\":\"nsc\",\"password\":\"{HASH}\",\"scopes\":[\"read\",\"push\"]}}]");
        let variables = [("NAS_ACCESS__USERS", &*json), ("NAS_ACCESS__ANONYMOUS", "none"), ("NAS_TOKEN", "mine")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (settings, warnings) = Settings::load_with(Overrides::default(), variables).unwrap();
        assert_eq!((settings.access.users, settings.access.anonymous), (conf.access.users, vec![]));
        assert_eq!((settings.token.unwrap().reveal(), warnings), ("mine", vec![]));
    }

    #[test]
    fn without_the_section_everybody_may_read_list_and_push() {
        assert_eq!(load("a.conf", "").unwrap().access.anonymous, [Scope::Read, Scope::List, Scope::Push]);
    }

    #[test]
    fn a_slip_is_an_error_that_shows_no_secret() {
        let user = |members: &str| format!("access {{ users: [ {{ {members} }} ] }}");
        for (text, said) in [
            ("acces { anonymous: [] }".to_owned(), "acces"),
            ("access { anonymus: [] }".to_owned(), "access.anonymus"),
            ("access { anonymous: [write] }".to_owned(), "a list of read, list, push and admin"),
            ("access { anonymous: 7 }".to_owned(), "a list of read"),
            ("access: open".to_owned(), "a section"),
            ("access { users: secret }".to_owned(), "a list of users"),
            ("access { users: [ secret ] }".to_owned(), "number 1: it must be { name, password, scopes }"),
            (user("name: a, password: \"secret\", scopes: [read]"), "a: password: the hash of a password is expected"),
            (user(&format!("name: a, password: \"{HASH}\"")), "a: scopes are missing"),
            (user(&format!("name: a, pasword: \"{HASH}\", scopes: [read]")), "password is missing"),
            (user(&format!("name: a, password: \"{HASH}\", scopes: [read], role: x")), "\"role\" is unknown"),
            (user(&format!("name: \"a:b\", password: \"{HASH}\", scopes: [read]")), "must not contain a colon"),
            (user(&format!("name: \"\", password: \"{HASH}\", scopes: [read]")), "at most 64 characters"),
            (user(&format!("name: a, password: \"{HASH}\", scopes: [root]")), "a: scopes must be a list of read"),
            (
                format!(
                    "access {{ users: [ {{ name: a, password: \"{HASH}\", scopes: [] }}, {{ name: a, password: \"{HASH}\", scopes: [] }} ] }}"
                ),
                "number 2: a is there twice",
            ),
            ("access { tokens: [ { name: a, sha256: secret, scopes: [] } ] }".to_owned(), "64 hexadecimal digits"),
            ("access { certificates: [ { san: \"*\", scopes: [] } ] }".to_owned(), "*.replicas.example"),
            ("access { certificates: [ { san: \"*.com\", scopes: [] } ] }".to_owned(), "*.replicas.example"),
            ("access { certificates: [ { san: \"a.*.b\", scopes: [] } ] }".to_owned(), "*.replicas.example"),
            ("access { networks: [ { cidr: \"10.0.0.1/8\", scopes: [] } ] }".to_owned(), "network 10.0.0.0/8"),
        ] {
            let error = load("a.conf", &text).expect_err(&text);
            assert!(error.contains(said) && !error.contains("secret\""), "{text}: {error}");
            assert!(!error.contains("secretsecret"), "{error}");
        }
    }
}
