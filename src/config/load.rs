//! Flags over environment over file over defaults.

use std::path::{Path, PathBuf};

use config::{Config, FileFormat, Format, Map, Value};

use super::checks;
use super::environment;
use super::error::ConfigError;
use super::given::GivenText;
use super::layer::Layer;
use super::nats_conf::NatsConf;
use super::nsc;
use super::settings::Settings;
use super::text_file::{self, MAX_TEXT};
use super::token_source::TokenSource;
use super::unknown;
use super::yaml;
use crate::key::seed;

/// The settings of the command line.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The configuration file.
    pub file: Option<PathBuf>,
    given: Vec<GivenText>,
}

impl Overrides {
    /// Names the configuration file, if there is one.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, given: Vec::new() }
    }

    /// Sets the key `path`, as in `http.port`; `flag` is the flag that said so, as in `-hp`.
    pub fn set(&mut self, path: &str, value: &str, flag: &str) {
        self.given.push(GivenText::text(path, value, &format!("flag {flag}")));
    }
}

impl AsRef<Self> for Overrides {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Settings {
    /// Reads the file that `overrides` names, and lays this process's environment and the flags over it.
    ///
    /// Also gives the warnings: they come before logging is set up, which these settings decide about.
    pub fn load(overrides: impl AsRef<Overrides>) -> Result<(Self, Vec<String>), ConfigError> {
        // Variables that are not UTF-8 belong to others.
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::load_with(overrides, environment)
    }

    /// As [`Settings::load`], with these environment variables.
    pub fn load_with(
        overrides: impl AsRef<Overrides>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let overrides = overrides.as_ref();
        let mut warnings = Vec::new();
        let file = match overrides.file.as_deref() {
            Some(path) => read_file(path, &mut warnings)?,
            None => Map::new(),
        };
        let mut tls = Vec::new();
        unknown::tls_sections("", &file, &mut tls);
        let mut layers = [
            Layer::of_tables(file, &mut warnings)?,
            Layer::new(environment::read(environment), &mut warnings)?,
            Layer::new(overrides.given.clone(), &mut warnings)?,
        ];
        one_store(&mut layers, &mut warnings);
        one_place_to_listen(&mut layers, &mut warnings);
        let mut builder = Config::builder();
        for layer in layers.clone() {
            builder = builder.add_source(layer);
        }
        let mut settings: Self = builder.build()?.try_deserialize()?;
        checks::check(&settings, &mut warnings)?;
        checks::tls_sections(&settings, &tls)?;
        if settings.strict && !warnings.is_empty() {
            return Err(ConfigError::Strict(warnings));
        }
        if settings.operator.is_none() {
            settings.operator = settings.store.nsc.as_deref().and_then(nsc::operator).map(TokenSource::Path);
        }
        Ok((settings, warnings))
    }
}

/// The tokens are in one place, which two keys can name. The source that counts more decides, so that `-dir` helps against an
/// nsc folder in the file; in one source it is as with the first Go server: `-nsc` before `-dir`, but `dir` before `nsc`.
fn one_store(layers: &mut [Layer; 3], warnings: &mut Vec<String>) {
    const FLAGS: usize = 2;
    let (dir, nsc) = ("store.dir", "store.nsc");
    let given = |path| layers.iter().rposition(|layer| layer.origin(path).is_some());
    let (Some(dir_at), Some(nsc_at)) = (given(dir), given(nsc)) else { return };
    let nsc_wins = nsc_at > dir_at || (nsc_at == dir_at && nsc_at == FLAGS);
    let (winner, loser) = if nsc_wins { (nsc, dir) } else { (dir, nsc) };
    for layer in layers {
        if let Some(origin) = layer.remove(loser) {
            warnings.push(format!("{origin}: {loser} has no effect, because {winner} is set"));
        }
    }
}

/// `-hp` and what it sets win over `http.listen`, as with the Go servers, which had nothing else.
fn one_place_to_listen(layers: &mut [Layer; 3], warnings: &mut Vec<String>) {
    let given = |path: &&str| layers.iter().any(|layer| layer.origin(path).is_some());
    let Some(winner) = ["http.host", "http.port"].into_iter().find(given) else { return };
    for layer in layers {
        if let Some(origin) = layer.remove("http.listen") {
            warnings.push(format!("{origin}: http.listen has no effect, because {winner} is set"));
        }
    }
}

/// Reads a configuration file; its extension says in which language it is.
fn read_file(path: &Path, warnings: &mut Vec<String>) -> Result<Map<String, Value>, ConfigError> {
    let text = text_file::read(path, MAX_TEXT).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text, warnings).map_err(|error| {
        // An error text would show it.
        if seed::is_in(&text) {
            ConfigError::PrivateFile { path: path.to_owned() }
        } else if seed::is_in(&error.to_string()) {
            let origin = format!("error reading configuration file {}", path.display());
            ConfigError::PrivateKey { key: "a file that it includes".to_owned(), origin }
        } else {
            error
        }
    })
}

fn parse(path: &Path, text: &str, warnings: &mut Vec<String>) -> Result<Map<String, Value>, ConfigError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let format = match extension.as_str() {
        "toml" => FileFormat::Toml,
        "yaml" | "yml" => FileFormat::Yaml,
        "json" => FileFormat::Json,
        _ => {
            let (map, odd) = NatsConf::read(path, text).map_err(|error| ConfigError::Syntax(Box::new(error)))?;
            warnings.extend(odd);
            return Ok(map);
        }
    };
    let fault = |problem| ConfigError::Format { path: path.to_owned(), problem };
    if matches!(format, FileFormat::Yaml) {
        yaml::check(text).map_err(fault)?;
    }
    let name = path.display().to_string();
    format.parse(Some(&name), text.trim_start_matches('\u{feff}')).map_err(|error| fault(error.to_string()))
}
