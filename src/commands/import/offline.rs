//! A stopped primary: its journal and its folder, opened as the server opens them.
//!
//! A dry run does the same to a copy of the journal that goes away again, so what it says is what would happen.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::{existing_journal_of, gate_of, journal_of};
use super::ImportFate;
use super::source::ImportSource;
use crate::backup;
use crate::clock;
use crate::config::Settings;
use crate::gate::{Gate, SentFor, Via};
use crate::key::AccountKey;
use crate::metrics::{Metrics, Profile};
use crate::primary::{self, Directory, Primary};
use crate::store::journal::{self, CommitError};

/// How often to check whether the primary's own folder is imported.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the folder may take to follow, before that is left to the server.
const FOLLOW: Duration = Duration::from_secs(3600);

/// The primary, opened.
pub(super) struct Offline {
    primary: Arc<Primary>,
    gate: Arc<Gate>,
    directory: Option<Directory>,
    _copy: Option<CopiedJournal>,
}

impl Offline {
    pub(super) async fn open(settings: &Settings, source: &ImportSource, dry_run: bool) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot open the primary: {error}");
        journal_of(settings)?;
        if settings.store.readonly || settings.store.nsc.is_some() {
            return Err("the primary's folder is read-only: put the JWTs there instead".to_owned());
        }
        let real = |path: &Path| path.canonicalize().ok();
        if let (Some(from), Some(dir)) = (source.folder(), &settings.store.dir)
            && real(from).is_some_and(|from| Some(from) == real(dir))
        {
            return Err("this is the primary's own folder: the server imports it when it starts".to_owned());
        }
        let mut setup = primary::Setup::of(settings);
        let copy = if dry_run { Some(CopiedJournal::make(settings, &mut setup)?) } else { None };
        let gate = Arc::new(gate_of(settings).map_err(|error| failed(&error))?);
        let primary = Arc::new(Primary::open(&setup, gate.clone()).map_err(|error| failed(&error))?);
        primary.settle_operator().await;
        let mut directory = None;
        if dry_run {
            primary.go_without_scan();
        } else {
            let metrics = Arc::new(Metrics::new(Profile::primary()).map_err(|error| failed(&error))?);
            let begun =
                primary.start_directory(&metrics, settings.store.look_interval).map_err(|error| failed(&error))?;
            while !primary.progress().is_complete() {
                tokio::time::sleep(PAUSE).await;
            }
            directory = Some(begun);
        }
        Ok(Self { primary, gate, directory, _copy: copy })
    }

    pub(super) async fn account(&self, key: Option<&AccountKey>, token: &Bytes) -> Result<ImportFate, String> {
        let now = clock::unix_seconds();
        match self.primary.submit(token, key, Via::Import).await {
            Ok(submitted) if !submitted.changed => Ok(ImportFate::Same),
            Ok(submitted) if submitted.entry.is_expired(now) => Ok(ImportFate::TakenExpired),
            Ok(submitted) if self.gate.is_ahead(submitted.entry.iat(), now) => Ok(ImportFate::TakenAhead),
            Ok(_) => Ok(ImportFate::Taken),
            Err(error) => fate(error),
        }
    }

    pub(super) async fn activation(&self, token: &Bytes) -> Result<ImportFate, String> {
        match self.primary.submit_activation(token, SentFor::ANY, Via::Import).await {
            Ok(submitted) => Ok(if submitted.changed { ImportFate::Taken } else { ImportFate::Same }),
            Err(error) => fate(error),
        }
    }

    pub(super) async fn held(&self, key: &AccountKey) -> Result<Option<i64>, String> {
        let (primary, key) = (self.primary.clone(), *key);
        match tokio::task::spawn_blocking(move || primary.served(&key)).await {
            Ok(Ok(stored)) => Ok(stored.map(|stored| stored.entry.iat())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits for the folder, and closes the journal.
    pub(super) async fn close(mut self) {
        if let Some(directory) = &mut self.directory {
            directory.finish(FOLLOW).await;
        }
        self.primary.close().await;
    }
}

fn fate(error: CommitError) -> Result<ImportFate, String> {
    match error {
        CommitError::Refused(refusal) => Ok(ImportFate::of(&refusal)),
        CommitError::Failed(error) => Err(error.to_string()),
    }
}

/// A folder with a copy of the journal, which goes away with this value.
struct CopiedJournal(PathBuf);

impl CopiedJournal {
    /// Makes it, and has the primary use it. The folder of tokens is only read.
    fn make(settings: &Settings, setup: &mut primary::Setup) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot make a copy to try it on: {error}");
        let name = format!("nats-account-server-{}-{}", std::process::id(), clock::unix_millis());
        let copy = Self(std::env::temp_dir().join(name));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&copy.0)
            .map_err(|error| failed(&format!("{}: {error}", copy.0.display())))?;
        if let Ok(journal) = existing_journal_of(settings) {
            backup::copy(&journal, &copy.0.join(journal::FILE), |_, _| {}).map_err(|error| failed(&error))?;
        }
        setup.state_dir = Some(copy.0.clone());
        setup.require_existing = false;
        setup.source = match &settings.store.dir {
            Some(dir) if dir.is_dir() => primary::Source::ReadOnly(dir.clone()),
            _ => primary::Source::Memory,
        };
        Ok(copy)
    }
}

impl Drop for CopiedJournal {
    fn drop(&mut self) {
        // In the folder for what may go away anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}
