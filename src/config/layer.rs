//! One source of settings, brought to the names and forms of this version.
//!
//! Sources are made alike before they are laid over each other; otherwise an old name in a file could not give way to the
//! new name in the environment.

use std::collections::BTreeMap;

use config::{Map, Source, Value, ValueKind};

use super::error::ConfigError;
use super::given::GivenText;
use super::schema::{self, Meaning, Reading};
use super::unknown;
use super::value::normalise;

/// The settings of one source: checked values under their paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    values: BTreeMap<&'static str, Accepted>,
}

#[derive(Clone, Debug)]
struct Accepted {
    value: Value,
    name: String,
    reading: Reading,
    old: bool,
}

impl Layer {
    /// Checks everything that one source gives. A wrong value is an error. An unknown key is a warning, except the keys
    /// that [`unknown`] names.
    pub(super) fn new(given: Vec<GivenText>, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for given in given {
            if given.is_private() {
                return Err(given.private());
            }
            match schema::meaning(&given.path) {
                Meaning::Setting(key, reading, old) => {
                    let normal =
                        normalise(key.kind, reading, &given.value).map_err(|what| given.error(Some(key.kind), what))?;
                    if let Some(kind) = normal {
                        let value = Value::new(Some(&given.origin()), kind);
                        layer.add(key.path, Accepted { value, name: given.name, reading, old }, warnings);
                    }
                }
                Meaning::Ignored(reason) => warnings.push(format!("{}: {} {reason}", given.origin(), given.name)),
                Meaning::Section => return Err(given.error(None, "a section, { … },".to_owned())),
                Meaning::Unknown => warnings.push(unknown::judge(&given)?),
            }
        }
        Ok(layer)
    }

    /// Flattens the tables of a file. Two spellings of one key are put in an order that does not depend on chance.
    pub(super) fn of_tables(map: Map<String, Value>, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let mut given = Vec::new();
        flatten("", map, &mut given);
        given.sort_by(|a, b| a.name.cmp(&b.name));
        Self::new(given, warnings)
    }

    /// Where a setting was given, if it was.
    pub(super) fn origin(&self, path: &str) -> Option<&str> {
        self.values.get(path)?.value.origin()
    }

    /// Drops a setting; says where it was given, if it was.
    pub(super) fn remove(&mut self, path: &str) -> Option<String> {
        self.values.remove(path).map(|accepted| accepted.value.origin().unwrap_or_default().to_owned())
    }

    fn add(&mut self, path: &'static str, new: Accepted, warnings: &mut Vec<String>) {
        let Some(held) = self.values.get(path) else {
            self.values.insert(path, new);
            return;
        };
        // `debug` and `trace` may both be on; the more talkative wins.
        if let (Reading::Level(_), Reading::Level(level)) = (held.reading, new.reading) {
            if level == "trace" {
                self.values.insert(path, new);
            }
            return;
        }
        // The Go server took the exact field name (in capitals) before others: the order in which they come.
        let (winner, loser) = if held.old && !new.old { (&new, held) } else { (held, &new) };
        let place = loser.value.origin().unwrap_or_default();
        warnings.push(format!("{place}: {} is not used, because {} says the same thing", loser.name, winner.name));
        let winner = winner.clone();
        self.values.insert(path, winner);
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.values.iter().map(|(path, accepted)| ((*path).to_owned(), accepted.value.clone())).collect())
    }
}

fn flatten(prefix: &str, map: Map<String, Value>, out: &mut Vec<GivenText>) {
    for (key, value) in map {
        let origin = value.origin().map(str::to_owned);
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        let path = name.to_lowercase();
        match value.kind {
            ValueKind::Table(inner) if matches!(schema::meaning(&path), Meaning::Section) => flatten(&name, inner, out),
            kind => out.push(GivenText { path, name, value: Value::new(origin.as_ref(), kind) }),
        }
    }
}
