//! Looks accounts up in a folder of JWT files, as a server that starts on it would read them. What only a journal has is missing:
//! when and how an account changed, and its history.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::{Failure, Piece, Wanted};
use crate::api::{AccountPage, AccountSummary, Cursor};
use crate::clock;
use crate::folder::{self, Layout, Unread, beside};
use crate::gate::{Entry, Gate, Standing, Via};
use crate::jwt::{self, given};
use crate::key::AccountKey;
use crate::node::{AccountState, listed_name};

/// The JWT files in a folder.
#[derive(Debug)]
pub(in crate::commands) struct FolderFiles {
    dir: PathBuf,
    /// In the order of their 32 bytes: as lists have them, and so many bytes for each account.
    keys: Vec<AccountKey>,
    /// Accepts what any operator signed, as a server without an operator does: which one it is, is the state.
    gate: Gate,
    standing: Standing,
    unread: RefCell<NotRead>,
}

/// What could not be read.
#[derive(Debug, Default)]
struct NotRead {
    count: usize,
    first: Option<String>,
}

impl NotRead {
    fn add(&mut self, why: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(why);
    }
}

impl FolderFiles {
    /// Lists the names of the files. `gate`: with the operator that is trusted.
    pub(super) fn open(dir: &Path, gate: &Gate) -> Result<Self, Failure> {
        let read = || {
            let layout = Layout::found(dir)?.unwrap_or(Layout::Flat);
            folder::list(dir, layout)
        };
        let listing = read().map_err(|error| Failure::Unclear(error.to_string()))?;
        let mut keys = listing.homes;
        keys.extend(listing.extras.into_iter().chain(listing.deleted).map(|file| file.key));
        keys.sort_unstable_by(|one, other| one.raw().cmp(other.raw()));
        keys.dedup();
        let mut unread = NotRead::default();
        for closed in listing.closed {
            unread.add(|| closed.error.to_string());
        }
        let standing = Standing::clone(&gate.standing());
        let gate = Gate::new(None, None, 0);
        Ok(Self { dir: dir.to_owned(), keys, gate, standing, unread: RefCell::new(unread) })
    }

    pub(super) fn place(&self) -> String {
        self.dir.display().to_string()
    }

    pub(super) fn piece(&self, wanted: &Wanted, from: Option<&str>, limit: usize) -> Piece {
        let after = from.and_then(|cursor| Cursor::Accounts.item(cursor));
        let begin = after.map_or(0, |after| self.keys.partition_point(|key| *key.raw() <= after));
        let keys = wanted.filter.key.as_ref().map_or(&self.keys[begin..], std::slice::from_ref);
        let mut accounts = Vec::new();
        let mut next = None;
        for key in keys {
            if accounts.len() >= limit {
                return Piece { accounts, next };
            }
            next = Some(Cursor::Accounts.after(key.raw()));
            accounts.extend(self.listed(wanted, key));
        }
        Piece { accounts, next: None }
    }

    /// An account, if it is wanted.
    fn listed(&self, wanted: &Wanted, key: &AccountKey) -> Option<AccountSummary> {
        let found = match self.read(key) {
            Ok(found) => found?,
            Err(why) => {
                self.unread.borrow_mut().add(|| why);
                return None;
            }
        };
        let (state, exp) = (self.state(&found), if let Found::Jwt(entry) = &found { entry.exp() } else { 0 });
        if !wanted.filter.wants(state, exp, None) {
            return None;
        }
        let listed = self.summary(key, &found);
        // Patterns are compared with the whole name.
        let whole = match &found {
            Found::Jwt(entry) => jwt::glance(entry.token()).map(|claims| claims.name),
            Found::Deleted(name) => name.clone(),
        };
        wanted.filter.wants_name(whole.as_deref()).then_some(listed)
    }

    pub(super) fn account(&self, key: &AccountKey) -> Result<Option<AccountPage>, Failure> {
        Ok(self.read(key)?.map(|found| match &found {
            Found::Jwt(entry) => AccountPage::of_file(entry, self.state(&found)),
            Found::Deleted(_) => AccountPage::bare(self.summary(key, &found)),
        }))
    }

    pub(super) fn unread(&self) -> Option<String> {
        let unread = self.unread.borrow();
        let first = unread.first.as_ref()?;
        Some(match unread.count {
            1 => format!("one file or folder cannot be used: {first}"),
            count => format!("{count} files or folders cannot be used; the first: {first}"),
        })
    }

    fn state(&self, found: &Found) -> AccountState {
        match found {
            Found::Jwt(entry) => {
                AccountState::of_jwt(entry.issuer(), entry.exp(), &self.standing, clock::unix_seconds())
            }
            Found::Deleted(_) => AccountState::Deleted,
        }
    }

    fn summary(&self, key: &AccountKey, found: &Found) -> AccountSummary {
        match found {
            Found::Jwt(entry) => AccountSummary::of_file(entry, self.state(found)),
            Found::Deleted(name) => AccountSummary::of_deleted_file(key, name.as_deref().map(listed_name)),
        }
    }

    /// What the files say of an account. The error says why its file cannot be used.
    fn read(&self, key: &AccountKey) -> Result<Option<Found>, String> {
        let places = folder::places(&self.dir, key);
        for path in &places {
            let why = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
            match folder::read(path) {
                Ok((_, bytes)) => {
                    let token = given(&bytes).map_err(|found| why(&found))?;
                    let admitted = self.gate.admit(token.as_bytes(), Some(key), Via::FirstScan, clock::unix_seconds());
                    return admitted.map(|entry| Some(Found::Jwt(entry))).map_err(|refusal| why(&refusal));
                }
                Err(Unread::Missing) => {}
                Err(unread) => return Err(format!("{} {unread}", path.display())),
            }
        }
        let deleted = places.iter().find_map(|path| folder::read(&beside(path, ".deleted")).ok());
        Ok(deleted.map(|(_, bytes)| {
            Found::Deleted(given(&bytes).ok().and_then(|token| jwt::glance(token.as_bytes())).map(|claims| claims.name))
        }))
    }
}

/// What the files say of an account.
#[derive(Debug)]
enum Found {
    /// This JWT.
    Jwt(Entry),
    /// It was deleted. This was its name.
    Deleted(Option<String>),
}
