//! The settings in effect, for people to read.

use serde_json::Value;

use super::secret::Secret;
use super::settings::Settings;
use super::urls::{nats_without_password, without_password};
use crate::key::seed;

impl Settings {
    /// All settings as indented JSON, which is a valid configuration file but for secrets and passwords in URLs: those
    /// are covered.
    pub fn dump(&self) -> String {
        let mut covered = self.clone();
        for server in &mut covered.nats.servers {
            *server = nats_without_password(server);
        }
        for url in &mut covered.primary {
            *url = without_password(url);
        }
        if let Some(url) = &mut covered.store.import_from {
            *url = without_password(url);
        }
        let tokens = [&mut covered.token, &mut covered.replica.token].into_iter().flatten();
        let users = covered.access.users.iter_mut().map(|user| &mut user.password);
        // Whoever has the digest of a token that was made up can guess it.
        let digests = covered.access.tokens.iter_mut().map(|token| &mut token.sha256);
        for secret in tokens.chain(users).chain(digests) {
            *secret = Secret::covered();
        }
        // Neither step can fail for plain data with text as keys.
        let mut json = serde_json::to_value(covered).unwrap_or(Value::Null);
        // A section about TLS that configures nothing is an error in a file.
        for section in ["http", "admin", "nats", "replica"] {
            let members = json.get_mut(section).and_then(Value::as_object_mut);
            if let Some(members) = members
                && members.get("tls").and_then(Value::as_object).is_some_and(|tls| tls.values().all(Value::is_null))
            {
                members.remove("tls");
            }
        }
        let text = serde_json::to_string_pretty(&json).unwrap_or_default();
        seed::redact(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn a_dump_is_a_file_that_means_the_same() {
        let mut overrides = Overrides::default();
        for (key, value) in [
            ("operator", "op.jwt"),
            ("nats.servers", "a:1,b:2"),
            ("http.read_timeout", "250ms"),
            ("http.workers", "3"),
            ("http.trusted_proxies", "10.0.0.0/8,fd00::1"),
            ("store.dir", "/d"),
            ("log.level", "trace"),
        ] {
            overrides.set(key, value, "-x");
        }
        let (settings, _) = Settings::load_with(&overrides, []).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.json", "a.conf"] {
            // In the NATS configuration language `null` is a word.
            let text = settings.dump().replace("null", if name == "a.conf" { "\"\"" } else { "null" });
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let again = Settings::load_with(Overrides::new(Some(path)), []).unwrap();
            assert_eq!(again, (settings.clone(), vec![]), "{name}");
        }
    }

    #[test]
    fn passwords_are_not_dumped() {
        let mut settings = Settings { primary: vec!["http://u:secret@h".to_owned()], ..Settings::default() };
        settings.nats.servers = vec!["secret@h:1".to_owned(), "nats://u:secret@i".to_owned()];
        settings.replica.token = Some(Secret::from("secret".to_owned()));
        settings.store.import_from = Some("http://u:secret@h".to_owned());
        assert!(!settings.dump().contains("secret"), "{}", settings.dump());
        assert!(settings.dump().contains("***@h:1"), "{}", settings.dump());
        assert!(!format!("{:?}", settings.replica).contains("secret"));
    }
}
