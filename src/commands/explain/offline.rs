//! Asks a folder: the journal in it, which a server may be writing, or else its files.

use std::path::Path;
use std::sync::Arc;

use super::fleet::Fleet;
use super::judge::AccountState;
use super::knowledge::Knowledge;
use crate::commands::asked::NOTHING_TO_READ;
use crate::commands::{gate_of, stored_journal_of};
use crate::config::Settings;
use crate::folder::{self, Unread, beside};
use crate::gate::Gate;
use crate::jwt::given;
use crate::key::AccountKey;
use crate::store::journal::{self, StoredAccount};

/// What the journal or the folder of the settings holds of an account. The error says why neither can be read.
pub(super) fn ask(settings: &Settings, key: &AccountKey) -> Result<Knowledge, String> {
    let gate = gate_of(settings)?;
    match stored_journal_of(settings).ok().filter(|journal| journal.exists()) {
        Some(journal) => in_journal(&journal, key, &gate),
        None => match &settings.store.dir {
            Some(dir) => Ok(in_folder(dir, key, &gate)),
            None => Err(NOTHING_TO_READ.to_owned()),
        },
    }
}

fn in_journal(journal: &Path, key: &AccountKey, gate: &Gate) -> Result<Knowledge, String> {
    let stored = journal::account_in(journal, key).map_err(|error| error.to_string())?;
    let kept = journal::operator_in(journal).map_err(|error| error.to_string())?;
    let account = match stored {
        StoredAccount::Live(entry) => AccountState::Stored(entry.text().to_owned()),
        StoredAccount::Deleted(at) => AccountState::Deleted(Some(at)),
        StoredAccount::None => AccountState::Absent,
        StoredAccount::Unreadable => AccountState::Unclear("its text is not in the journal, or damaged".to_owned()),
        StoredAccount::MayLack => AccountState::Unclear("a cache does not store every account".to_owned()),
    };
    let in_force = kept.map(|chain| Arc::clone(chain.in_force()));
    Ok(knowledge(journal, account, in_force.or_else(|| gate.trust())))
}

fn in_folder(dir: &Path, key: &AccountKey, gate: &Gate) -> Knowledge {
    let mut account = AccountState::Absent;
    for path in folder::places(dir, key) {
        match folder::read(&path) {
            Ok((_, bytes)) => {
                account = match given(&bytes) {
                    Ok(token) => AccountState::Stored(token.into_owned()),
                    Err(found) => AccountState::Unclear(format!("{} is no account JWT: {found}", path.display())),
                };
                break;
            }
            Err(Unread::Missing) if beside(&path, ".deleted").exists() => account = AccountState::Deleted(None),
            Err(Unread::Missing) => {}
            Err(unread) => account = AccountState::Unclear(format!("{} {unread}", path.display())),
        }
    }
    knowledge(dir, account, gate.trust())
}

fn knowledge(place: &Path, account: AccountState, operator: Option<Arc<crate::gate::Trust>>) -> Knowledge {
    let why = "the nats-servers are not known: a folder was read, and only a running primary compares them";
    Knowledge { place: place.display().to_string(), account, operator, fleet: Fleet::Unknown(why.to_owned()) }
}
