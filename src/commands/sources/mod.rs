//! Where commands look accounts up: at a running server, in the journal of a folder, or in its JWT files.
//!
//! The answers are the documents of the API, whoever gives them. A folder is only read.

mod failure;
mod files;
mod journal;
mod server;
mod wanted;

use super::asked::AskedListeners;
use super::{asked, gate_of, stored_journal_of};
use crate::api::{AccountPage, AccountSummary, VersionDiff, VersionList};
use crate::config::Settings;
use crate::key::AccountKey;

pub(super) use failure::Failure;
use files::FolderFiles;
use journal::FolderJournal;
use server::AskedServer;
pub(super) use wanted::Wanted;

/// Accounts of a piece of a list, at most.
pub(super) const PIECE: usize = 1000;

/// What is asked.
#[derive(Debug)]
pub(super) enum Source {
    /// A running server.
    Server(AskedServer),
    /// The journal in a folder.
    Journal(FolderJournal),
    /// The JWT files in a folder without a journal.
    Files(FolderFiles),
}

/// A piece of a list.
#[derive(Debug)]
pub(super) struct Piece {
    /// In the order of their keys. There may be none, and still more to come.
    pub(super) accounts: Vec<AccountSummary>,
    /// Where the next piece begins; `None`: this was the last one.
    pub(super) next: Option<String>,
}

impl Source {
    /// The server of `--url`, or else the one that runs on the folder of the settings or at their address, or that folder.
    pub(super) fn of(settings: &Settings, url: Option<&str>, offline: bool) -> Result<Self, Failure> {
        if let Some(AskedListeners { api: remote, .. }) = asked::server(settings, url, offline)? {
            return Ok(Self::Server(AskedServer::new(remote, url.is_some())));
        }
        if let Some(journal) = stored_journal_of(settings).ok().filter(|journal| journal.exists()) {
            return FolderJournal::open(&journal, gate_of(settings)?, &settings.primary).map(Self::Journal);
        }
        let dir = settings.store.dir.as_ref().ok_or_else(|| Failure::Unclear(asked::NOTHING_TO_READ.to_owned()))?;
        FolderFiles::open(dir, &gate_of(settings)?).map(Self::Files)
    }

    /// The server or the folder, for people.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Server(server) => server.place(),
            Self::Journal(journal) => journal.place(),
            Self::Files(files) => files.place(),
        }
    }

    /// Whether it answers without being waited for.
    pub(super) async fn is_at_hand(&self) -> bool {
        match self {
            Self::Server(server) => server.is_at_hand().await,
            Self::Journal(_) | Self::Files(_) => true,
        }
    }

    /// The next accounts of a list, at most `limit` of them, from where the piece before says.
    pub(super) async fn piece(&self, wanted: &Wanted, from: Option<&str>, limit: usize) -> Result<Piece, Failure> {
        match self {
            Self::Server(server) => server.piece(wanted, from, limit).await,
            Self::Journal(journal) => journal.piece(wanted, from, limit),
            Self::Files(files) => Ok(files.piece(wanted, from, limit)),
        }
    }

    /// All that is known of an account. `None`: nothing.
    pub(super) async fn account(&self, key: &AccountKey) -> Result<Option<AccountPage>, Failure> {
        match self {
            Self::Server(server) => server.account(key).await,
            Self::Journal(journal) => journal.account(key),
            Self::Files(files) => files.account(key),
        }
    }

    /// The name of an account, if it is known.
    pub(super) async fn name(&self, key: &AccountKey) -> Result<Option<String>, Failure> {
        let piece = self.piece(&Wanted::account(key), None, 1).await?;
        Ok(piece.accounts.into_iter().find(|account| account.key == key.text()).and_then(|account| account.name))
    }

    /// The stored versions of an account, the newest of them if there are many. `None`: they are not known.
    pub(super) async fn versions(&self, key: &AccountKey) -> Result<Option<VersionList>, Failure> {
        match self {
            Self::Server(server) => server.versions(key).await,
            Self::Journal(journal) => journal.versions(key).map(Some),
            Self::Files(_) => Ok(None),
        }
    }

    /// What differs between two versions of an account; see [`VersionDiff::places`].
    pub(super) async fn diff(
        &self,
        key: &AccountKey,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<VersionDiff, Failure> {
        match self {
            Self::Server(server) => server.diff(key, from, to).await,
            Self::Journal(journal) => journal.diff(key, from, to),
            Self::Files(files) => Err(Failure::Unclear(format!(
                "{} has no journal, and its JWT files have no earlier versions: ask the server, with --url",
                files.place()
            ))),
        }
    }

    /// What could not be read, so that accounts may be missing. `None`: all was read.
    pub(super) fn unread(&self) -> Option<String> {
        match self {
            Self::Server(_) | Self::Journal(_) => None,
            Self::Files(files) => files.unread(),
        }
    }
}
