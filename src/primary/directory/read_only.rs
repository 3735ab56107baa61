//! The intake of a folder that somebody else maintains: it is only read, and an account whose file leaves it is removed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::closed::ClosedFolders;
use super::ignored::Ignored;
use super::intake::{Intake, Looked, Scanned, named};
use super::judge::FileVerdict;
use super::operator_files::{OperatorEdit, OperatorFiles};
use super::place::STILL;
use super::removals::Removals;
use super::reports::{self, Reports};
use super::scan::{self, Scan};
use super::source::Tokens;
use super::{Primary, activations};
use crate::folder::{self, Closed, FolderShard, Layout, Others, Unread, nsc};
use crate::gate::Via;
use crate::jwt::{AccountJwt, HashId, given};
use crate::key::AccountKey;
use crate::metrics::Metrics;
use crate::store::StoreError;
use crate::store::journal::{AccountStatus, Write};

/// Live accounts that are compared with the folder in one piece.
const PIECE: usize = 10_000;

/// The intake of a folder that is only read.
pub(super) struct ReadOnly {
    primary: Arc<Primary>,
    metrics: Arc<Metrics>,
    reports: Reports,
    /// Which account each file of an nsc folder is about: its name does not say.
    accounts: HashMap<PathBuf, AccountKey>,
    /// Files that are gone; more may follow.
    leaving: HashMap<PathBuf, AccountKey>,
    removals: Removals,
    closed: ClosedFolders,
    operator: OperatorFiles,
    ignored: Ignored,
}

/// What a closed sub-folder means, for people.
const THEN: &str = "no account that may be in it counts as removed; give this server's user the right to read it";

/// What a scan found.
struct FoundFiles {
    files: Vec<PathBuf>,
    activations: Vec<(PathBuf, HashId)>,
    folders: Vec<PathBuf>,
    closed: Vec<Closed>,
    others: Others,
}

impl ReadOnly {
    pub(super) fn new(primary: Arc<Primary>, metrics: Arc<Metrics>) -> Self {
        Self {
            primary,
            metrics,
            reports: Reports::default(),
            accounts: HashMap::new(),
            leaving: HashMap::new(),
            removals: Removals::default(),
            closed: ClosedFolders::default(),
            operator: OperatorFiles::default(),
            ignored: Ignored::default(),
        }
    }

    fn find(&self) -> Result<FoundFiles, StoreError> {
        match &self.primary.tokens {
            Tokens::Nsc(root) => {
                let (folders, files) = nsc::list(root)?;
                Ok(FoundFiles {
                    files,
                    activations: Vec::new(),
                    folders,
                    closed: Vec::new(),
                    others: Others::default(),
                })
            }
            Tokens::Foreign(root) => {
                let listing = folder::list(root, Layout::Flat)?;
                let homes = listing.homes.iter().map(|key| Layout::Flat.place(root, key));
                let files = homes.chain(listing.extras.into_iter().map(|extra| extra.path)).collect();
                let (folders, closed, others) = (listing.folders, listing.closed, listing.others);
                Ok(FoundFiles { files, activations: listing.activations, folders, closed, others })
            }
            Tokens::None | Tokens::Own(_) => Err(StoreError::Closed),
        }
    }

    /// The account that a file is about, if that is known without reading it.
    fn account_of(&self, path: &Path) -> Option<AccountKey> {
        match &self.primary.tokens {
            Tokens::Nsc(_) => self.accounts.get(path).copied(),
            _ => named(path),
        }
    }

    /// Whether there is another file of an account than the one at `path`.
    fn is_elsewhere(&self, key: &AccountKey, path: &Path) -> bool {
        self.primary.tokens.places(key).iter().any(|place| place.exists())
            || self.accounts.iter().any(|(other, held)| held == key && other != path && other.exists())
    }

    /// Whether a file of an account may be in a sub-folder that cannot be read.
    fn may_be_hidden(&self, key: &AccountKey) -> bool {
        let closed = self.closed.shards();
        self.closed.has_others()
            || (!closed.is_empty() && FolderShard::of(&key.text()).is_some_and(|shard| closed.contains(&shard)))
    }

