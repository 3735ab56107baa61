//! Looks accounts up in a journal, which a server may be writing.

use std::path::Path;
use std::sync::Arc;

use super::{Failure, PIECE, Piece, Wanted};
use crate::api::{AccountList, AccountPage, Cursor, NoVersion, VersionDiff, VersionList};
use crate::gate::{Gate, Standing};
use crate::key::AccountKey;
use crate::node::{self, AccountDetail, History, OldText};
use crate::store::journal::{Role, trust_in};
use crate::store::{JournalReader, StoreError};

/// The journal in a folder.
#[derive(Debug)]
pub(in crate::commands) struct FolderJournal {
    reader: JournalReader,
    gate: Arc<Gate>,
}

impl FolderJournal {
    /// Opens it. `gate`: with the operator that is trusted if the journal has none. `primary`: where the primary is, if this is
    /// the folder of a replica.
    pub(super) fn open(path: &Path, gate: Gate, primary: &[String]) -> Result<Self, Failure> {
        let (chain, withdrawn) = trust_in(path).map_err(failed)?;
        if let Some(chain) = chain {
            gate.set_standing(Standing::restore(Some(Arc::new(chain)), withdrawn));
        }
        let gate = Arc::new(gate);
        let reader = JournalReader::of_foreign(path, gate.clone()).map_err(failed)?;
        let unclear = |why: &str| {
            let url = if primary.is_empty() { "URL".to_owned() } else { primary.join(" or --url ") };
            Err(Failure::Unclear(format!("{}: {why}: ask its primary, with --url {url}", path.display())))
        };
        match (reader.role(), reader.lacks()) {
            (Role::Cache, _) => unclear("a cache may lack accounts, and keeps no history"),
            (_, Some(why)) => unclear(why),
            (Role::Primary | Role::Mirror, None) => Ok(Self { reader, gate }),
        }
    }

    pub(super) fn place(&self) -> String {
        self.reader.path().display().to_string()
    }

    pub(super) fn piece(&self, wanted: &Wanted, from: Option<&str>, limit: usize) -> Result<Piece, Failure> {
        let after = from.and_then(|cursor| Cursor::Accounts.item(cursor)).map(AccountKey::from_raw);
        let (reader, standing) = (&self.reader, self.gate.standing());
        let page = node::AccountPage::read(reader, &standing, &wanted.filter, after.as_ref(), limit).map_err(failed)?;
        let AccountList { accounts, next, .. } = AccountList::of(page);
        Ok(Piece { accounts, next })
    }

    pub(super) fn account(&self, key: &AccountKey) -> Result<Option<AccountPage>, Failure> {
        let detail = AccountDetail::read(&self.reader, &self.gate.standing(), key).map_err(failed)?;
        Ok(detail.map(AccountPage::of))
    }

    pub(super) fn versions(&self, key: &AccountKey) -> Result<VersionList, Failure> {
        Ok(VersionList::of(key, &self.history(key)?, None, PIECE))
    }

    pub(super) fn diff(&self, key: &AccountKey, from: Option<u64>, to: Option<u64>) -> Result<VersionDiff, Failure> {
        let history = self.history(key)?;
        let places = VersionDiff::places(key, &history, from, to).map_err(absent)?;
        let text = |place: usize| self.text(key, &history, history.versions[place].serial);
        let texts = match places {
            (None, _) => None,
            (Some(from), to) => Some((text(from)?, text(to)?)),
        };
        let texts = texts.as_ref().map(|(earlier, later)| (&**earlier, &**later));
        VersionDiff::of(key, &history, places, texts).map_err(absent)
    }

    fn history(&self, key: &AccountKey) -> Result<History, Failure> {
        History::read(&self.reader, &self.gate.standing(), key).map_err(failed)
    }

    fn text(&self, key: &AccountKey, history: &History, serial: u64) -> Result<String, Failure> {
        match OldText::read(&self.reader, key, serial).map_err(failed)? {
            OldText::Kept(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            OldText::Unknown { .. } => Err(absent(NoVersion::unknown(*key, history, &serial.to_string()))),
        }
    }
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: StoreError) -> Failure {
    Failure::Unclear(error.to_string())
}

/// In one line, as the problems of the API.
#[allow(clippy::needless_pass_by_value)]
fn absent(none: NoVersion) -> Failure {
    Failure::Absent(none.to_string().replace('\n', ": "))
}
