//! Taking in the folder of JWTs that is found at start.
//!
//! Every file passes the gate. What is torn, foreign or not valid is reported with its name and left alone; the rest is
//! taken in. Files that the journal already knows, in this version or a newer one, change nothing.

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Primary;
use crate::clock;
use crate::gate::{Refusal, Via};
use crate::key::AccountKey;
use crate::store::StoreError;
use crate::store::folder::{self, TokenFile, Unread};
use crate::store::journal::CommitError;

/// Files that are admitted at the same time. More than the journal's queue would only wait there.
const AT_ONCE: usize = 128;
/// Refused files that are named one by one in the log; the rest is counted.
const NAMED: usize = 100;

/// What a scan of the folder came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Files named like an account's JWT.
    pub files: usize,
    /// Taken in as a change.
    pub taken: usize,
    /// Held already, in this version or a newer one.
    pub known: usize,
    /// Refused or unreadable: reported, left alone.
    pub refused: usize,
    /// `.jwt` files that are not named after an account.
    pub others: usize,
}

/// What a file holds.
enum Look {
    Same,
    Other(Vec<u8>),
    Unread(Unread),
}

enum Fate {
    Taken,
    Known,
    Unread(Unread),
    Refused(Refusal),
}

impl Primary {
    /// Takes in the files of the token folder.
    ///
    /// `refused` is called with every refusal of the gate.
    pub async fn scan(self: &Arc<Self>, refused: impl Fn(&Refusal)) -> Result<Summary, StoreError> {
        let Some(dir) = self.dir.clone() else { return Ok(Summary::default()) };
        let listing =
            tokio::task::spawn_blocking(move || folder::list(&dir)).await.map_err(|_| StoreError::Closed)??;
        for error in &listing.unreadable {
            tracing::warn!("part of the token folder is left out: {error}");
        }
        let others = listing.others.len();
        for (count, path) in listing.others.iter().enumerate() {
            report(path, "is not named after an account", count + 1);
        }
        let mut summary = Summary { files: listing.tokens.len(), others, ..Summary::default() };
        let mut tasks = JoinSet::new();
        let mut files = listing.tokens.into_iter();
        loop {
            while tasks.len() < AT_ONCE
                && let Some(file) = files.next()
            {
                tasks.spawn(self.clone().take_in(file));
            }
            let Some(done) = tasks.join_next().await else { break };
            let Ok((file, fate)) = done else { continue };
            match fate? {
                Fate::Taken => summary.taken += 1,
                Fate::Known => summary.known += 1,
                Fate::Unread(unread) => {
                    summary.refused += 1;
                    report(&file.path, &unread.to_string(), summary.refused);
                }
                Fate::Refused(refusal) => {
                    summary.refused += 1;
                    refused(&refusal);
                    report(&file.path, &format!("is refused: {refusal}"), summary.refused);
                }
            }
        }
        Ok(summary)
    }

    /// Takes in the file of one account, if there is one, before its turn. Returns whether that changed anything.
    pub async fn take_in_now(self: &Arc<Self>, key: &AccountKey) -> Result<bool, StoreError> {
        let Some(dir) = &self.dir else { return Ok(false) };
        for path in folder::places(dir, key) {
            let (_, fate) = self.clone().take_in(TokenFile { path, key: *key }).await;
            if let Fate::Taken = fate? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn take_in(self: Arc<Self>, file: TokenFile) -> (TokenFile, Result<Fate, StoreError>) {
        let (primary, wanted) = (self.clone(), file.clone());
        let looked = tokio::task::spawn_blocking(move || primary.look(&wanted)).await;
        let fate = match looked {
            Ok(Look::Same) => Ok(Fate::Known),
            Ok(Look::Unread(unread)) => Ok(Fate::Unread(unread)),
            Ok(Look::Other(bytes)) => self.judge(&file, &bytes).await,
            Err(_) => Err(StoreError::Closed),
        };
        (file, fate)
    }

    /// Reads a file. What is held already, byte for byte, need not be admitted again.
    fn look(&self, file: &TokenFile) -> Look {
        let bytes = match folder::read(&file.path) {
            Ok(bytes) => bytes,
            Err(unread) => return Look::Unread(unread),
        };
        // What is held but cannot be read may be put back by this very file.
        let held = self.journal.get(&file.key).ok().flatten();
        let same = held.is_some_and(|held| held.entry.token() == bytes.trim_ascii_end());
        if same { Look::Same } else { Look::Other(bytes) }
    }

    async fn judge(&self, file: &TokenFile, bytes: &[u8]) -> Result<Fate, StoreError> {
        match self.submit(bytes, Some(&file.key), Via::FirstScan).await {
            Ok(submitted) => {
                let now = clock::unix_seconds();
                if submitted.entry.is_expired(now) {
                    tracing::warn!("{} has expired; it is kept and served", file.path.display());
                } else if self.gate.is_ahead(submitted.entry.iat(), now) {
                    tracing::warn!("{} is dated in the future; it is kept and served", file.path.display());
                }
                Ok(if submitted.changed { Fate::Taken } else { Fate::Known })
            }
            Err(CommitError::Refused(refusal)) if refusal.is_conflict() => {
                tracing::debug!("{} is not taken in: {refusal}", file.path.display());
                Ok(Fate::Known)
            }
            Err(CommitError::Refused(refusal)) => Ok(Fate::Refused(refusal)),
            Err(CommitError::Failed(error)) => Err(StoreError::Unusable {
                path: self.journal.path().to_owned(),
                reason: format!("while taking in {}: {error}", file.path.display()),
            }),
        }
    }
}

fn report(path: &Path, reason: &str, count: usize) {
    match count.cmp(&NAMED) {
        std::cmp::Ordering::Less => tracing::warn!("{} {reason}; it is left as it is", path.display()),
        std::cmp::Ordering::Equal => tracing::warn!("further files that are refused are counted, not named"),
        std::cmp::Ordering::Greater => {}
    }
}