    /// Imports one file. Returns whether to read it again later.
    fn file(&mut self, path: &Path, via: Via) -> Result<bool, StoreError> {
        let (look, bytes) = match folder::read(path) {
            Ok(read) => read,
            Err(Unread::Missing) => return Ok(false),
            Err(_) if via != Via::FirstScan && !folder::is_still(path, STILL) => return Ok(true),
            Err(unread) => {
                if self.reports.is_news(path) {
                    self.reports.say_with(path, &unread.to_string(), "what was served before stays");
                }
                return Ok(false);
            }
        };
        if via != Via::FirstScan && !look.is_still(STILL) {
            return Ok(true);
        }
        let key = match &self.primary.tokens {
            Tokens::Nsc(_) => {
                let key = subject(&bytes);
                if let Some(key) = key {
                    self.accounts.insert(path.to_owned(), key);
                }
                key
            }
            // Its owner may keep other things there.
            _ => match named(path) {
                Some(key) => Some(key),
                None => return Ok(false),
            },
        };
        match self.primary.judge(path, &bytes, key.as_ref(), via, &self.metrics)? {
            FileVerdict::Taken(_) | FileVerdict::Same => {}
            FileVerdict::Conflict(refusal) | FileVerdict::Refused(refusal) => {
                self.reports.say_with(path, &reports::refused(&refusal), "what was served before stays");
            }
        }
        Ok(false)
    }

    fn activation(&self, path: &Path, id: &HashId, via: Via) -> Result<bool, StoreError> {
        activations::import(&self.primary, &self.metrics, &self.reports, path, id, via)
    }

    /// Whether the accounts of an nsc folder have to wait because the operator's file was written: a key that is new in it may
    /// have signed them. Once the file is still, whoever waits for an edit is notified.
    fn operator_first(&mut self) -> bool {
        let Tokens::Nsc(root) = &self.primary.tokens else { return false };
        let edit = self.operator.look(root);
        if matches!(edit, OperatorEdit::First | OperatorEdit::Written) {
            self.primary.operator_edited.notify_one();
        }
        matches!(edit, OperatorEdit::BeingWritten | OperatorEdit::Written)
    }

    /// Removes accounts whose files were found missing now.
    fn remove(&mut self, mut missing: Vec<AccountKey>) {
        // The system account may come from the configuration, and without it no nats-server can be informed.
        let system = self.primary.gate.system_account();
        missing.retain(|key| Some(*key) != system && !self.may_be_hidden(key));
        let go = self.removals.believe(missing, self.primary.journal.count());
        // The names are gone with the accounts.
        let accounts: Vec<_> = go.iter().map(|key| self.primary.called(key)).collect();
        let writes = go.iter().map(|key| Write::Remove(*key, Via::EditedFile)).collect();
        for (account, outcome) in accounts.iter().zip(self.primary.journal.commit_all_blocking(writes)) {
            let key = account.key();
            self.removals.forget(key);
            match outcome {
                Ok(_) => {
                    tracing::info!(account = %key, "account {account} has left the folder, and is no longer served");
                }
                Err(error) => {
                    tracing::error!(account = %key, "account {account} has left the folder, but is still served: {error}");
                }
            }
        }
    }
}

impl Intake for ReadOnly {
    fn scan(&mut self, stop: &CancellationToken) -> Result<Scanned, StoreError> {
        if let Tokens::Foreign(root) = &self.primary.tokens {
            let mut listing = folder::list(root, Layout::Flat)?;
            scan::arrange(&mut listing);
            self.closed.are(&listing.closed, THEN);
            self.ignored.are(&listing.others);
            // Before the scan says of any account that it is imported.
            self.primary.progress.set_closed(self.closed.shards(), true);
            let scan = Scan {
                primary: &self.primary,
                metrics: &self.metrics,
                reports: &self.reports,
                root,
                layout: Layout::Flat,
                is_resumed: self.primary.journal.count() > 0,
                stop,
            };
            if !scan.run(&listing)? {
                return Ok(Scanned::Stopped);
            }
            for (path, id) in &listing.activations {
                self.activation(path, id, Via::FirstScan)?;
            }
            return Ok(Scanned::Done { folders: listing.folders, closed: self.closed.shards().to_vec() });
        }
        let found = self.find()?;
        self.primary.progress.begin(found.files.len());
        for path in found.files {
            if stop.is_cancelled() {
                return Ok(Scanned::Stopped);
            }
            self.file(&path, Via::FirstScan)?;
            self.primary.progress.advance(1);
        }
        Ok(Scanned::Done { folders: found.folders, closed: Vec::new() })
    }

    fn look(&mut self, since: SystemTime) -> Result<Looked, StoreError> {
        let found = self.find()?;
        self.closed.are(&found.closed, THEN);
        self.ignored.are(&found.others);
        if self.operator_first() {
            let closed = self.closed.shards().to_vec();
            return Ok(Looked { folders: found.folders, again: Vec::new(), closed, is_whole: false });
        }
        let mut again = Vec::new();
        for path in &found.files {
            let is_new = self.account_of(path).is_none();
            if (is_new || folder::changed(path).is_none_or(|at| at >= since)) && self.file(path, Via::EditedFile)? {
                again.push(path.clone());
            }
        }
        for (path, id) in &found.activations {
            if folder::changed(path).is_none_or(|at| at >= since) && self.activation(path, id, Via::EditedFile)? {
                again.push(path.clone());
            }
        }
        let there: HashSet<AccountKey> = found.files.iter().filter_map(|path| self.account_of(path)).collect();
        self.removals.are_there(&there);
        let (mut missing, mut after) = (Vec::new(), None);
        loop {
            let keys = self.primary.journal.live_keys(after.as_ref(), PIECE)?;
            let Some(last) = keys.last() else { break };
            after = Some(*last);
            missing.extend(keys.into_iter().filter(|key| !there.contains(key)));
        }
        // An unreadable file of nsc may be that of any missing account, because only its content says whose it is.
        let is_nsc = matches!(self.primary.tokens, Tokens::Nsc(_));
        if !is_nsc || found.files.iter().all(|path| self.account_of(path).is_some()) {
            self.remove(missing);
        }
        let closed = self.closed.shards().to_vec();
        Ok(Looked { folders: found.folders, again, closed, is_whole: true })
    }

    fn touched(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        if self.operator_first() {
            return files;
        }
        let files = match &self.primary.tokens {
            Tokens::Nsc(root) => files.into_iter().filter(|path| nsc::is_account_file(root, path)).collect(),
            _ => self.ignored.sort_out(files),
        };
        let (mut again, mut leaving) = (Vec::new(), HashMap::new());
        for path in files {
            if path.symlink_metadata().is_ok() {
                let done = match activations::named(&path) {
                    Some(id) => self.activation(&path, &id, Via::EditedFile),
                    None => self.file(&path, Via::EditedFile),
                };
                match done {
                    Ok(true) => again.push(path),
                    Ok(false) => {}
                    Err(error) => tracing::error!("{} is not imported: {error}", path.display()),
                }
            } else if let Some(key) = self.account_of(&path)
                && !self.is_elsewhere(&key, &path)
                && matches!(self.primary.journal.status(&key), Ok(AccountStatus::Live(_)))
            {
                leaving.insert(path, key);
            }
        }
        // Files are removed one after the other, so how many are gone is known only when no more follow. A folder that is
        // gone as a whole says nothing about its files.
        if !self.primary.tokens.root().is_some_and(Path::is_dir) {
            self.leaving.clear();
            return again;
        }
        self.leaving.retain(|path, _| path.symlink_metadata().is_err());
        let before = self.leaving.len();
        let touched: Vec<PathBuf> = leaving.keys().cloned().collect();
        self.leaving.extend(leaving);
        if self.leaving.len() > before {
            again.extend(touched);
        } else if !touched.is_empty() {
            let gone = std::mem::take(&mut self.leaving);
            for path in gone.keys() {
                self.accounts.remove(path);
            }
            self.remove(gone.into_values().collect());
        }
        again
    }

    fn wants_look(&self) -> Option<Duration> {
        if self.operator.is_awaited() {
            return Some(STILL);
        }
        self.removals.wait().map(|wait| wait + STILL)
    }
}

/// The account that a token says it is about.
fn subject(bytes: &[u8]) -> Option<AccountKey> {
    AccountKey::parse(&AccountJwt::decode(&given(bytes).ok()?).ok()?.claims.sub).ok()
}
